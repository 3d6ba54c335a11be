"""Image ids as 64-bit keys: what the exchange sorts by, and what decides an image's shard and
place.

An ImageID is 16 lowercase hex digits, so it is a 64-bit number. Its key is that number after a
salted, bijective mix (the finalizer of SplitMix64, Steele et al. 2014): uniform, so ranges of keys
are buckets of equal size and key order is a shuffle; reversible, so a key is all that need travel
with a row.
"""

import binascii

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

HEX_DIGITS = 16
#: How many keys there can be.
ALL_KEYS = 1 << 64
#: An ImageID as toolkits write it: in capitals, or as the name or path of its picture.
_WRITTEN_ID = (
    r"^\s*(?:.*[/\\])?(?P<id>[0-9a-fA-F]{16})"
    r"(?:\.(?i:jpe?g|png|gif|webp|bmp|tiff?))?\s*$"
)

# So many at a time stay in the processor's cache through all the steps.
_BATCH = 1 << 13
_SALT = np.uint64(0x6F70656E696D6167)  # "openimag"
_MIX1, _MIX2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_UNMIX1, _UNMIX2 = (np.uint64(pow(int(m), -1, 1 << 64)) for m in (_MIX1, _MIX2))
_IS_DIGIT = np.isin(np.arange(256), list(b"0123456789abcdef"))
_LOWERCASE = np.uint64(0x2020202020202020)
_S27, _S30, _S31 = (np.uint64(n) for n in (27, 30, 31))


def mix(numbers: np.ndarray) -> np.ndarray:
    """ImageIDs as numbers to keys; uint64 in and out, elementwise."""
    z = numbers ^ _SALT
    z = (z ^ (z >> _S30)) * _MIX1
    z = (z ^ (z >> _S27)) * _MIX2
    return z ^ (z >> _S31)


def unmix(keys: np.ndarray) -> np.ndarray:
    """Returns the inverse of `mix`."""
    z = _unshift(keys, _S31) * _UNMIX2
    z = _unshift(z, _S27) * _UNMIX1
    return _unshift(z, _S30) ^ _SALT


def _unshift(z: np.ndarray, shift: np.uint64) -> np.ndarray:
    """Undoes `z ^ (z >> shift)` for shifts above a third of the word."""
    return z ^ (z >> shift) ^ (z >> (shift + shift))


def image_keys(ids: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Keys of ImageIDs.

    Args:
        ids: (n,) string or binary array.

    Returns:
        (n,) uint64 keys, and (n,) bool: whether the id is 16 lowercase hex digits. The key of one
        that isn't is meaningless.
    """
    if len(ids) == 0:
        return np.empty(0, np.uint64), np.empty(0, bool)
    offsets = np.frombuffer(ids.buffers()[1], np.int32)[ids.offset : ids.offset + len(ids) + 1]
    valid = np.diff(offsets) == HEX_DIGITS
    if ids.null_count:
        valid &= ids.is_valid().to_numpy(zero_copy_only=False)
    data = np.frombuffer(ids.buffers()[2] or b"", np.uint8)
    if valid.all():
        text = data[offsets[0] : offsets[0] + HEX_DIGITS * len(ids)].reshape(-1, HEX_DIGITS)
    else:
        starts = np.where(valid, offsets[:-1], 0).astype(np.int64)
        padded = np.concatenate([data, np.zeros(HEX_DIGITS, np.uint8)])
        text = padded[starts[:, None] + np.arange(HEX_DIGITS)]
    keys, hexadecimal = keys_of_digits(text)
    return keys, valid & hexadecimal


def read_image_ids(ids: pa.StringArray) -> tuple[pa.StringArray, np.ndarray, np.ndarray]:
    """Reads ImageIDs, of which some may be in capitals, or the name or path of a picture.

    Returns:
        The plain ids in lower case, with keys and validity as of `image_keys`.
    """
    keys, valid = image_keys(ids)
    if valid.all():
        return ids, keys, valid
    others = ids.filter(pa.array(~valid))
    found = pc.utf8_lower(pc.struct_field(pc.extract_regex(others, _WRITTEN_ID), "id"))
    if found.null_count == len(found):
        return ids, keys, valid
    ids = pc.replace_with_mask(ids, pa.array(~valid), pc.coalesce(found, others))
    return ids, *image_keys(ids)


def keys_of_digits(text: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """As `image_keys`, of (n, 16) characters."""
    keys, valid = np.empty(len(text), np.uint64), np.ones(len(text), bool)
    for at in range(0, len(text), _BATCH):
        batch = slice(at, at + _BATCH)
        digits = np.ascontiguousarray(text[batch])
        try:
            numbers = _parse_digits(digits)
        except binascii.Error:
            valid[batch] = _IS_DIGIT[digits].all(axis=1)
            numbers = _parse_digits(np.where(valid[batch, None], digits, np.uint8(ord("0"))))
        keys[batch] = mix(numbers)
    return keys, valid


def in_window(keys: np.ndarray, start: int, size: int) -> np.ndarray:
    """Returns which keys are among the `size` keys from `start` on, once around; (n,) bool."""
    if size >= ALL_KEYS:
        return np.ones(len(keys), bool)
    return keys - np.uint64(start) < np.uint64(size)


class KeyFinder:
    """Finds keys among others; ten times as fast as a binary search, as keys are uniform.

    A table of equal ranges of keys says where each begins, so most are found at the first look.

    Args:
        keys: (n,) uint64, sorted, none twice.
    """

    def __init__(self, keys: np.ndarray) -> None:
        self._keys = keys
        if not len(keys):
            return
        self._first, span = keys[0], int(keys[-1]) - int(keys[0])
        self._shift = np.uint64(max(0, span.bit_length() - len(keys).bit_length() - 2))
        self._last = np.uint64(span >> int(self._shift))
        ranges = ((keys - self._first) >> self._shift).astype(np.int64)
        counts = np.bincount(ranges, minlength=int(self._last) + 1)
        self._starts = np.minimum(np.cumsum(counts) - counts, len(keys) - 1)

    def find(self, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Finds some keys.

        Args:
            wanted: (m,) uint64.

        Returns:
            (m,) int64 indices into the keys, and (m,) bool: whether the key is there. The index of
            one that isn't is meaningless.
        """
        keys = self._keys
        if not len(keys):
            return np.zeros(len(wanted), np.int64), np.zeros(len(wanted), bool)
        index, found = np.empty(len(wanted), np.int64), np.empty(len(wanted), bool)
        for at in range(0, len(wanted), _BATCH):
            batch = slice(at, at + _BATCH)
            # What is below the first key wraps around, and so is above the last one.
            range_of = np.minimum((wanted[batch] - self._first) >> self._shift, self._last)
            # No range is beyond the table; to have NumPy check that would take a copy.
            self._starts.take(range_of.view(np.int64), out=index[batch], mode="wrap")
            np.equal(keys[index[batch]], wanted[batch], out=found[batch])
        # Most of the others are next to it.
        missed = np.flatnonzero(~found)
        index[missed] = np.minimum(index[missed] + 1, len(keys) - 1)
        found[missed] = keys[index[missed]] == wanted[missed]
        missed = missed[~found[missed]]
        if len(missed):
            exact = np.minimum(np.searchsorted(keys, wanted[missed]), len(keys) - 1)
            index[missed] = exact
            found[missed] = keys[exact] == wanted[missed]
        return index, found


class KeySet:
    """A set of keys; fast for keys that aren't in it."""

    def __init__(self, keys: np.ndarray) -> None:
        self._finder = KeyFinder(keys)
        # Equal ranges of keys, most of which hold none.
        bits = min(max(len(keys).bit_length() + 4, 8), 24)
        self._shift = np.uint64(64 - bits)
        self._has_any = np.zeros(1 << bits, bool)
        self._has_any[keys >> self._shift] = True

    def holds(self, keys: np.ndarray) -> np.ndarray:
        """Returns which keys are in the set, (n,) bool."""
        may = self._has_any[keys >> self._shift]
        at = np.flatnonzero(may)
        may[at] = self._finder.find(keys[at])[1]
        return may


def find(keys: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Finds keys among others: see `KeyFinder`."""
    return KeyFinder(keys).find(wanted)


def image_ids(keys: np.ndarray) -> pa.Array:
    """Returns the ImageIDs of keys: (n,) uint64 to an (n,) string array."""
    digits = binascii.b2a_hex(unmix(keys).astype(">u8").data)
    offsets = np.arange(0, HEX_DIGITS * (len(keys) + 1), HEX_DIGITS, dtype=np.int32)
    return pa.StringArray.from_buffers(len(keys), pa.py_buffer(offsets), pa.py_buffer(digits))


def _parse_digits(digits: np.ndarray) -> np.ndarray:
    """(n, 16) lowercase hex digits to (n,) numbers.

    Raises:
        binascii.Error: Some digit is none.
    """
    numbers = binascii.a2b_hex(digits.data)
    # Uppercase letters, which it takes too, are the only ones without this bit.
    if np.bitwise_and.reduce(digits.view(np.uint64), axis=None) & _LOWERCASE != _LOWERCASE:
        raise binascii.Error("an uppercase letter")
    return np.frombuffer(numbers, ">u8").astype(np.uint64)
