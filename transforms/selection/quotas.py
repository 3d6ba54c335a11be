"""Quotas: the first images in order, of each class and of all, by counts alone.

The order of images is that of their keys from a start on, once around. A bucket holds a range of
keys, so which images are among the first N follows from how many each bucket has: all of the
buckets before, and of one bucket some more. Nothing else is gathered in one place. The bucket in
which the order begins counts as two pieces, the last of which comes last.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.dataset.elements import to_ipc
from transforms.exchange.batches import bucket_of

#: How many images of a piece have a label; without a label, how many there are.
_TALLY = pa.schema([("piece", pa.int32()), ("label", pa.string()), ("count", pa.int64())])
_NO_CUT = np.iinfo(np.int32).max


class Shown(NamedTuple):
    """Which images show which labels, each pair once, for images 0 to n - 1 of a bucket.

    Attributes:
        images: (m,) int64.
        labels: (m,) int64, places in `names`.
        names: of the labels, none twice.
    """

    images: np.ndarray
    labels: np.ndarray
    names: pa.StringArray

    def filter(self, is_wanted: np.ndarray) -> "Shown":
        """Returns the pairs of some images, by a mask over the images."""
        kept = is_wanted[self.images]
        return Shown(self.images[kept], self.labels[kept], self.names)

    def count_images(self, labels: Sequence[str]) -> list[int]:
        """Returns how many images show each of some labels."""
        places = pc.index_in(pa.array(labels, pa.string()), self.names).fill_null(-1)
        counts = np.append(np.bincount(self.labels, minlength=len(self.names)), 0)
        return counts[places.to_numpy()].tolist()


NOTHING_SHOWN = Shown(np.zeros(0, np.int64), np.zeros(0, np.int64), pa.array([], pa.string()))


class Cuts(NamedTuple):
    """Where the order of images is cut: of a piece before that all are taken, of that some.

    Attributes:
        labels: those of which there are more images than are needed.
        pieces: (k,) int32, the piece in which each is cut.
        rests: (k,) int64, how many images of that piece are needed.
        image_piece: likewise for images as a whole; None where these have no limit.
        image_rest: likewise.
    """

    labels: pa.StringArray = pa.array([], pa.string())
    pieces: np.ndarray = np.zeros(0, np.int32)
    rests: np.ndarray = np.zeros(0, np.int64)
    image_piece: int | None = None
    image_rest: int = 0


NO_CUTS = Cuts()


def pieces_of(keys: np.ndarray, num_buckets: int, start: int) -> np.ndarray:
    """Returns the piece of each key, (n,) int32 from 0 to `num_buckets`, in the order of images.

    Args:
        keys: (n,) uint64.
        num_buckets: how many buckets there are.
        start: the key at which the order begins.
    """
    first = np.array([start], np.uint64)
    pieces = bucket_of(keys, num_buckets).astype(np.int32) - int(bucket_of(first, num_buckets)[0])
    pieces[keys < first] += num_buckets
    return pieces


def tally(pieces: np.ndarray, is_counted: np.ndarray, shown: Shown) -> bytes:
    """Counts the images of a bucket by piece and label.

    Args:
        pieces: (n,) the piece of each image.
        is_counted: which images are counted, (n,) bool.
        shown: the labels that these show.

    Returns:
        A table of `_TALLY` as an Arrow IPC stream.
    """
    base = len(shown.names) + 1  # the last number stands for no label
    pairs = pieces[shown.images].astype(np.int64) * base + shown.labels
    images = pieces[is_counted].astype(np.int64) * base + len(shown.names)
    numbers, counts = np.unique(np.concatenate([pairs, images]), return_counts=True)
    labels = pa.array(numbers % base, mask=numbers % base == len(shown.names))
    columns = {"piece": numbers // base, "label": shown.names.take(labels), "count": counts}
    return to_ipc(pa.table(columns).cast(_TALLY))


def cut_classes(tallies: Iterable[bytes], most: int) -> Cuts:
    """Returns where each label has `most` images.

    Args:
        tallies: as of `tally`, of all buckets in any order.
        most: how many images of a label are needed.
    """
    table = _together(tallies)
    table = table.filter(table["label"].is_valid())
    labels = table["label"].combine_chunks().dictionary_encode()
    codes, pieces = labels.indices.to_numpy(), table["piece"].to_numpy()
    rows, rests = _find_cuts(codes, pieces, table["count"].to_numpy(), most)
    return Cuts(labels.dictionary.take(pa.array(codes[rows])), pieces[rows], rests)


def cut_images(tallies: Iterable[bytes], most: int) -> Cuts:
    """Returns where there are `most` images in all."""
    table = _together(tallies)
    table = table.filter(table["label"].is_null())
    pieces = table["piece"].to_numpy()
    one_group = np.zeros(len(table), np.int64)
    rows, rests = _find_cuts(one_group, pieces, table["count"].to_numpy(), most)
    if not len(rows):
        return NO_CUTS
    return Cuts(image_piece=int(pieces[rows[0]]), image_rest=int(rests[0]))


def _find_cuts(
    groups: np.ndarray, pieces: np.ndarray, counts: np.ndarray, most: int
) -> tuple[np.ndarray, np.ndarray]:
    """Finds where the images of each group, counted piece by piece, first are `most`.

    Args:
        groups: (n,) the group of each count, from 0.
        pieces: (n,) the piece of each count.
        counts: (n,) how many images a piece has of a group.
        most: how many images of a group are needed.

    Returns:
        (k,) the place of the count that reaches `most`, for each group in which one does; and (k,)
        how many of its images are needed.
    """
    most = min(most, np.iinfo(np.int64).max)
    order = np.lexsort((pieces, groups))
    sorted_groups, sorted_counts = groups[order], counts[order]
    before = np.cumsum(sorted_counts) - sorted_counts
    is_first = np.diff(sorted_groups, prepend=-1) != 0
    before -= np.maximum.accumulate(np.where(is_first, before, 0))
    reached = np.flatnonzero(before + sorted_counts >= most)
    _, first = np.unique(sorted_groups[reached], return_index=True)
    places = reached[first]
    return order[places], most - before[places]


def _together(tallies: Iterable[bytes]) -> pa.Table:
    tables = [pa.ipc.open_stream(each).read_all() for each in tallies]
    return pa.concat_tables([_TALLY.empty_table(), *tables])


def needed_by_class(keys: np.ndarray, pieces: np.ndarray, shown: Shown, cuts: Cuts) -> np.ndarray:
    """Returns which images of a bucket some class needs, (n,) bool.

    Args:
        keys: (n,) uint64.
        pieces: (n,) the piece of each.
        shown: what they show.
        cuts: as of `cut_classes`.
    """
    places = pc.index_in(shown.names, cuts.labels)
    is_cut = np.asarray(places.is_valid())
    cut_at = np.where(is_cut, np.append(cuts.pieces, 0)[places.fill_null(-1)], _NO_CUT)
    rests = np.where(is_cut, np.append(cuts.rests, 0)[places.fill_null(-1)], 0)
    piece, cut = pieces[shown.images], cut_at[shown.labels]
    is_needed = piece < cut
    at_cut = np.flatnonzero(piece == cut)
    ranks = _ranks(shown.labels[at_cut], keys[shown.images[at_cut]])
    is_needed[at_cut] = ranks < rests[shown.labels[at_cut]]
    needed = np.zeros(len(keys), bool)
    needed[shown.images[is_needed]] = True
    return needed


def within_limit(
    keys: np.ndarray, pieces: np.ndarray, is_wanted: np.ndarray, cuts: Cuts
) -> np.ndarray:
    """Returns which of the wanted images of a bucket are before the cut of images, (n,) bool."""
    if cuts.image_piece is None:
        return is_wanted
    within = is_wanted & (pieces < cuts.image_piece)
    at_cut = np.flatnonzero(is_wanted & (pieces == cuts.image_piece))
    first = at_cut[np.argsort(keys[at_cut])][: cuts.image_rest]
    within[first] = True
    return within


def _ranks(groups: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Returns the place of each element within its group, by key, from 0."""
    order = np.lexsort((keys, groups))
    is_first = np.diff(groups[order], prepend=-1) != 0
    starts = np.maximum.accumulate(np.where(is_first, np.arange(len(order)), 0))
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.arange(len(order)) - starts
    return ranks
