"""Which images of a bucket are built, and which of their annotations are kept."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.dataset.keys import in_window
from transforms.kinds.images import IMAGE_ROW
from transforms.selection.conditions import Condition
from transforms.selection.label_types import LABEL_TYPES
from transforms.selection.presence import says_present
from transforms.selection.quotas import (
    NO_CUTS,
    NOTHING_SHOWN,
    Cuts,
    Shown,
    needed_by_class,
    pieces_of,
    within_limit,
)
from transforms.selection.selection import Selection
from transforms.selection.values import label_mask

#: Why a row isn't kept: its image isn't chosen, its label type isn't asked for, or its class isn't.
#: Beside these, the text of a condition that it fails.
IMAGES_RULE, TYPES_RULE, CLASSES_RULE = "images", "label_types", "only_matching"


@dataclasses.dataclass(frozen=True)
class ColumnRows:
    """The rows of a column of annotations.

    Attributes:
        values: (m,) rows, labels plain or coded as dictionaries.
        images: (m,) the image of each row, from 0.
    """

    values: pa.StructArray
    images: np.ndarray


@dataclasses.dataclass(frozen=True)
class BucketImages:
    """The images of a bucket; n of them.

    Attributes:
        keys: (n,) uint64, in any order.
        rows: (n,) rows of `IMAGE_ROW`.
        columns: their annotations, by column of an example; a column that wasn't given isn't there.
    """

    keys: np.ndarray
    rows: pa.StructArray
    columns: Mapping[str, ColumnRows]

    @classmethod
    def of_table(cls, keys: np.ndarray, table: pa.Table) -> "BucketImages":
        """Returns the images of a joined table.

        Args:
            keys: of its rows.
            table: with the fields of `IMAGE_ROW` and columns of lists.
        """
        rows = table.select(IMAGE_ROW.names).to_struct_array()
        columns = {}
        for name in {each.column for each in LABEL_TYPES.values()}:
            lists = table[name].combine_chunks()
            if lists.null_count < len(lists):
                counts = lists.value_lengths().fill_null(0).to_numpy()
                owners = np.repeat(np.arange(len(lists)), counts)
                columns[name] = ColumnRows(lists.flatten(), owners)
        return cls(keys, rows.combine_chunks(), columns)


class Chosen(NamedTuple):
    """Images of a bucket that qualify or are chosen; n of them in the bucket.

    Attributes:
        images: which, (n,) bool.
        shown: the labels that these show.
        funnel: how many images there were, by an empty text, and are left after each condition.
    """

    images: np.ndarray
    shown: Shown
    funnel: dict[str, int]


@dataclasses.dataclass(frozen=True)
class Chooser:
    """Applies a selection to buckets.

    Attributes:
        selection: what is to be built.
        num_buckets: how many buckets there are.
        cuts: where quotas are reached; without any, all images that qualify are chosen.
    """

    selection: Selection
    num_buckets: int
    cuts: Cuts = NO_CUTS

    def considers(self, keys: np.ndarray) -> np.ndarray:
        """Returns which images may be chosen by their keys, (n,) bool."""
        return in_window(keys, self.selection.order_start, self.selection.sample_size)

    def qualify(self, bucket: BucketImages) -> Chosen:
        """Returns the images that qualify, quotas apart, with what they show as of `find_shown`."""
        selection = self.selection
        qualifies = np.ones(len(bucket.keys), bool)
        funnel = {"": len(qualifies)}
        for flag, conditions in (
            ("where", selection.where),
            ("where_images", selection.where_images),
        ):
            for condition in conditions:
                if condition.subject == "images":
                    qualifies &= condition.mask(bucket.rows)
                elif flag == "where_images":
                    qualifies &= ~self._failing(condition, bucket)
                else:
                    continue
                funnel[f"--{flag} {condition.text!r}"] = int(qualifies.sum())
        if not selection.needs_classes:
            return Chosen(qualifies, NOTHING_SHOWN, funnel)
        shown = self.find_shown(bucket)
        if selection.classes is not None:
            qualifies &= self._match(shown, len(qualifies))
            funnel["--classes"] = int(qualifies.sum())
        return Chosen(qualifies, shown.filter(qualifies), funnel)

    def choose(self, bucket: BucketImages) -> Chosen:
        """Returns the images that are built."""
        images, shown, funnel = self.qualify(bucket)
        if self.selection.has_quota:
            pieces = self.pieces(bucket.keys)
            if self.selection.max_per_class is not None:
                images = needed_by_class(bucket.keys, pieces, shown, self.cuts)
            images = within_limit(bucket.keys, pieces, images, self.cuts)
        return Chosen(images, shown.filter(images), funnel)

    def _failing(self, condition: Condition, bucket: BucketImages) -> np.ndarray:
        """Returns which images have an annotation that fails a condition, (n,) bool."""
        failing = np.zeros(len(bucket.keys), bool)
        label_type = LABEL_TYPES[condition.subject]
        if rows := bucket.columns.get(label_type.column):
            fails = label_type.mask(rows.values) & ~condition.mask(rows.values)
            failing[rows.images[fails]] = True
        return failing

    def pieces(self, keys: np.ndarray) -> np.ndarray:
        """Returns the piece of each image in the order of images; see `quotas`."""
        return pieces_of(keys, self.num_buckets, self.selection.order_start)

    def find_dropped(self, column: str, values: pa.StructArray) -> Iterator[tuple[str, np.ndarray]]:
        """Yields each rule with the rows of chosen images that it drops, (m,) bool.

        Several rules may drop a row; the first one counts.
        """
        selection = self.selection
        types = [each for each in LABEL_TYPES.values() if each.column == column]
        if not all(selection.carries(each.name) for each in types):
            carried = np.zeros(len(values), bool)
            for each in types:
                if selection.carries(each.name):
                    carried |= each.mask(values)
            yield TYPES_RULE, ~carried
        for condition in selection.where:
            for each in types:
                if each.name == condition.subject:
                    yield condition.text, each.mask(values) & ~condition.mask(values)
        labels = types[0].kind.labels
        if selection.only_matching and selection.classes is not None and labels:
            mids = pa.array(selection.mids, pa.string())
            yield CLASSES_RULE, ~np.any([label_mask(values.field(n), mids) for n in labels], axis=0)

    def find_shown(self, bucket: BucketImages) -> Shown:
        """Returns which of the selected classes images show, or of all where none are selected."""
        images, labels = [np.zeros(0, np.int64)], [pa.array([], pa.string())]
        mids = None if self.selection.classes is None else pa.array(self.selection.mids)
        for label_type in self.selection.matched_types:
            rows = bucket.columns.get(label_type.column)
            if rows is None or not len(rows.values):
                continue
            is_shown = label_type.mask(rows.values) & says_present(label_type.kind, rows.values)
            for condition in self.selection.where:
                if condition.subject == label_type.name:
                    is_shown &= condition.mask(rows.values)
            for name in label_type.kind.labels:
                column = rows.values.field(name)
                at = np.flatnonzero(
                    is_shown if mids is None else is_shown & label_mask(column, mids)
                )
                images.append(rows.images[at])
                labels.append(column.take(pa.array(at)).cast(pa.string()))
        coded = pa.concat_arrays(labels).dictionary_encode()
        count = max(1, len(coded.dictionary))
        # `np.unique` hashes, which takes five times as long.
        pairs = np.sort(np.concatenate(images) * count + coded.indices.to_numpy())
        pairs = pairs[np.diff(pairs, prepend=-1) != 0]
        return Shown(pairs // count, pairs % count, coded.dictionary)

    def _match(self, shown: Shown, count: int) -> np.ndarray:
        """Returns which images show any term of the classes, or all of them; (n,) bool."""
        assert self.selection.classes is not None
        terms = self.selection.classes if self.selection.match == "all" else [self.selection.mids]
        matches = np.zeros((len(terms), count), bool)
        for match, term in zip(matches, terms, strict=True):
            is_of_term = np.asarray(pc.is_in(shown.names, pa.array(term, pa.string())))
            match[shown.images[is_of_term[shown.labels]]] = True
        return np.all(matches, axis=0)
