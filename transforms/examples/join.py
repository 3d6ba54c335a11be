"""Joins the rows of a bucket: rows of every source → one row an image, annotations nested.

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

from transforms.dataset import codes
from transforms.dataset.elements import Source
from transforms.dataset.keys import find, image_ids
from transforms.examples.images import (
    count_by_source,
    infer_images,
    merge_image_rows,
    row_keys,
    row_sources,
)
from transforms.examples.repeats import merge_repeats
from transforms.examples.select import select_images
from transforms.exchange.batches import KeyedBatch
from transforms.kinds.images import IMAGE_FIELDS, IMAGES
from transforms.kinds.registry import ANNOTATIONS, TABLES
from transforms.sources import listing

#: Where a picture or a mask's PNG lies, and by which source.
MEMBER = pa.struct(
    [*(field for field in listing.SCHEMA if field.name != "image_id"), ("source", pa.int32())]
)

#: Columns of a joined table that hold lists: of annotations, and of the addresses of pictures and
#: PNGs.
LIST_COLUMNS: Mapping[str, pa.DataType] = {
    **{column: kind.row for column, kind in ANNOTATIONS.items()},
    "pictures": MEMBER,
    "mask_files": MEMBER,
}

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


def column_of(kind: str) -> str:
    """Returns the column of the joined table that rows of a kind of source go to."""
    return TABLES[kind].column if kind in TABLES else kind


def join(
    batches: Iterable[KeyedBatch],
    sources: Sequence[Source],
    splits: Sequence[str] | None,
    labels: pa.Array = NO_LABELS,
) -> Joined:
    """Finds the images of a bucket, selects those to build, and nests their annotations.

    Args:
        batches: in published order; the origin is the index of a source, and rows have the columns
            `key` and `value`.
        sources: all sources of the build, by index.
        splits: the splits to keep; None keeps all.
        labels: those that coded labels are the numbers of, as of `codes.encode`.
    """
    by_column = collections.defaultdict(list)
    received: collections.Counter[int] = collections.Counter()
    for source, _, rows in batches:
        received[source] += rows.num_rows
        by_column[column_of(sources[source].kind)].append((source, rows))
    given = {column_of(source.kind) for source in sources}
    if IMAGES.column in given:
        images = merge_image_rows(by_column[IMAGES.column], sources)
    else:
        rows = [each for name in by_column if name in ANNOTATIONS for each in by_column[name]]
        images = infer_images(rows, sources)
    selected = select_images(images, splits)
    count = len(selected.places)
    # The place of each image among those selected, -1 for the others; and for none, if there are
    # none.
    place = np.full(len(images.keys) + 1, -1, np.int32)
    place[selected.places] = np.arange(count)

    columns = {"image_id": image_ids(images.keys[selected.places])}
    for name in ("split", *IMAGE_FIELDS):
        columns[name] = images.rows.field(name).take(pa.array(selected.places))
    orphans: collections.Counter[int] = collections.Counter()
    repeats = collections.Counter(images.repeats)
    left_out = {}
    for name, dtype in LIST_COLUMNS.items():
        if name not in given:
            columns[name] = pa.nulls(count, pa.list_(dtype))
            continue
        identity = ANNOTATIONS[name].identity if name in ANNOTATIONS else ()
        nested = _nest(by_column[name], dtype, labels, images.keys, place, count, identity)
        columns[name] = nested.lists
        orphans.update(nested.orphans)
        repeats.update(nested.repeats)
        left_out[name] = nested.left_out
    return Joined(
        table=pa.table(columns),
        images=selected.images,
        failures=selected.failures,
        rows=dict(received),
        orphans=dict(orphans),
        repeats=dict(repeats),
        left_out=left_out,
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
    """Nests the rows of a column by image, and merges rows that several files have.

    Args:
        batches: source index and rows, in published order.
        dtype: of a row.
        labels: as for `join`.
        keys: of all images of the bucket, sorted; (k,) uint64.
        place: the place of each of these among the images that are built, or -1; and -1 at the
            end. (k + 1,) int32.
        images: how many are built.
        identity: fields by which repeats are found; empty to keep repeats.
    """
    values = codes.concatenate([batch["value"] for _, batch in batches], dtype, labels)
    keys_of_rows = row_keys(batches)
    index, found = find(keys, keys_of_rows)
    orphans = count_by_source(batches, ~found)
    row_place = place.take(index, mode="wrap")
    is_kept = found & (row_place >= 0)
    rows = None if is_kept.all() else np.flatnonzero(is_kept)  # mostly all are
    # Few images a bucket: 16-bit places sort by radix.
    narrow = np.uint16 if images <= 1 << 16 else np.uint32
    owner = (row_place if rows is None else row_place[rows]).astype(narrow)
    order = np.argsort(owner, kind="stable")
    rows = order if rows is None else rows[order]
    counts = np.bincount(owner, minlength=images)
    left_out = len(keys_of_rows) - len(rows) - sum(orphans.values())
    values = pc.take(values, pa.array(rows), boundscheck=False)
    repeats: dict[int, int] = {}
    offsets = np.concatenate([[0], np.cumsum(counts)])
    if identity and len({source for source, _ in batches}) > 1:
        merged = merge_repeats(values, offsets, row_sources(batches)[rows], identity)
        if merged:
            is_repeat = np.zeros(len(keys_of_rows), bool)
            is_repeat[rows[~merged.kept]] = True
            repeats = count_by_source(batches, is_repeat)
            values = merged.values.filter(pa.array(merged.kept))
            offsets = np.concatenate([[0], np.cumsum(merged.kept)])[offsets]
    offsets = offsets.astype(np.int32)
    return _Nested(pa.ListArray.from_arrays(offsets, values), orphans, repeats, left_out)
