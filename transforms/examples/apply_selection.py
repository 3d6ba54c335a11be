"""Applies a selection to joined images: chooses images, and drops annotations of those chosen."""

import dataclasses
from collections import Counter
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.dataset.elements import in_one_piece
from transforms.examples.join import LIST_COLUMNS, NO_OTHER_ROWS, Joined, join
from transforms.examples.options import ExampleOptions
from transforms.exchange.batches import KeyedBatch
from transforms.kinds.registry import ANNOTATIONS
from transforms.selection.choose import IMAGES_RULE, BucketImages, Chooser
from transforms.selection.expand import EXPANDED, expand
from transforms.selection.quotas import Cuts
from transforms.selection.selection import EVERYTHING


def join_selected(
    batches: Iterable[KeyedBatch],
    options: ExampleOptions,
    labels: pa.Array,
    num_buckets: int,
    cuts: Cuts,
) -> Joined:
    """Returns a bucket's images that are built, with the annotations that they carry.

    Args:
        batches: as for `join`.
        options: what examples are made of.
        labels: as for `join`.
        num_buckets: how many buckets there are.
        cuts: where the quotas of the selection are reached.
    """
    if options.selection == EVERYTHING:
        return join(batches, options.sources, options.splits, labels)
    chooser = Chooser(options.selection, num_buckets, cuts)
    joined = join(batches, options.sources, options.splits, labels, chooser)
    return apply_selection(joined, chooser)


def apply_selection(joined: Joined, chooser: Chooser) -> Joined:
    """Returns the images that a selection chooses, with the annotations that it keeps.

    Args:
        joined: images to choose from, of `join` with the same chooser.
        chooser: applies the selection.
    """
    chosen = chooser.choose(BucketImages.of_table(joined.keys, joined.table))
    is_chosen = chosen.images
    is_built = is_chosen & joined.is_sound
    deselected = Counter(joined.deselected)
    repeats = Counter(joined.repeats)
    others = joined.other_rows
    is_left = ~is_chosen[others.places]
    _count(deselected, IMAGES_RULE, others.sources[is_left])
    repeats.subtract(others.sources[is_left & others.is_repeat].tolist())
    left_out = dict(joined.left_out)
    columns = {name: in_one_piece(joined.table[name]) for name in joined.table.column_names}
    built = pa.array(is_built)
    for name, lists in columns.items():
        sources = joined.row_sources.get(name)
        if sources is None:
            columns[name] = lists.filter(built)
            continue
        images = np.repeat(np.arange(len(lists)), lists.value_lengths().to_numpy())
        is_kept = is_chosen[images]
        _count(deselected, IMAGES_RULE, sources[~is_kept])
        if name in ANNOTATIONS:
            for rule, dropped in chooser.find_dropped(name, lists.flatten()):
                _count(deselected, rule, sources[is_kept & dropped])
                is_kept &= ~dropped
        left_out[name] += int(np.count_nonzero(is_kept & ~is_built[images]))
        is_kept &= is_built[images]
        if name in ANNOTATIONS and name not in chooser.selection.carried_columns:
            columns[name] = pa.nulls(int(is_built.sum()), pa.list_(LIST_COLUMNS[name]))
        elif not is_built.all() or not is_kept.all():
            columns[name] = _kept(lists, images, is_kept, is_built)
    chosen_ids = joined.table["image_id"].filter(pa.array(is_chosen))
    is_of_chosen = pc.is_in(joined.failures["image_id"], chosen_ids.combine_chunks())
    added = {}
    if hierarchy := chooser.selection.hierarchy:
        for name, kind in EXPANDED.items():
            lists = columns[name]
            if lists.null_count < len(lists):
                columns[name] = expand(lists, kind, hierarchy)
                added[name] = len(columns[name].flatten()) - len(lists.flatten())
    return dataclasses.replace(
        joined,
        table=pa.table(columns),
        images=int(is_chosen.sum()),
        failures=joined.failures.filter(is_of_chosen),
        repeats=dict(+repeats),
        left_out=left_out,
        keys=joined.keys[is_built],
        is_sound=joined.is_sound[is_built],
        row_sources={},
        other_rows=NO_OTHER_ROWS,
        deselected=deselected,
        added=added,
        funnel=chosen.funnel,
        class_images=chosen.shown.count_images(chooser.selection.mids),
    )


def _count(counts: Counter[tuple[int, str]], rule: str, sources: np.ndarray) -> None:
    """Adds rows of some sources to the counts of a rule."""
    for source, count in zip(*np.unique(sources, return_counts=True), strict=True):
        counts[int(source), rule] += int(count)


def _kept(
    lists: pa.ListArray, images: np.ndarray, is_kept: np.ndarray, is_built: np.ndarray
) -> pa.ListArray:
    """Returns the lists of some images, of some of their rows."""
    counts = np.bincount(images[is_kept], minlength=len(lists))[is_built]
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    return pa.ListArray.from_arrays(offsets, lists.flatten().filter(pa.array(is_kept)))
