"""Lineage: digests of buckets and identities of images, which the next build compares."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import xxhash

from transforms.dataset import codes
from transforms.dataset.elements import Source, in_one_piece
from transforms.dataset.failures import Failure
from transforms.dataset.keys import find, image_keys
from transforms.kinds.registry import ANNOTATIONS
from transforms.reuse.identity import UNKNOWN, mask_identities, picture_identities
from transforms.reuse.recording import ROW

#: Columns of addresses; the identities of the files count instead.
_ADDRESSES = ("pictures", "mask_files", "voice_files")


def lineage_of(images: pa.Table, sources: Sequence[Source], turned: bool) -> np.ndarray:
    """Returns (n,) of `ROW`, by key, of images of one split.

    Args:
        images: n rows of `join.Joined.table`.
        sources: all sources, by index.
        turned: whether pictures are turned by their published rotation.
    """
    keys, _ = image_keys(in_one_piece(images["image_id"]))
    pictures = picture_identities(images, sources, turned)
    rows = np.empty(len(images), ROW)
    rows["key"] = keys
    rows["picture"] = pictures
    rows["masks"] = UNKNOWN
    if any(source.kind == "mask_files" for source in sources):
        rows["masks"] = mask_identities(images, sources, pictures)
    return rows


def written_rows(
    rows: np.ndarray, image_ids: Sequence[pa.Array], failures: Iterable[Failure]
) -> np.ndarray:
    """Returns the rows of the images that were written.

    Args:
        rows: as of `lineage_of`.
        image_ids: of the images that were written.
        failures: of their pictures and masks: masks of these images are to be tried again.
    """
    is_written = np.zeros(len(rows), bool)
    is_written[places_of(rows, pa.chunked_array(image_ids, pa.string()))] = True
    again = [failure.image_id for failure in failures if failure.image_id is not None]
    rows = rows.copy()
    rows["masks"][places_of(rows, pa.chunked_array([again], pa.string()))] = UNKNOWN
    return rows[is_written]


def places_of(rows: np.ndarray, image_ids: pa.ChunkedArray) -> np.ndarray:
    """Returns where images are among `rows`, (n,) of `ROW`."""
    keys, _ = image_keys(in_one_piece(image_ids))
    return find(rows["key"], keys)[0]


def digest_of(joined: pa.Table, others: Iterable[bytes | np.ndarray]) -> str:
    """Returns a hash of a joined table and of other data, 128 bits in hex.

    Chunks, dictionaries and values under nulls don't matter.

    Args:
        joined: the table of `join.Joined`.
        others: further data that decides about the output.
    """
    digest = xxhash.xxh3_128()
    for name in joined.column_names:
        if name not in _ADDRESSES:
            column = in_one_piece(joined[name])
            coded = ANNOTATIONS[name].coded if name in ANNOTATIONS else ()
            _update(digest, column, coded)
    for data in others:
        _take(digest, data)
    return digest.hexdigest()


def _update(digest: xxhash.xxh3_128, array: pa.Array, coded: tuple[str, ...] = ()) -> None:
    """Hashes an array; fields in `coded` have few distinct texts."""
    dtype = array.type
    if array.null_count:
        present = np.packbits(array.is_valid().to_numpy(zero_copy_only=False))
        _take(digest, present)
    if pa.types.is_struct(dtype):
        for field, child in zip(dtype, array.flatten(), strict=True):
            if field.name in coded and pa.types.is_string(field.type):
                child = child.dictionary_encode()
            _update(digest, child, coded)
    elif pa.types.is_list(dtype):
        lengths = array.value_lengths()
        _update_numbers(digest, lengths)
        _update(digest, array.flatten(), coded)
    elif pa.types.is_dictionary(dtype):
        array = codes.compact(array)
        _update_numbers(digest, array.indices)
        _update(digest, array.dictionary)
    elif pa.types.is_string(dtype) or pa.types.is_binary(dtype):
        array = array.fill_null("" if pa.types.is_string(dtype) else b"")
        offsets = np.frombuffer(array.buffers()[1], np.int32)
        offsets = offsets[array.offset : array.offset + len(array) + 1]
        _take(digest, np.diff(offsets))
        data = np.frombuffer(array.buffers()[2] or b"", np.uint8)
        _take(digest, data[offsets[0] : offsets[-1]] if len(array) else b"")
    elif not pa.types.is_null(dtype):
        _update_numbers(digest, array)


def _update_numbers(digest: xxhash.xxh3_128, array: pa.Array) -> None:
    numbers = (array.fill_null(0) if array.null_count else array).to_numpy()
    if np.issubdtype(numbers.dtype, np.integer):
        numbers = numbers.astype(np.int64)  # of whatever width indices are
    _take(digest, np.ascontiguousarray(numbers))


def _take(digest: xxhash.xxh3_128, data: Any) -> None:
    """Hashes data after its length, so that no two sequences of data are the same bytes."""
    view = memoryview(data)
    digest.update(view.nbytes.to_bytes(8, "little"))
    digest.update(view)
