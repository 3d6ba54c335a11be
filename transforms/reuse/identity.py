"""Identities of pictures, masks and recordings: those that haven't changed needn't be read again.

A member of a folder counts by name, size and time of change, or ETag; of a zip by size and CRC-32;
of a tar by its place in an archive that counts by size and time, or ETag. A picture that is asked
for by name counts by its address; recordings likewise. These are the rules of
`building.fingerprint`, image by image.
"""

from collections.abc import Iterable, Sequence
from itertools import groupby

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from transforms.dataset.elements import LISTED, Source, in_one_piece
from transforms.dataset.keys import mix

#: The identity of what isn't to be taken over.
UNKNOWN = np.uint64(0)
_LEAST = np.uint64(1)

_ADDRESSES = {
    "original": ("original_url", "original_size", "original_md5"),
    "thumbnail": ("thumbnail_300k_url", "original_url", "original_size", "original_md5"),
}


def picture_identities(images: pa.Table, sources: Sequence[Source], turned: bool) -> np.ndarray:
    """Returns the identities of the pictures of images of one split.

    Args:
        images: n rows of `join.Joined.table`, all of one split.
        sources: all sources, by index.
        turned: whether pictures are turned by the column `rotation`.

    Returns:
        (n,) uint64: equal identities are those of equal pictures.
    """
    pictures = [source for source in sources if source.kind == "pictures"]
    (split,) = images["split"].unique().to_pylist()
    # Several places that are listed are as one: so one more of them changes nothing for most.
    asked = [
        "listed" if listed else [(source.medium, *_address(source), split) for source in some]
        for listed, some in groupby(pictures, key=lambda source: source.medium in LISTED)
    ]
    identities = np.full(len(images), _hashes([repr(asked)])[0])
    if "listed" in asked:
        identities = _chain_lists(identities, *_members(images["pictures"], sources))
    for medium in sorted({source.medium for source in pictures} & _ADDRESSES.keys()):
        rows = zip(*(images[name].to_pylist() for name in _ADDRESSES[medium]), strict=True)
        identities = mix(identities ^ _hashes(map(repr, rows)))
    if turned:
        rotation = in_one_piece(images["rotation"]).fill_null(-1)
        identities = mix(
            identities ^ rotation.to_numpy(zero_copy_only=False).astype(np.int64).view(np.uint64)
        )
    return np.maximum(identities, _LEAST)


def mask_identities(
    images: pa.Table, sources: Sequence[Source], pictures: np.ndarray
) -> np.ndarray:
    """Returns the identities of the masks of images, one for all masks of an image.

    Args:
        images: n rows of `join.Joined.table`.
        sources: all sources, by index.
        pictures: (n,) identities of their pictures, whose size masks get.

    Returns:
        (n,) uint64.
    """
    identities = _chain_lists(pictures, *_members(images["mask_files"], sources))
    lengths, masks = _flattened(images["masks"])
    names = _hashes(masks.field("mask_path").to_pylist()) if len(masks) else _hashes([])
    return np.maximum(_chain_lists(identities, lengths, names), _LEAST)


def voice_identities(images: pa.Table, sources: Sequence[Source]) -> np.ndarray:
    """Returns the identities of the recordings of images, one for all recordings of an image.

    Their names are those that narratives have.

    Args:
        images: n rows of `join.Joined.table`.
        sources: all sources, by index.

    Returns:
        (n,) uint64.
    """
    asked = [
        "listed" if source.medium in LISTED else (source.medium, *_address(source))
        for source in sources
        if source.kind == "voice_files"
    ]
    identities = np.full(len(images), _hashes([repr(asked)])[0])
    return _chain_lists(identities, *_members(images["voice_files"], sources))


def _members(lists: pa.ChunkedArray, sources: Sequence[Source]) -> tuple[np.ndarray, np.ndarray]:
    """Returns how many members each of n images has, and the identity of each member."""
    lengths, members = _flattened(lists)
    if not len(members):
        return lengths, _hashes([])
    container = _hashes(map(_container, sources))
    in_tar = np.array([source.medium in ("tar", "tar.gz") for source in sources])
    source = members.field("source").to_numpy()
    identities = mix(container[source] ^ _hashes(members.field("name").to_pylist()))
    for name in ("size", "crc32", "stamp"):
        identities = mix(identities ^ _numbers(members.field(name)))
    offset = np.where(in_tar[source], _numbers(members.field("offset")), np.uint64(0))
    return lengths, mix(identities ^ offset)


def _container(source: Source) -> str:
    """Returns what identifies the place that members are in."""
    if source.medium in ("tar", "tar.gz"):
        return f"{source.medium} {source.size} {source.digest}"
    return source.medium


def _address(source: Source) -> tuple[str, ...]:
    """Returns what identifies an address: of secrets, the hash in the source's digest."""
    return (source.name, source.digest) if source.digest else (source.path,)


def _chain_lists(identities: np.ndarray, lengths: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Returns hashes of n values and n lists of values; the lists' elements are (m,) end to end."""
    identities = mix(identities ^ lengths.astype(np.uint64))
    starts = np.cumsum(lengths) - lengths
    for nth in range(int(lengths.max(initial=0))):
        rows = np.flatnonzero(lengths > nth)
        identities[rows] = mix(identities[rows] ^ values[starts[rows] + nth])
    return identities


def _flattened(lists: pa.ChunkedArray) -> tuple[np.ndarray, pa.StructArray]:
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy().astype(np.int64)
    return lengths, in_one_piece(lists).flatten()


def _numbers(array: pa.Array) -> np.ndarray:
    """Returns integers, with a number that doesn't occur in place of nulls."""
    return array.cast(pa.int64()).fill_null(-1).to_numpy(zero_copy_only=False).view(np.uint64)


def _hashes(texts: Iterable[str]) -> np.ndarray:
    return np.array([xxhash.xxh3_64_intdigest(text.encode()) for text in texts], np.uint64)
