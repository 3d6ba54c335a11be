"""Finds the images of a bucket: in image tables, or else by their annotations."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.dataset import failures
from transforms.dataset.elements import Source
from transforms.dataset.failures import Failure, Reason, Stage
from transforms.dataset.keys import image_ids
from transforms.kinds.images import IMAGE_ROW, IMAGES

_SHOWN = 100  # characters of a value that a failure shows

#: Source index and rows.
SourceRows = tuple[int, pa.RecordBatch]


class Conflicts(NamedTuple):
    """Images whose rows contradict each other.

    Attributes:
        places: of the images, (n,) int64, in ascending order.
        details: what the rows of each say, (n,).
    """

    places: np.ndarray
    details: pa.StringArray


class Images(NamedTuple):
    """The images of a bucket; n of them, with m rows that name their splits.

    Attributes:
        keys: (n,) uint64, sorted.
        rows: (n,) rows of type IMAGE_ROW.
        conflicts: images whose rows contradict each other.
        row_images: (m,) the place of the image of each row.
        row_splits: (m,) the split that each row names; null where none.
        row_repeats: (m,) bool, which rows repeat another, those of conflicting images apart; None
            where no rows are of images.
    """

    keys: np.ndarray
    rows: pa.StructArray
    conflicts: Conflicts
    row_images: np.ndarray
    row_splits: pa.Array
    row_repeats: np.ndarray | None


def row_sources(batches: Sequence[SourceRows]) -> np.ndarray:
    """Returns the source index of each row."""
    sources = np.array([source for source, _ in batches], np.int32)
    return np.repeat(sources, [batch.num_rows for _, batch in batches])


def row_keys(batches: Iterable[SourceRows]) -> np.ndarray:
    """Returns the key of each row."""
    return np.concatenate(
        [np.empty(0, np.uint64), *(batch["key"].to_numpy() for _, batch in batches)]
    )


def count_by_source(batches: Sequence[SourceRows], wanted: np.ndarray) -> dict[int, int]:
    """Returns how many `wanted` rows, (n,) bool, each source has that has any."""
    if not wanted.any():
        return {}
    counts = np.bincount(row_sources(batches)[wanted])
    return {int(source): int(counts[source]) for source in np.flatnonzero(counts)}


def merge_image_rows(batches: Sequence[SourceRows], sources: Sequence[Source]) -> Images:
    """Merges the rows of image tables to one for each image.

    A field that is null in one row is filled from another; rows with different values conflict.
    """
    keys_of_rows = row_keys(batches)
    values = pa.concat_arrays([pa.array([], IMAGE_ROW), *(batch["value"] for _, batch in batches)])
    order = np.argsort(keys_of_rows, kind="stable")
    keys, first, counts = np.unique(keys_of_rows[order], return_index=True, return_counts=True)
    merged = values.take(pa.array(order[first]))
    conflicting = np.zeros(len(keys), bool)
    for nth in range(1, counts.max(initial=1)):
        # The next row of each image, null where there is none.
        rows = order[np.minimum(first + nth, len(order) - 1)]
        others = values.take(pa.array(rows, mask=counts <= nth))
        fields = []
        for mine, other in zip(merged.flatten(), others.flatten(), strict=True):
            differs = pc.fill_null(pc.not_equal(mine, other), False)
            conflicting |= differs.to_numpy(zero_copy_only=False)
            fields.append(pc.coalesce(mine, other))
        merged = pa.StructArray.from_arrays(fields, fields=list(IMAGE_ROW))
    places = np.flatnonzero(conflicting)
    rows = order[np.repeat(conflicting, counts)]
    contradicting = values.take(pa.array(rows))
    paths = [sources[source].shown_name for source in row_sources(batches)[rows].tolist()]
    ends = np.cumsum(counts[conflicting]).tolist()
    details = [
        _describe_conflict(contradicting[start:end].to_pylist(), paths[start:end])
        for start, end in itertools.pairwise([0, *ends])
    ]
    is_repeat = np.ones(len(keys_of_rows), bool)
    is_repeat[order[first]] = False
    is_repeat[order[np.repeat(conflicting, counts)]] = False
    row_images = np.empty(len(order), np.int64)
    row_images[order] = np.repeat(np.arange(len(keys)), counts)
    return Images(
        keys,
        merged,
        Conflicts(places, pa.array(details, pa.string())),
        row_images,
        values.field("split"),
        is_repeat,
    )


def _describe_conflict(rows: Sequence[Mapping], paths: Sequence[str]) -> str:
    """Names the first column in which rows of an image differ, with two values and their files.

    Args:
        rows: of one image, which contradict each other.
        paths: the file of each row.
    """
    for header in (*IMAGES.required, *IMAGES.optional):
        name = IMAGES.fields[header]
        given = [
            (row[name], path)
            for row, path in zip(rows, paths, strict=True)
            if row[name] is not None
        ]
        different = [each for each in given if each[0] != given[0][0]]
        if different:
            shown = [
                f"{str(value)[:_SHOWN]!r} in {path}" for value, path in (given[0], different[0])
            ]
            return f"{header} is {' and '.join(shown)}"
    raise ValueError("rows that don't contradict each other")


def infer_images(batches: Sequence[SourceRows], sources: Sequence[Source]) -> Images:
    """Returns every image that has annotations, with the split of their files.

    An image with annotations in files of two splits is a conflict.

    Args:
        batches: rows of annotations, of all kinds.
        sources: all sources, by index.
    """
    names = sorted({source.split for source in sources if source.split})
    code: dict[str | None, int] = {name: i for i, name in enumerate(names)}
    # Numbers that sort by split and then source: an image whose lowest and highest number are of
    # different splits conflicts, and the two numbers name the files.
    number_of = [code[sources[source].split] * len(sources) + source for source, _ in batches]
    numbers = np.repeat(np.array(number_of, np.int64), [batch.num_rows for _, batch in batches])
    keys, row_images = np.unique(row_keys(batches), return_inverse=True)
    lowest = np.full(len(keys), len(names) * len(sources))
    highest = np.full(len(keys), -1)
    np.minimum.at(lowest, row_images, numbers)
    np.maximum.at(highest, row_images, numbers)
    split_of = lowest // len(sources)
    split = pa.array(names, pa.string()).take(pa.array(split_of))
    fields = [split, *(pa.nulls(len(keys), field.type) for field in list(IMAGE_ROW)[1:])]
    images = pa.StructArray.from_arrays(fields, fields=list(IMAGE_ROW))
    places = np.flatnonzero(split_of != highest // len(sources))
    statements = pa.array(
        [f"it is of {each.split} by {each.shown_name}" for each in sources], pa.string()
    )
    details = pc.binary_join_element_wise(
        *(statements.take(pa.array(ends[places] % len(sources))) for ends in (lowest, highest)),
        " and ",
    )
    row_splits = pa.DictionaryArray.from_arrays(numbers // len(sources), names)
    conflicts = Conflicts(places, details)
    return Images(keys, images, conflicts, row_images, row_splits, row_repeats=None)


def list_conflicts(images: Images, is_wanted: np.ndarray) -> pa.Table:
    """Returns a failure for each wanted image whose rows contradict each other."""
    is_reported = is_wanted[images.conflicts.places]
    places = images.conflicts.places[is_reported]
    ids = image_ids(images.keys[places]).to_pylist()
    splits = images.rows.field("split").take(pa.array(places)).to_pylist()
    details = images.conflicts.details.filter(pa.array(is_reported)).to_pylist()
    where = (Stage.JOIN, Reason.CONFLICT)
    rows = zip(ids, splits, details, strict=True)
    return failures.to_table(Failure(image, split, *where, text) for image, split, text in rows)
