"""Annotations of examples as columns, for formats that hold some of them in a form of their own."""

import dataclasses
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.dataset import codes
from transforms.dataset.mask_links import find_alike
from transforms.dataset.schema import MAP_COLUMNS
from transforms.formats.tfrecord.wire import offsets_of
from transforms.kinds.narratives import NARRATIVES
from transforms.kinds.registry import ANNOTATIONS, count_annotations
from transforms.selection.label_types import are_by_machine

_CORNERS = ("xmin", "xmax", "ymin", "ymax")
_CLASS_BITS = 32


@dataclasses.dataclass(frozen=True)
class Annotations:
    """The annotations of n examples in one column, but for classes without an index; m in all.

    Attributes:
        fields: (m,) arrays by name; texts may be dictionaries.
        numbers: (m,) int64, the index of the class of each, from 1.
        rows: (n + 1,) int64; example i has those from `rows[i]` up to `rows[i + 1]`.
        is_given: (n,) bool, false where the source of the column wasn't given.
        left_out: how many have a class without an index.
    """

    fields: Mapping[str, pa.Array]
    numbers: np.ndarray
    rows: np.ndarray
    is_given: np.ndarray
    left_out: int = 0

    @classmethod
    def of(cls, lists: pa.ListArray, index: Mapping[str, int]) -> Self:
        """Takes a column of examples whose elements have a field `label`.

        Args:
            lists: (n,) lists of structs.
            index: MID to class index; 0 for a class that has none.
        """
        rows = offsets_of(lists.value_lengths().fill_null(0).to_numpy().astype(np.int64))
        structs = lists.flatten()
        fields = dict(zip(structs.type.names, structs.flatten(), strict=True))
        numbers = code_texts(fields["label"], index, 0)
        is_given = lists.is_valid().to_numpy(zero_copy_only=False)
        whole = cls(fields, numbers, rows, is_given)
        return dataclasses.replace(whole.where(numbers > 0), left_out=int((numbers == 0).sum()))

    def __len__(self) -> int:
        return len(self.numbers)

    def where(self, kept: np.ndarray) -> Self:
        """Returns some of them: (m,) bool."""
        if kept.all():
            return self
        mask = pa.array(kept)
        return dataclasses.replace(
            self,
            fields={name: array.filter(mask) for name, array in self.fields.items()},
            numbers=self.numbers[kept],
            rows=offsets_of(kept)[self.rows],
        )

    def with_fields(self, **fields: pa.Array) -> Self:
        """Returns them with further fields, (m,) each."""
        return dataclasses.replace(self, fields={**self.fields, **fields})

    @property
    def examples(self) -> np.ndarray:
        """The place of each one's example: (m,) int64."""
        return np.repeat(np.arange(len(self.rows) - 1), np.diff(self.rows))

    @property
    def pairs(self) -> np.ndarray:
        """Its example and class, in one number each, for `class_lists`: (m,) int64."""
        return self.examples << _CLASS_BITS | self.numbers

    def take(self, field: str, places: np.ndarray) -> pa.Array:
        """Returns the values of a field at some places: (k,); null where a place is negative."""
        return self.fields[field].take(pa.array(places, mask=places < 0))

    def floats(self, field: str) -> np.ndarray:
        """Returns a field as (m,) float32, NaN where it is null."""
        return self.fields[field].cast(pa.float32()).fill_null(np.nan).to_numpy()

    def integers(self, field: str) -> np.ndarray:
        """Returns a field as (m,) int64, -1 where it is null."""
        return self.fields[field].fill_null(-1).to_numpy().astype(np.int64)


def code_texts(texts: pa.Array, index: Mapping[str, int], default: int) -> np.ndarray:
    """Returns the number of each of (m,) texts, int64; `default` where it has none, or is null."""
    coded = texts if pa.types.is_dictionary(texts.type) else texts.dictionary_encode()
    coded = codes.compact(coded)
    numbers = [index.get(text, default) for text in coded.dictionary.to_pylist()]
    places = coded.indices.fill_null(len(numbers)).to_numpy()
    return np.array([*numbers, default], np.int64)[places]


def find_masks(boxes: Annotations, masks: Annotations) -> np.ndarray:
    """Returns the place of each box's mask among masks, (m,) int64; -1 where it has none.

    See `find_alike`.

    Args:
        boxes: m boxes of n examples.
        masks: of the same examples.
    """
    return find_alike(_places(boxes), _places(masks))


def _places(annotations: Annotations) -> tuple[np.ndarray, ...]:
    corners = np.column_stack([annotations.floats(name) for name in _CORNERS])
    return annotations.examples, annotations.numbers, corners


def verified_classes(labels: Annotations) -> tuple[np.ndarray, np.ndarray]:
    """Returns the classes that people found in examples, and those that they didn't.

    A class is found if people gave it a confidence above 0, and not if they gave it 0 alone. One
    whose confidence isn't known is neither.

    Args:
        labels: image labels.

    Returns:
        Two of (k,) int64, as of `Annotations.pairs`, ascending.
    """
    by_people = ~are_by_machine(labels.fields["source"])
    confidence = labels.floats("confidence")
    present = np.unique(labels.pairs[by_people & (confidence > 0)])
    return present, np.setdiff1d(labels.pairs[by_people & (confidence == 0)], present)


def judge_classes(
    labels: Annotations, annotated: np.ndarray, grouped: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns what LVIS calls negative classes, and such of which not all objects have a box.

    A class is negative if people didn't find it, and nothing of it is annotated. Not all objects
    may have a box where people found a class of which nothing is annotated, or a box is of a group.

    Args:
        labels: image labels.
        annotated: (k,) pairs of all boxes and masks; see `Annotations.pairs`.
        grouped: (g,) pairs of boxes of groups.

    Returns:
        Two of (k,) int64 pairs, ascending.
    """
    present, absent = verified_classes(labels)
    partial = np.union1d(np.setdiff1d(present, annotated), grouped)
    return np.setdiff1d(absent, annotated), partial


def class_lists(pairs: np.ndarray, examples: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns lists of classes by example: the numbers of all, (k,) int64, and (n + 1,) their rows.

    Args:
        pairs: as of `Annotations.pairs`, in any order; those that are equal count once.
        examples: n.
    """
    found = np.unique(pairs)
    counts = np.bincount(found >> _CLASS_BITS, minlength=examples)
    return found & (1 << _CLASS_BITS) - 1, offsets_of(counts)


def count_absent(table: pa.Table, held: Collection[str]) -> Counter[str]:
    """Counts, by name of their kind, the annotations of examples outside of some columns, and maps
    and recordings, which none of these formats holds."""
    counts = count_annotations(table)
    absent = Counter(
        {
            kind.name.replace("_", " "): counts[column]
            for column, kind in ANNOTATIONS.items()
            if column not in held
        }
    )
    for column in MAP_COLUMNS:
        if column in table.column_names:
            absent[f"{column.replace('_', ' ')}s"] = _count_given(table[column])
    narratives = pc.list_flatten(table[NARRATIVES.column])
    absent["recordings"] = _count_given(pc.struct_field(narratives, "voice"))
    return absent


def _count_given(files_in: pa.ChunkedArray) -> int:
    """Returns how many of files have bytes."""
    return len(files_in) - pc.struct_field(files_in, "bytes").null_count
