"""Joining what a bucket holds: rows of every source → one row an image, annotations nested.

Rows find their image among the bucket's sorted keys; a stable sort by image then
keeps their published order, and the offsets of each image's list are the running counts.
"""

import collections
import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.dataset import codes, failures
from transforms.dataset.elements import Source
from transforms.dataset.failures import Reason, Stage
from transforms.dataset.keys import find, image_ids
from transforms.dataset.schema import IMAGE_FIELDS
from transforms.examples.repeats import merge_repeats
from transforms.exchange.batches import KeyedBatch
from transforms.kinds.detect import TABLES
from transforms.kinds.images import HEADERS, IMAGE_ROW
from transforms.sources import listing

#: Where a picture or a mask's PNG lies, and by which source.
MEMBER = pa.struct(
    [*(field for field in listing.SCHEMA if field.name != "image_id"), ("source", pa.int32())]
)

#: Columns of a joined table that hold lists: of annotations, and of the addresses of pictures and
#: PNGs.
LIST_COLUMNS: Mapping[str, pa.DataType] = {
    **{table.column: table.value for table in TABLES.values() if table.kind != "images"},
    "pictures": MEMBER,
    "mask_files": MEMBER,
}

#: Images whose conflicts are described together.
_TOGETHER = 1 << 14
_SHOWN = 100  # characters of a value that a failure shows

NO_LABELS = pa.array([], pa.string())


@dataclasses.dataclass(frozen=True)
class Joined:
    """A bucket's images.

    Attributes:
        table: one row an image that is to be built, by split and within it in key order; columns
            `image_id`, `split`, those of `IMAGE_FIELDS`, and `LIST_COLUMNS`.
        images: how many images the bucket was to have, failed ones included.
        failures: table of `failures.SCHEMA`.
        rows: source index to the number of its rows that the bucket received.
        orphans: source index to the number of its rows that belong to no image.
        repeats: source index to the number of its rows that repeat a row of another file.
        left_out: column to the number of its rows that belong to images outside `table`.
    """

    table: pa.Table
    images: int
    failures: pa.Table
    rows: dict[int, int]
    orphans: dict[int, int]
    repeats: dict[int, int]
    left_out: dict[str, int]


#: Column of annotations to the fields by which repeats are found.
_IDENTITIES = {table.column: table.identity for table in TABLES.values()}


def column_of(kind: str) -> str:
    """The joined table's column that rows of a kind of source go to."""
    return TABLES[kind].column if kind in TABLES else kind


def join(
    batches: Iterable[KeyedBatch],
    sources: Sequence[Source],
    splits: Sequence[str] | None,
    labels: pa.Array = NO_LABELS,
) -> Joined:
    """Joins the rows of a bucket.

    Args:
        batches: in published order; the origin is the index of a source, and rows have the columns
            `key` and `value`.
        sources: all sources of the build, by index.
        splits: the splits to keep; None keeps all.
        labels: those that coded labels are the numbers of, as of `codes.encode`.
    """
    by_column = collections.defaultdict(list)
    received: collections.Counter[int] = collections.Counter()
    for source, _, batch in batches:
        received[source] += batch.num_rows
        by_column[column_of(sources[source].kind)].append((source, batch))
    given = {column_of(source.kind) for source in sources}

    rows = by_column.pop("image", [])
    if "image" in given:
        images = _merge_image_rows(rows, sources, splits)
    else:
        annotated = [
            batches for name, batches in by_column.items() if name not in ("pictures", "mask_files")
        ]
        images = _infer_images(annotated, sources, splits)
    kept = images.kept()
    # The place of each image among those kept, -1 for the others; and for none, if there are none.
    place = np.full(len(images.keys) + 1, -1, np.int32)
    place[kept] = np.arange(len(kept))

    columns = {"image_id": image_ids(images.keys[kept])}
    for name in ("split", *IMAGE_FIELDS):
        columns[name] = images.rows.field(name).take(pa.array(kept))
    orphans: collections.Counter[int] = collections.Counter()
    repeats = collections.Counter(images.repeats)
    left_out = {}
    for name, dtype in LIST_COLUMNS.items():
        if name not in given:
            columns[name] = pa.nulls(len(kept), pa.list_(dtype))
            continue
        identity = _IDENTITIES.get(name, ())
        nested = _nest(by_column[name], dtype, labels, images.keys, place, len(kept), identity)
        columns[name] = nested.lists
        orphans.update(nested.orphans)
        repeats.update(nested.repeats)
        left_out[name] = nested.left_out
    return Joined(
        table=pa.table(columns),
        images=int(images.selected.sum()),
        failures=images.failures(),
        rows=dict(received),
        orphans=dict(orphans),
        repeats=dict(repeats),
        left_out=left_out,
    )


class _Conflicts(NamedTuple):
    """Images whose rows contradict each other.

    Attributes:
        places: of the images, (n,) int64, in ascending order.
        details: what the rows of each say, (n,).
    """

    places: np.ndarray
    details: pa.StringArray


class _Images(NamedTuple):
    """The images of a bucket; n of them.

    Attributes:
        keys: (n,) uint64, sorted.
        rows: (n,) rows of type IMAGE_ROW.
        conflicts: images whose rows contradict each other.
        selected: (n,) bool: whether some row is of one of the splits to build.
        repeats: source index to the number of rows that repeat another, conflicting ones apart.
    """

    keys: np.ndarray
    rows: pa.StructArray
    conflicts: _Conflicts
    selected: np.ndarray
    repeats: Mapping[int, int]

    def kept(self) -> np.ndarray:
        """The places of the images to build, (k,) int64, split by split."""
        is_sound = np.ones(len(self.keys), bool)
        is_sound[self.conflicts.places] = False
        kept = np.flatnonzero(self.selected & is_sound)
        # Sorted by split, so that what is written together is a slice and no copy.
        rank = pc.rank(self.rows.field("split"), tiebreaker="dense").to_numpy()
        return kept[np.argsort(rank[kept], kind="stable")]

    def failures(self) -> pa.Table:
        """A failure for each selected image whose rows contradict each other."""
        is_told = self.selected[self.conflicts.places]
        places = self.conflicts.places[is_told]
        return failures.of_images(
            image_ids(self.keys[places]),
            self.rows.field("split").take(pa.array(places)),
            (Stage.JOIN, Reason.CONFLICT),
            self.conflicts.details.filter(pa.array(is_told)),
        )


class _Nested(NamedTuple):
    """The rows of a column as lists, and how many rows aren't in them.

    Attributes:
        lists: (images,) lists.
        orphans: source index to the number of rows that belong to no image.
        repeats: source index to the number of rows that repeat a row of another file.
        left_out: how many rows belong to images that aren't built.
    """

    lists: pa.ListArray
    orphans: dict[int, int]
    repeats: dict[int, int]
    left_out: int


def _nest(
    batches: list[tuple[int, pa.RecordBatch]],
    dtype: pa.DataType,
    labels: pa.Array,
    keys: np.ndarray,
    place: np.ndarray,
    images: int,
    identity: Sequence[str],
) -> _Nested:
    """Returns a list of rows for each image; merges rows that several files have (`identity`)."""
    values = codes.concatenate([batch["value"] for _, batch in batches], dtype, labels)
    row_keys = np.concatenate(
        [np.empty(0, np.uint64), *(batch["key"].to_numpy() for _, batch in batches)]
    )
    index, found = find(keys, row_keys)
    orphans = _count_by_source(batches, ~found)
    row_place = place.take(index, mode="wrap")
    is_kept = found & (row_place >= 0)
    rows = None if is_kept.all() else np.flatnonzero(is_kept)  # which mostly are all
    # Few images a bucket: 16-bit places sort by radix.
    narrow = np.uint16 if images <= 1 << 16 else np.uint32
    owner = (row_place if rows is None else row_place[rows]).astype(narrow)
    order = np.argsort(owner, kind="stable")
    rows = order if rows is None else rows[order]
    counts = np.bincount(owner, minlength=images)
    left_out = len(row_keys) - len(rows) - sum(orphans.values())
    values = pc.take(values, pa.array(rows), boundscheck=False)
    repeats: dict[int, int] = {}
    offsets = np.concatenate([[0], np.cumsum(counts)])
    if identity and len({source for source, _ in batches}) > 1:
        merged = merge_repeats(values, offsets, _row_sources(batches)[rows], identity)
        if merged:
            is_repeat = np.zeros(len(row_keys), bool)
            is_repeat[rows[~merged.kept]] = True
            repeats = _count_by_source(batches, is_repeat)
            values = merged.values.filter(pa.array(merged.kept))
            offsets = np.concatenate([[0], np.cumsum(merged.kept)])[offsets]
    offsets = offsets.astype(np.int32)
    return _Nested(pa.ListArray.from_arrays(offsets, values), orphans, repeats, left_out)


def _row_sources(batches: list[tuple[int, pa.RecordBatch]]) -> np.ndarray:
    """The source index of each row."""
    sources = np.array([source for source, _ in batches], np.int32)
    return np.repeat(sources, [batch.num_rows for _, batch in batches])


def _count_by_source(
    batches: list[tuple[int, pa.RecordBatch]], wanted: np.ndarray
) -> dict[int, int]:
    """Source index to how many of its rows are `wanted`, (n,) bool; only sources that have some."""
    if not wanted.any():
        return {}
    counts = np.bincount(_row_sources(batches)[wanted])
    return {int(source): int(counts[source]) for source in np.flatnonzero(counts)}


def _merge_image_rows(
    batches: list[tuple[int, pa.RecordBatch]],
    sources: Sequence[Source],
    splits: Sequence[str] | None,
) -> _Images:
    """Merges the rows of image tables to one for each image.

    A field that is null in one row is filled from another; rows with different values conflict.
    """
    row_keys = np.concatenate(
        [np.empty(0, np.uint64), *(batch["key"].to_numpy() for _, batch in batches)]
    )
    values = pa.concat_arrays([pa.array([], IMAGE_ROW), *(batch["value"] for _, batch in batches)])
    order = np.argsort(row_keys, kind="stable")
    keys, first, counts = np.unique(row_keys[order], return_index=True, return_counts=True)
    merged = values.take(pa.array(order[first]))
    chosen = _is_among(values.field("split"), splits)[order].astype(int)
    selected = np.add.reduceat(chosen, first) > 0 if len(keys) else np.zeros(0, bool)
    conflicting = np.zeros(len(keys), bool)
    for nth in range(1, counts.max(initial=1)):
        again = np.flatnonzero(counts > nth)
        others = values.take(pa.array(order[first[again] + nth]))
        fields = []
        for field in IMAGE_ROW:
            mine, other = merged.field(field.name), others.field(field.name)
            differs = pc.fill_null(pc.not_equal(mine.take(pa.array(again)), other), False)
            conflicting[again[differs.to_numpy(zero_copy_only=False)]] = True
            row = np.zeros(len(keys), np.int64)
            row[again] = np.arange(len(again))
            known = pc.if_else(
                pa.array(counts > nth), other.take(pa.array(row)), pa.scalar(None, field.type)
            )
            fields.append(pc.coalesce(mine, known))
        merged = pa.StructArray.from_arrays(fields, fields=list(IMAGE_ROW))
    row_sources = _row_sources(batches)
    paths = pa.array([source.shown_name for source in sources], pa.string())
    places = np.flatnonzero(conflicting)
    details = [pa.array([], pa.string())]
    for at in range(0, len(places), _TOGETHER):
        some = np.zeros(len(keys), bool)
        some[places[at : at + _TOGETHER]] = True
        rows = order[np.repeat(some, counts)]
        owners = np.repeat(np.arange(np.count_nonzero(some)), counts[some])
        files = paths.take(pa.array(row_sources[rows]))
        details.append(_first_conflicts(values.take(pa.array(rows)), owners, files))
    conflicts = _Conflicts(places, pa.concat_arrays(details))
    is_repeat = np.ones(len(row_keys), bool)
    is_repeat[order[first]] = False
    is_repeat[order[np.repeat(conflicting, counts)]] = False
    return _Images(keys, merged, conflicts, selected, _count_by_source(batches, is_repeat))


def _first_conflicts(
    rows: pa.StructArray, owners: np.ndarray, paths: pa.StringArray
) -> pa.StringArray:
    """Names the first column in which rows of an image differ, with two values and their files.

    Args:
        rows: of images whose rows contradict each other, image by image.
        owners: the number of each row's image, from 0, in ascending order.
        paths: the file of each row.

    Returns:
        What the rows of each image say.
    """
    found, details = [np.zeros(0, np.int64)], [pa.array([], pa.string())]
    is_open = np.ones(owners.max(initial=0) + 1, bool)
    for name, header in HEADERS.items():
        coded = rows.field(name).dictionary_encode()
        numbers = coded.indices.fill_null(-1).to_numpy()
        given = np.flatnonzero((numbers >= 0) & is_open[owners])
        images, first = np.unique(owners[given], return_index=True)
        first = given[first]
        others = given[numbers[given] != numbers[first[np.searchsorted(images, owners[given])]]]
        differing, other = np.unique(owners[others], return_index=True)
        pair = pa.array(first[np.searchsorted(images, differing)]), pa.array(others[other])
        shown = pa.array(
            [repr(str(value)[:_SHOWN]) for value in coded.dictionary.to_pylist()], pa.string()
        )
        one, another = (
            pc.binary_join_element_wise(
                shown.take(coded.indices.take(places)), paths.take(places), " in "
            )
            for places in pair
        )
        both = pc.binary_join_element_wise(one, another, " and ")
        found.append(differing)
        details.append(pc.binary_join_element_wise(f"{header} is", both, " "))
        is_open[differing] = False
    order = np.argsort(np.concatenate(found))
    return pa.concat_arrays(details).take(pa.array(order))


def _is_among(split: pa.Array, splits: Sequence[str] | None) -> np.ndarray:
    """Which rows are of a split that is wanted, (n,) bool."""
    if splits is None:
        return np.ones(len(split), bool)
    return pc.is_in(split, pa.array(splits, pa.string())).to_numpy(zero_copy_only=False)


def _infer_images(
    columns: list[list[tuple[int, pa.RecordBatch]]],
    sources: Sequence[Source],
    splits: Sequence[str] | None,
) -> _Images:
    """Returns every image that has annotations, with the split of their files.

    An image with annotations in files of two splits is a conflict.
    """
    names = sorted({source.split for source in sources if source.split})
    code: dict[str | None, int] = {name: i for i, name in enumerate(names)}
    # Numbers that sort by split and then source: an image whose lowest and highest number are of
    # different splits conflicts, and the two numbers name the files.
    seen = [
        (batch["key"].to_numpy(), code[sources[source].split] * len(sources) + source)
        for batches in columns
        for source, batch in batches
    ]
    all_keys = np.concatenate([np.empty(0, np.uint64), *(keys for keys, _ in seen)])
    numbers = np.repeat(np.array([n for _, n in seen], np.int64), [len(keys) for keys, _ in seen])
    keys, inverse = np.unique(all_keys, return_inverse=True)
    lowest = np.full(len(keys), len(names) * len(sources))
    highest = np.full(len(keys), -1)
    np.minimum.at(lowest, inverse, numbers)
    np.maximum.at(highest, inverse, numbers)
    split_of = lowest // len(sources)
    split = pa.array(names, pa.string()).take(pa.array(split_of))
    fields = [split, *(pa.nulls(len(keys), field.type) for field in list(IMAGE_ROW)[1:])]
    images = pa.StructArray.from_arrays(fields, fields=list(IMAGE_ROW))
    chosen = _is_among(pa.array(names, pa.string()), splits)
    selected = np.zeros(len(keys), bool)
    np.logical_or.at(selected, inverse, chosen[numbers // len(sources)])
    places = np.flatnonzero(split_of != highest // len(sources))
    said = pa.array(
        [f"it is of {each.split} by {each.shown_name}" for each in sources], pa.string()
    )
    details = pc.binary_join_element_wise(
        *(said.take(pa.array(ends[places] % len(sources))) for ends in (lowest, highest)), " and "
    )
    conflicts = _Conflicts(places, details)
    return _Images(keys, images, conflicts, selected, repeats={})
