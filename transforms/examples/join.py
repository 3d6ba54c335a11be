"""Joins the rows of a bucket: rows of every source → one row an image, annotations nested.

Rows find their image among the bucket's sorted keys; a stable sort by image then
keeps their published order, and the offsets of each image's list are the running counts.
"""

import collections
import dataclasses
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
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
    list_conflicts,
    merge_image_rows,
    row_keys,
    row_sources,
)
from transforms.examples.repeats import merge_repeats
from transforms.examples.splits import is_of_splits, order_by_split
from transforms.exchange.batches import KeyedBatch
from transforms.kinds.images import IMAGE_FIELDS, IMAGES
from transforms.kinds.registry import ANNOTATIONS, TABLES
from transforms.selection.choose import IMAGES_RULE, Chooser
from transforms.sources import listing

#: Where a picture, a mask's PNG or a recording lies, and by which source.
MEMBER = pa.struct(
    [*(field for field in listing.SCHEMA if field.name != "image_id"), ("source", pa.int32())]
)

#: Columns of a joined table that hold lists: of annotations, and of the addresses of pictures, PNGs
#: and recordings.
LIST_COLUMNS: Mapping[str, pa.DataType] = {
    **{column: kind.row for column, kind in ANNOTATIONS.items()},
    "pictures": MEMBER,
    "mask_files": MEMBER,
    "voice_files": MEMBER,
}

NO_LABELS = pa.array([], pa.string())

#: The origin of batches of keys of images that were asked for: no source has this index.
LISTED = -1

#: In place of an image's place in the table: it isn't wanted, or its rows contradict each other.
_NO_PLACE, _LEFT_OUT = -2, -1


class OtherRows(NamedTuple):
    """Rows of images in a table that none of its lists has: of image tables, and repeats.

    Attributes:
        places: (m,) the place of the image of each row in the table.
        sources: (m,) the source index of each.
        is_repeat: which ones repeat a row of another file, (m,) bool.
    """

    places: np.ndarray
    sources: np.ndarray
    is_repeat: np.ndarray


NO_OTHER_ROWS = OtherRows(np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros(0, bool))


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
        keys: of the images in `table`, (n,) uint64.
        is_sound: which images in `table` have rows that don't contradict each other, (n,) bool.
        not_found: ids of images that were asked for and are nowhere.
        row_sources: column to the source index of each of its rows in `table`.
        other_rows: of images in `table`, where a selection is to choose among them.
        deselected: source index and rule to the number of rows that a selection leaves out.
        added: column to the number of its rows that follow from others by the hierarchy of classes.
        funnel: how many images there were, and how many are left after each condition in turn.
        class_images: how many images show each class of the selection, in its order.
    """

    table: pa.Table
    images: int
    failures: pa.Table
    rows: dict[int, int]
    orphans: dict[int, int]
    repeats: dict[int, int]
    left_out: dict[str, int]
    keys: np.ndarray
    is_sound: np.ndarray
    not_found: pa.Array
    row_sources: dict[str, np.ndarray]
    other_rows: OtherRows
    deselected: Counter[tuple[int, str]]
    added: Mapping[str, int] = dataclasses.field(default_factory=dict)
    funnel: Mapping[str, int] = dataclasses.field(default_factory=dict)
    class_images: Sequence[int] = ()


def column_of(kind: str) -> str:
    """Returns the column of the joined table that rows of a kind of source go to."""
    return TABLES[kind].column if kind in TABLES else kind


def join(
    batches: Iterable[KeyedBatch],
    sources: Sequence[Source],
    splits: Sequence[str] | None,
    labels: pa.Array = NO_LABELS,
    chooser: Chooser | None = None,
    reads: Collection[int] | None = None,
) -> Joined:
    """Finds the images of a bucket, and nests their annotations.

    Args:
        batches: in published order; the origin is the index of a source, and rows have the columns
            `key` and `value`.
        sources: all sources of the build, by index.
        splits: the splits to keep; None keeps all.
        labels: those that coded labels are the numbers of, as of `codes.encode`.
        chooser: which images will be chosen from. With one, the table also has images whose rows
            contradict each other, since whether they matter isn't known yet.
        reads: indices of the sources that batches are of, as if there were no others; None for all.
    """
    by_column = collections.defaultdict(list)
    received: Counter[int] = Counter()
    listed = np.empty(0, np.uint64)
    for source, _, rows in batches:
        if source == LISTED:
            listed = rows["key"].to_numpy()
            continue
        received[source] += rows.num_rows
        by_column[column_of(sources[source].kind)].append((source, rows))
    given = {column_of(each.kind) for each in sources if reads is None or each.index in reads}
    if IMAGES.column in given:
        images = merge_image_rows(by_column[IMAGES.column], sources)
    else:
        rows = [each for name in by_column if name in ANNOTATIONS for each in by_column[name]]
        images = infer_images(rows, sources)
    is_wanted = is_of_splits(images, splits)
    if chooser:
        is_wanted &= chooser.considers(images.keys)
        listed = listed[chooser.considers(listed)]  # of others, no rows were read
    is_sound = np.ones(len(images.keys), bool)
    is_sound[images.conflicts.places] = False
    places = order_by_split(images, is_wanted if chooser else is_wanted & is_sound)
    count = len(places)
    # The place of each image among those selected, `_NO_PLACE` for those that aren't wanted,
    # `_LEFT_OUT` for those that are; and for none, if there are none.
    place = np.append(np.where(is_wanted, _LEFT_OUT, _NO_PLACE), _NO_PLACE).astype(np.int32)
    place[places] = np.arange(count)

    columns = {"image_id": image_ids(images.keys[places])}
    for name in ("split", *IMAGE_FIELDS):
        columns[name] = images.rows.field(name).take(pa.array(places))
    orphans: Counter[int] = Counter()
    unwanted: Counter[int] = Counter()
    repeats: Counter[int] = Counter()
    others = [NO_OTHER_ROWS]
    if images.row_repeats is not None:
        batches_of_images = by_column[IMAGES.column]
        is_repeat = images.row_repeats
        if chooser:
            is_repeat = is_repeat & is_wanted[images.row_images]
            row_place = place[images.row_images]
            at = np.flatnonzero(row_place >= 0)
            others.append(
                OtherRows(row_place[at], row_sources(batches_of_images)[at], is_repeat[at])
            )
        repeats.update(count_by_source(batches_of_images, is_repeat))
        is_unwanted = ~is_wanted[images.row_images] & ~is_repeat
        unwanted.update(count_by_source(batches_of_images, is_unwanted))
    left_out = {}
    sources_of_rows = {}
    for name, dtype in LIST_COLUMNS.items():
        if name not in given:
            columns[name] = pa.nulls(count, pa.list_(dtype))
            continue
        identity = ANNOTATIONS[name].identity if name in ANNOTATIONS else ()
        nested = _nest(by_column[name], dtype, labels, images.keys, place, count, identity)
        columns[name] = nested.lists
        sources_of_rows[name] = nested.sources
        orphans.update(nested.orphans)
        unwanted.update(nested.unwanted)
        repeats.update(nested.repeats.sources.tolist())
        others.append(nested.repeats)
        left_out[name] = nested.left_out
        if not chooser:
            left_out[name] += sum(nested.unwanted.values())
    if chooser and chooser.selection.chooses_images:
        # Rows of images that no table names are read only as far as that is needed to choose.
        unwanted.update(orphans)
        orphans.clear()
    return Joined(
        table=pa.table(columns),
        images=int(is_wanted.sum()),
        failures=list_conflicts(images, is_wanted),
        rows=dict(received),
        orphans=dict(orphans),
        repeats=dict(repeats),
        left_out=left_out,
        keys=images.keys[places],
        is_sound=is_sound[places],
        not_found=image_ids(listed[~find(images.keys, listed)[1]]),
        row_sources=sources_of_rows,
        other_rows=OtherRows(*map(np.concatenate, zip(*others, strict=True))),
        deselected=Counter({(n, IMAGES_RULE): c for n, c in unwanted.items() if chooser}),
    )


def to_listed_batch(image_keys: bytes) -> KeyedBatch:
    """Returns the batch by which buckets know of images that were asked for.

    Args:
        image_keys: sorted uint64.
    """
    keys = pa.array(np.frombuffer(image_keys, np.uint64))
    return KeyedBatch(LISTED, 0, pa.record_batch({"key": keys}))


class _Nested(NamedTuple):
    """The rows of a column as lists, and how many rows aren't in them.

    Attributes:
        lists: (images,) lists.
        orphans: source index to the number of rows that belong to no image.
        repeats: rows that repeat a row of another file.
        unwanted: source index to the number of rows of images that aren't wanted.
        left_out: how many rows belong to other images that aren't in the table.
        sources: (m,) the source index of each row in `lists`.
    """

    lists: pa.ListArray
    orphans: dict[int, int]
    repeats: OtherRows
    unwanted: dict[int, int]
    left_out: int
    sources: np.ndarray


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
    unwanted = count_by_source(batches, found & (row_place == _NO_PLACE))
    left_out = len(keys_of_rows) - len(rows) - sum(orphans.values()) - sum(unwanted.values())
    sources = row_sources(batches)[rows]
    values = pc.take(values, pa.array(rows), boundscheck=False)
    repeats = NO_OTHER_ROWS
    offsets = np.concatenate([[0], np.cumsum(counts)])
    if identity and len({source for source, _ in batches}) > 1:
        merged = merge_repeats(values, offsets, sources, identity)
        if merged:
            is_repeat = ~merged.kept
            owners = np.repeat(np.arange(images), counts)[is_repeat]
            repeats = OtherRows(owners, sources[is_repeat], np.ones(len(owners), bool))
            values = merged.values.filter(pa.array(merged.kept))
            sources = sources[merged.kept]
            offsets = np.concatenate([[0], np.cumsum(merged.kept)])[offsets]
    offsets = offsets.astype(np.int32)
    lists = pa.ListArray.from_arrays(offsets, values)
    return _Nested(lists, orphans, repeats, unwanted, left_out, sources)
