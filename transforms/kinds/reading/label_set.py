"""Finds the lines of text that may name one of some labels."""

from collections.abc import Iterator, Sequence

import numpy as np

from transforms.kinds.reading.byte_search import bytes_at, find_byte

#: A MID begins with a letter between two slashes. It is found by this many of the bytes behind
#: these at most; those of a shorter one, by the end of its field too.
_MID_START, _MID_BYTES = b"/m/", 5
_FIELD_ENDS = (b",", b"\n", b"\r", b"\t", b";", b'"', b" ")
_WORD = 8
_HASH_BITS = 16
#: So few labels are found faster one by one.
_FEW_LABELS = 2
_GOLDEN_RATIO = np.uint64(0x9E3779B97F4A7C15)  # of 2^64: Knuth's multiplicative hashing


class LabelSet:
    """A set of labels that finds the lines of a block that may name one, and some others."""

    def __init__(self, labels: Sequence[str]) -> None:
        self._few = [label.encode() for label in labels] if len(labels) <= _FEW_LABELS else None
        beginnings = [label.encode()[len(_MID_START) :] for label in labels]
        # The shortest one is found with the character that ends its field.
        self._bytes = min(_MID_BYTES, min(map(len, beginnings)) + 1)
        self._is_hash = np.zeros(1 << _HASH_BITS, bool)
        for beginning in beginnings:
            field_ends = [b""] if len(beginning) >= self._bytes else _FIELD_ENDS
            words = [(beginning + each)[: self._bytes].ljust(_WORD, b"\0") for each in field_ends]
            self._is_hash[self._hash(np.frombuffer(b"".join(words), "<u8"))] = True

    def places(self, data: bytes) -> np.ndarray:
        """Returns places in a block where labels may be, (n,) int64."""
        if self._few is not None:
            return np.array([at for label in self._few for at in _find_all(data, label)], np.int64)
        text = np.frombuffer(data, np.uint8)
        slashes = find_byte(text, ord("/"))
        labels = slashes[:-1][np.diff(slashes) == len(_MID_START) - 1] + len(_MID_START)
        if not len(labels) or len(data) < _WORD:
            return labels
        is_last = labels > len(data) - _WORD
        words = bytes_at(text, np.where(is_last, 0, labels), _WORD).view("<u8")[:, 0]
        found = self._is_hash[self._hash(words)]
        return labels[found | is_last]

    def _hash(self, words: np.ndarray) -> np.ndarray:
        """Hashes the first bytes of words; (n,) uint64 in and out."""
        shift = np.uint64(8 * (_WORD - self._bytes))
        return ((words << shift) * _GOLDEN_RATIO) >> np.uint64(64 - _HASH_BITS)


def _find_all(data: bytes, label: bytes) -> Iterator[int]:
    at = data.find(label)
    while at >= 0:
        yield at
        at = data.find(label, at + 1)
