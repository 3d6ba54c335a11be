"""Merges rows that several files hold: one row is kept, with the fields that any of them knows.

Published files overlap (V5's boxes and V6's, the full and the boxable labels, narratives and
captions), and tables are downloaded twice. Two rows of one image from different files are merged if
no field has different values. A field that is unknown in one (null, an empty text or list, a flag
of -1) takes the value of the other. Rows of one file are never merged, so a row absorbs at most one
row of each other file.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.dataset.keys import mix
from transforms.kinds.parsing.table import UNKNOWN_FLAG

_UNKNOWN = np.uint64(0)
_GOLDEN_RATIO = np.uint64(0x9E3779B97F4A7C15)
_HALF = np.uint64(32)
#: Up to so many rows of one identity are compared one by one; of more rows, only equal ones are
#: merged, so that no input takes quadratic time.
_MOST_ALIKE = 64
_FEW_TEXTS = 128  # distinct texts of a field that is coded by small numbers


class Merged(NamedTuple):
    """Rows without repeats.

    Attributes:
        values: (n,) rows; those that are kept have the fields that their repeats knew.
        kept: (n,) bool: which rows stay.
    """

    values: pa.StructArray
    kept: np.ndarray


def merge_repeats(
    values: pa.StructArray, offsets: np.ndarray, files: np.ndarray, identity: Sequence[str]
) -> Merged | None:
    """Merges rows of one image that come from different files and don't contradict each other.

    The first row stays in its place, and takes the fields that only later ones know.

    Args:
        values: (n,) rows in published order, file by file within an image.
        offsets: (images + 1,) the first row of each image, and n; ascending.
        files: (n,) integers: the file of each row, ascending within an image.
        identity: fields, numbers or texts, in which repeats agree; those with unknown values aren't
            used.

    Returns:
        None where no row repeats another.
    """
    complete = [name for name in identity if _is_known(values.field(name))]
    if not _may_repeat(values, offsets, files, complete):
        return None
    images = np.repeat(np.arange(len(offsets) - 1, dtype=np.uint64), np.diff(offsets))
    alike = _alike([_numbers(values.field(name)) for name in complete], images, files)
    if not len(alike.rows):
        return None
    names = [field.name for field in values.type]
    rows = pa.array(alike.rows)
    fields = values.take(rows).flatten()
    numbers = np.stack([_unknown_as_zero(field) for field in fields], axis=1)
    absorbed, providers = _pair(alike, numbers)
    if not absorbed.any():
        return None
    kept = np.ones(len(values), bool)
    kept[alike.rows[absorbed]] = False
    columns = values.flatten()
    for column, provider in enumerate(providers.T):
        filled = np.flatnonzero(provider != np.arange(len(provider)))
        if len(filled):
            place = np.arange(len(values))
            place[alike.rows[filled]] = alike.rows[provider[filled]]
            columns[column] = columns[column].take(pa.array(place))
    return Merged(pa.StructArray.from_arrays(columns, names), kept)


class _Alike(NamedTuple):
    """Rows that share their image and identity with one of another file; (m,) each.

    Attributes:
        rows: their places, group by group, in published order within a group.
        groups: the number of each one's group, ascending from 0.
        files: of each.
    """

    rows: np.ndarray
    groups: np.ndarray
    files: np.ndarray


def _may_repeat(
    values: pa.StructArray, offsets: np.ndarray, files: np.ndarray, identity: Sequence[str]
) -> bool:
    """Returns whether there are images with rows of several files that may agree.

    Labels by people and by machines, two thirds of all rows, name different sources, so they can't
    agree. To look at the sources that each file names is far faster than to compare the rows.
    """
    starts, stops = offsets[:-1], offsets[1:]
    has_rows = starts < stops
    first, last = files[starts[has_rows]], files[stops[has_rows] - 1]
    several = first != last
    if not several.any():
        return False
    changes = files[1:] != files[:-1]
    changes[starts[(starts > 0) & (starts < len(files))] - 1] = False
    coded = [name for name in identity if pa.types.is_dictionary(values.field(name).type)]
    coded = [name for name in coded if len(values.field(name).dictionary) <= _FEW_TEXTS]
    if np.count_nonzero(changes) > np.count_nonzero(several) or not coded:
        return True
    # Each such image has rows of just two files: rows agree only if both files name the same text.
    most = int(files.max()) + 1
    one, other = divmod(np.unique(first[several] * np.int64(most) + last[several]), most)
    for name in coded:
        texts = values.field(name).indices.to_numpy()
        pairs = files * np.int32(_FEW_TEXTS) + texts
        named = np.bincount(pairs, minlength=most * _FEW_TEXTS).reshape(most, _FEW_TEXTS) > 0
        if not (named[one] & named[other]).any():
            return False
    return True


def _alike(identity: Sequence[np.ndarray], images: np.ndarray, files: np.ndarray) -> _Alike:
    """Finds rows that may be repeats, by a hash of their image and identity."""
    hashes = _combine(np.uint64(0), images)
    for numbers in identity:
        hashes = _combine(hashes, numbers)
    ordered = np.sort(hashes)
    again = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    rows = np.flatnonzero(np.isin(hashes, again))
    rows = rows[np.argsort(hashes[rows], kind="stable")]
    starts, lengths = _runs(hashes[rows])
    # Most groups are rows of one file.
    several = np.maximum.reduceat(files[rows], starts) != files[rows[starts]]
    groups = np.repeat(np.cumsum(several) - 1, lengths)
    rows, groups = (each[np.repeat(several, lengths)] for each in (rows, groups))
    return _Alike(rows, groups, files[rows])


def _pair(alike: _Alike, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns which of m rows repeat another, (m,) bool, and which row provides each field, (m, f).

    Args:
        alike: the rows.
        known: (m, f) numbers that are equal where values are; 0 where the value is unknown.
    """
    known = known.copy()
    providers = np.tile(np.arange(len(known))[:, None], known.shape[1])
    absorbed, standing = _equal_rows(alike, known)
    files = np.int64(alike.files.max()) + 1
    # Pairs of row and file: the row stands for a row of that file already.
    taken = np.concatenate([np.arange(len(known)), standing]) * files + np.tile(alike.files, 2)
    sizes = np.bincount(alike.groups[~absorbed], minlength=int(alike.groups[-1]) + 1)
    open_rows = np.flatnonzero(~absorbed & (sizes <= _MOST_ALIKE)[alike.groups])
    while len(open_rows):
        starts, lengths = _runs(alike.groups[open_rows])
        first = open_rows[starts]  # of each group: the others are compared with it in this round
        for nth in range(1, int(lengths.max())):
            longer = np.flatnonzero(lengths > nth)
            mine, other = first[longer], open_rows[starts[longer] + nth]
            agrees = (
                (known[mine] == known[other])
                | (known[mine] == _UNKNOWN)
                | (known[other] == _UNKNOWN)
            ).all(axis=1)
            pairs = mine * files + alike.files[other]
            agrees &= ~np.isin(pairs, taken)
            mine, other = mine[agrees], other[agrees]
            taken = np.append(taken, pairs[agrees])
            absorbed[other] = True
            filled = known[mine] == _UNKNOWN
            known[mine] = np.where(filled, known[other], known[mine])
            providers[mine] = np.where(filled, providers[other], providers[mine])
        is_open = ~absorbed[open_rows]
        is_open[starts] = False
        open_rows = open_rows[is_open]
    return absorbed, providers


def _equal_rows(alike: _Alike, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns which rows equal a row of an earlier file in all fields, and which row each equals.

    The second of two equal rows of a file repeats the second one of the other file.

    Returns:
        (m,) bool; (m,) places of the first equal row, which may be the row itself.
    """
    hashes = _combine(np.uint64(0), alike.groups.astype(np.uint64))
    for column in known.T:
        hashes = _combine(hashes, column)
    occurrence = _occurrences(_combine(hashes, alike.files.astype(np.uint64)))
    hashes = _combine(hashes, occurrence)
    _, first, places = np.unique(hashes, return_index=True, return_inverse=True)
    absorbed = np.ones(len(hashes), bool)
    absorbed[first] = False
    return absorbed, first[places]


def _occurrences(numbers: np.ndarray) -> np.ndarray:
    """Returns how many equal numbers precede each, (n,) uint64."""
    order = np.argsort(numbers, kind="stable")
    starts, lengths = _runs(numbers[order])
    counted = np.empty(len(numbers), np.uint64)
    counted[order] = np.arange(len(numbers)) - np.repeat(starts, lengths)
    return counted


def _runs(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns where runs of equal numbers start, and their lengths."""
    starts = np.flatnonzero(np.diff(numbers, prepend=~numbers[:1]))
    return starts, np.diff(np.append(starts, len(numbers)))


def _combine(hashes: np.ndarray | np.uint64, numbers: np.ndarray) -> np.ndarray:
    """Returns hashes of sequences that are extended by one number each; uint64."""
    hashes = (hashes ^ numbers) * _GOLDEN_RATIO
    return hashes ^ (hashes >> _HALF)


def _is_known(array: pa.Array) -> bool:
    """Returns whether a field of numbers or texts has no unknown values."""
    texts = array.dictionary if pa.types.is_dictionary(array.type) else array
    if array.null_count or not pa.types.is_string(texts.type):
        return not array.null_count
    return pc.index(texts, "").as_py() < 0


def _unknown_as_zero(array: pa.Array) -> np.ndarray:
    """Returns numbers that are equal where values are, 0 for unknown ones; (n,) uint64."""
    dtype = array.type
    unknown = array.is_null().to_numpy(zero_copy_only=False)
    if pa.types.is_list(dtype):
        unknown |= array.value_lengths().fill_null(0).to_numpy() == 0
    elif pa.types.is_int8(dtype):
        unknown |= array.fill_null(0).to_numpy() == UNKNOWN_FLAG
    elif pa.types.is_string(dtype) or pa.types.is_dictionary(dtype):
        texts = array.dictionary_decode() if pa.types.is_dictionary(dtype) else array
        unknown |= np.asarray(pc.equal(texts.fill_null(""), ""))
    numbers = mix(_numbers(array))
    return np.where(unknown, _UNKNOWN, np.maximum(numbers, np.uint64(1)))


def _numbers(array: pa.Array) -> np.ndarray:
    """Returns numbers that are equal where values of an array of any type are; (n,) uint64."""
    dtype = array.type
    if pa.types.is_struct(dtype):
        combined = np.zeros(len(array), np.uint64)
        for child in array.flatten():
            combined = mix(_combine(combined, _numbers(child)))
        return combined
    if pa.types.is_list(dtype):
        lengths = array.value_lengths().fill_null(0).to_numpy().astype(np.int64)
        ends = np.cumsum(lengths)
        places = np.arange(int(lengths.sum())) - np.repeat(ends - lengths, lengths)
        hashed = mix(_combine(_numbers(array.flatten()), places.astype(np.uint64)))
        sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(hashed, dtype=np.uint64)])
        return _combine(sums[ends] - sums[ends - lengths], lengths.astype(np.uint64))
    if pa.types.is_string(dtype) or pa.types.is_binary(dtype):
        array = array.dictionary_encode()
    if pa.types.is_dictionary(array.type):
        array = array.indices
    numbers = (array.fill_null(0) if array.null_count else array).to_numpy(zero_copy_only=False)
    if np.issubdtype(numbers.dtype, np.floating):
        numbers = (numbers + 0).view(f"u{numbers.dtype.itemsize}")  # -0.0 is 0.0
    return numbers.astype(np.uint64)
