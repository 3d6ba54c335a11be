"""Joining what a bucket holds: rows of every source → one row an image, annotations nested.

Rows find their image among the bucket's sorted keys; a stable sort by image then
keeps their published order, and the offsets of each image's list are the running counts.
"""

import collections
import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms import codes, failures
from transforms.elements import Source
from transforms.examples.schema import IMAGE_FIELDS
from transforms.failures import Failure, Reason, Stage
from transforms.formats.detect import TABLES
from transforms.formats.images import IMAGE_ROW
from transforms.keys import find, image_ids
from transforms.pixels import listing

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
    """

    table: pa.Table
    images: int
    failures: pa.Table
    rows: dict[int, int]
    orphans: dict[int, int]


def column_of(kind: str) -> str:
    """The joined table's column that rows of a kind of source go to."""
    return TABLES[kind].column if kind in TABLES else kind


def join(
    fragments: Iterable[tuple[int, pa.RecordBatch]],
    sources: Sequence[Source],
    splits: Sequence[str] | None,
    labels: pa.Array = NO_LABELS,
) -> Joined:
    """Joins the fragments of a bucket.

    Args:
        fragments: source index and rows (`key`, `value`), in published order.
        sources: all sources of the build, by index.
        splits: the splits to keep; None keeps all.
        labels: those that coded labels are the numbers of, as of `codes.encode`.
    """
    by_column = collections.defaultdict(list)
    received: collections.Counter[int] = collections.Counter()
    for source, batch in fragments:
        received[source] += batch.num_rows
        by_column[column_of(sources[source].kind)].append((source, batch))
    given = {column_of(source.kind) for source in sources}

    rows = by_column.pop("image", [])
    if "image" in given:
        keys, images, conflicts, selected = _merge_image_rows(rows, splits)
    else:
        annotated = [
            batches for name, batches in by_column.items() if name not in ("pictures", "mask_files")
        ]
        keys, images, conflicts, selected = _infer_images(annotated, sources, splits)

    split = images.field("split")
    kept = np.flatnonzero(selected & ~conflicts)
    # Split by split, so that what is written together is a slice and no copy.
    rank = pc.rank(split, tiebreaker="dense").to_numpy()
    kept = kept[np.argsort(rank[kept], kind="stable")]
    # The place of each image among those kept, -1 for the others; and for none, if there are none.
    place = np.full(len(keys) + 1, -1, np.int32)
    place[kept] = np.arange(len(kept))

    columns = {"image_id": image_ids(keys[kept]), "split": split.take(pa.array(kept))}
    for name in IMAGE_FIELDS:
        columns[name] = images.field(name).take(pa.array(kept))
    orphans: collections.Counter[int] = collections.Counter()
    for name, dtype in LIST_COLUMNS.items():
        if name in given:
            columns[name] = _nest(by_column[name], dtype, labels, keys, place, len(kept), orphans)
        else:
            columns[name] = pa.nulls(len(kept), pa.list_(dtype))
    failed = [
        Failure(
            image_id, name, Stage.JOIN, Reason.CONFLICT, "rows of this image contradict each other"
        )
        for image_id, name in zip(
            image_ids(keys[selected & conflicts]).to_pylist(),
            split.filter(pa.array(selected & conflicts)).to_pylist(),
            strict=True,
        )
    ]
    return Joined(
        table=pa.table(columns),
        images=int(selected.sum()),
        failures=failures.to_table(failed),
        rows=dict(received),
        orphans=dict(orphans),
    )


def _nest(
    batches: list[tuple[int, pa.RecordBatch]],
    dtype: pa.DataType,
    labels: pa.Array,
    keys: np.ndarray,
    place: np.ndarray,
    images: int,
    orphans: collections.Counter[int],
) -> pa.ListArray:
    """Rows as a list an image, (images,); counts those of no image by source."""
    values = codes.concatenate([batch["value"] for _, batch in batches], dtype, labels)
    row_keys = np.concatenate(
        [np.empty(0, np.uint64), *(batch["key"].to_numpy() for _, batch in batches)]
    )
    index, found = find(keys, row_keys)
    if not found.all():
        row_sources = np.repeat([s for s, _ in batches], [batch.num_rows for _, batch in batches])
        counts = np.bincount(row_sources[~found])
        orphans.update({int(source): int(counts[source]) for source in np.flatnonzero(counts)})
    row_place = place.take(index, mode="wrap")
    is_kept = found & (row_place >= 0)
    rows = None if is_kept.all() else np.flatnonzero(is_kept)  # which mostly are all
    # Few images a bucket: 16-bit places sort by radix.
    narrow = np.uint16 if images <= 1 << 16 else np.uint32
    owner = (row_place if rows is None else row_place[rows]).astype(narrow)
    order = np.argsort(owner, kind="stable")
    rows = order if rows is None else rows[order]
    offsets = np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=images))])
    values = pc.take(values, pa.array(rows), boundscheck=False)
    return pa.ListArray.from_arrays(offsets.astype(np.int32), values)


def _merge_image_rows(
    batches: list[tuple[int, pa.RecordBatch]], splits: Sequence[str] | None
) -> tuple[np.ndarray, pa.StructArray, np.ndarray, np.ndarray]:
    """One row an image from all rows of image tables.

    What one row leaves unknown, another may know; two that know different things are a conflict.

    Returns:
        (n,) sorted uint64 keys; (n,) rows of type IMAGE_ROW; (n,) bool: whether the rows conflict;
        (n,) bool: whether some row is of one of the splits.
    """
    keys = np.concatenate(
        [np.empty(0, np.uint64), *(batch["key"].to_numpy() for _, batch in batches)]
    )
    values = pa.concat_arrays([pa.array([], IMAGE_ROW), *(batch["value"] for _, batch in batches)])
    order = np.argsort(keys, kind="stable")
    keys, first, counts = np.unique(keys[order], return_index=True, return_counts=True)
    merged = values.take(pa.array(order[first]))
    chosen = _is_among(values.field("split"), splits)[order].astype(int)
    selected = np.add.reduceat(chosen, first) > 0 if len(keys) else np.zeros(0, bool)
    conflicts = np.zeros(len(keys), bool)
    for nth in range(1, counts.max(initial=1)):
        again = np.flatnonzero(counts > nth)
        others = values.take(pa.array(order[first[again] + nth]))
        fields = []
        for field in IMAGE_ROW:
            mine, other = merged.field(field.name), others.field(field.name)
            differs = pc.fill_null(pc.not_equal(mine.take(pa.array(again)), other), False)
            conflicts[again[differs.to_numpy(zero_copy_only=False)]] = True
            row = np.zeros(len(keys), np.int64)
            row[again] = np.arange(len(again))
            known = pc.if_else(
                pa.array(counts > nth), other.take(pa.array(row)), pa.scalar(None, field.type)
            )
            fields.append(pc.coalesce(mine, known))
        merged = pa.StructArray.from_arrays(fields, fields=list(IMAGE_ROW))
    return keys, merged, conflicts, selected


def _is_among(split: pa.Array, splits: Sequence[str] | None) -> np.ndarray:
    """Which rows are of a split that is wanted, (n,) bool."""
    if splits is None:
        return np.ones(len(split), bool)
    return pc.is_in(split, pa.array(splits, pa.string())).to_numpy(zero_copy_only=False)


def _infer_images(
    columns: list[list[tuple[int, pa.RecordBatch]]],
    sources: Sequence[Source],
    splits: Sequence[str] | None,
) -> tuple[np.ndarray, pa.StructArray, np.ndarray, np.ndarray]:
    """Every image that some annotation speaks of, with the split of the files that do.

    Returns:
        As `_merge_image_rows`; an image that files of two splits speak of is a conflict.
    """
    names = sorted({source.split for source in sources if source.split})
    code: dict[str | None, int] = {name: i for i, name in enumerate(names)}
    seen = [
        (batch["key"].to_numpy(), code[sources[source].split])
        for batches in columns
        for source, batch in batches
    ]
    all_keys = np.concatenate([np.empty(0, np.uint64), *(keys for keys, _ in seen)])
    codes = np.repeat(np.array([c for _, c in seen], np.int64), [len(keys) for keys, _ in seen])
    keys, inverse = np.unique(all_keys, return_inverse=True)
    lowest = np.full(len(keys), len(names))
    highest = np.full(len(keys), -1)
    np.minimum.at(lowest, inverse, codes)
    np.maximum.at(highest, inverse, codes)
    split = pa.array(names, pa.string()).take(pa.array(lowest))
    fields = [split, *(pa.nulls(len(keys), field.type) for field in list(IMAGE_ROW)[1:])]
    images = pa.StructArray.from_arrays(fields, fields=list(IMAGE_ROW))
    chosen = _is_among(pa.array(names, pa.string()), splits)
    selected = np.zeros(len(keys), bool)
    np.logical_or.at(selected, inverse, chosen[codes])
    return keys, images, lowest != highest, selected
