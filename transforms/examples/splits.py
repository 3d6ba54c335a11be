"""Orders the images of a bucket by split, and tells splits apart."""

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.examples.images import Images


def order_by_split(images: Images, is_wanted: np.ndarray) -> np.ndarray:
    """Returns the places of some images of a bucket, split by split and in key order within one.

    Args:
        images: of a bucket.
        is_wanted: (n,) bool.
    """
    places = np.flatnonzero(is_wanted)
    # Sorted by split, so that what is written together is a slice and no copy.
    rank = pc.rank(images.rows.field("split"), tiebreaker="dense").to_numpy()
    return places[np.argsort(rank[places], kind="stable")]


def split_table(joined: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """Yields each split of a joined table, with its slice of it."""
    start = 0
    for count in pc.value_counts(joined["split"]).to_pylist():
        yield count["values"], joined.slice(start, count["counts"])
        start += count["counts"]


def is_of_splits(images: Images, splits: Sequence[str] | None) -> np.ndarray:
    """Returns for which images, (n,) bool, some row names a split that is wanted."""
    if splits is None:
        return np.ones(len(images.keys), bool)
    wanted = pc.is_in(images.row_splits, pa.array(splits, pa.string()))
    is_wanted = np.zeros(len(images.keys), bool)
    is_wanted[images.row_images[wanted.to_numpy(zero_copy_only=False)]] = True
    return is_wanted
