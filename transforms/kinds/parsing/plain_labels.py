"""Tables of image labels as nearly all of their lines are, parsed by words of eight bytes.

They are 70% of V7's rows, and simple: an ImageID, one of a few sources, a known label, and a
confidence of a digit or two. Where all lines of a block are so, its rows are those of `parse_csv`
and `codes.encode`, in six tenths of their time; where one isn't, there is no answer. A word can be
loaded from any offset of a text, as an item of an array whose items overlap.
"""

import re
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from transforms.dataset import codes, failures
from transforms.dataset.keys import HEX_DIGITS, keys_of_digits
from transforms.kinds.parsing.parsed import ParsedBlock

_COLUMNS = ("ImageID", "Source", "LabelName", "Confidence")
#: Text that is parsed at a time: what is made of it stays in the processor's cache.
_STEP = 1 << 18
#: What is loaded of each line for a source and its commas.
_SOURCE = 32
_MOST_SOURCES = 16
#: Of two words, the last byte of which holds the length.
_LONGEST_LABEL = 15
_SLOT_BITS = 20
_COMMA, _NEWLINE, _RETURN = b",\n\r"

_SPREAD = np.uint64(0x9E3779B97F4A7C15)  # of the golden ratio: Knuth's multiplicative hashing
#: By its length, the bits of a word that a text takes up.
_TAKEN = np.array([(1 << 8 * min(n, 8)) - 1 for n in range(_LONGEST_LABEL + 1)], np.uint64)

# Confidences by the words of their texts, each of which this multiplier leads to a slot of its own.
_CONFIDENCE_HASH, _CONFIDENCE_SHIFT = np.uint32(0xF1FD42A3), np.uint32(24)
_CONFIDENCE_TEXTS, _CONFIDENCES = np.zeros(256, np.uint32), np.zeros(256, np.float32)
for _text in [f"{a}" for a in range(10)] + [f"{a}.{b}" for a in range(10) for b in range(10)]:
    _word = np.frombuffer(f",{_text}".encode().ljust(4, b"\0"), np.uint32)
    _slot = (_word * _CONFIDENCE_HASH) >> _CONFIDENCE_SHIFT
    _CONFIDENCE_TEXTS[_slot], _CONFIDENCES[_slot] = _word, float(_text)


class _NotPlainError(Exception):
    """Some line is not as nearly all are."""


def parse_plain_labels(
    data: bytes, columns: Sequence[str], known: "KnownLabels", step: int = _STEP
) -> ParsedBlock | None:
    """Parses whole lines of a table of image labels, if all are plain.

    Args:
        data: the text, without a header.
        columns: those of the file by our names, in its order.
        known: the labels that are known.
        step: bytes that are parsed at a time.

    Returns:
        Their rows, coded as by `codes.encode`; None where `parse_csv` must see to the block.
    """
    if tuple(columns) != _COLUMNS or not len(known.labels):
        return None
    sources = _Sources()
    try:
        pieces = [_parse(text, length, known, sources) for text, length in _pieces(data, step)]
    except _NotPlainError:
        return None
    if not pieces:
        return None
    keys, label, source, confidence = (np.concatenate(each) for each in zip(*pieces, strict=True))
    coded = pa.DictionaryArray.from_arrays(pa.array(source), pa.array(sources.names, pa.string()))
    value = pa.StructArray.from_arrays(
        [pa.array(label), coded, pa.array(confidence)], ["label", "source", "confidence"]
    )
    table = pa.table({"key": keys, "value": value})
    return ParsedBlock(table, failures.NONE, rows=len(keys), bad_rows=0, lines=len(keys))


def _pieces(data: bytes, step: int) -> Iterator[tuple[np.ndarray, int]]:
    """Whole lines of about `step` bytes, as the beginning of what can be loaded, and their length.

    The last ones are copied to where more can be loaded, and end with a line break.
    """
    at = 0
    text = np.frombuffer(data, np.uint8)
    while len(data) - at > 2 * step:
        length = data.rfind(b"\n", at, at + step) + 1 - at
        if length <= 0:
            raise _NotPlainError
        yield text[at:], length
        at += length
    if rest := data[at:].removesuffix(b"\n"):
        yield np.frombuffer(rest + b"\n" + bytes(128), np.uint8), len(rest) + 1


def _load(text: np.ndarray, at: np.ndarray, size: int) -> np.ndarray:
    """So many bytes from each of n offsets, (n, size) uint8."""
    overlapping = np.ndarray((len(text) - size + 1,), f"V{size}", text.data, strides=(1,))
    return overlapping[at].view(np.uint8).reshape(-1, size)


def _parse(
    text: np.ndarray, length: int, labels: "KnownLabels", sources: "_Sources"
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Key, label's number, source's number and confidence of each line: (n,) arrays.

    Raises:
        _NotPlainError: some line isn't plain.
    """
    ends = np.flatnonzero(text[:length] == _NEWLINE)
    starts = np.concatenate([[0], ends[:-1] + 1])
    if text[ends[0] - 1] == _RETURN:
        ends -= 1
        if (text[ends] != _RETURN).any():
            raise _NotPlainError
    if (ends - starts).min() < HEX_DIGITS:  # so that no line begins before it can
        raise _NotPlainError
    keys, valid = keys_of_digits(_load(text, starts, HEX_DIGITS))
    source, source_length = sources.find(_load(text, starts + HEX_DIGITS, _SOURCE).view(np.uint64))
    confidence, confidence_length = _confidences(_load(text, ends - 4, 4).view(np.uint32)[:, 0])
    label_at = starts + (HEX_DIGITS + 2) + source_length
    label_length = ends - 1 - confidence_length - label_at
    if not valid.all() or label_length.min() < 1 or label_length.max() > _LONGEST_LABEL:
        raise _NotPlainError
    label = labels.find(_load(text, label_at, 16).view(np.uint64), label_length)
    return keys, label, source, confidence


def _confidences(last: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Confidences, and their lengths, from the last four bytes of lines: after a comma, D or D.D.

    Raises:
        _NotPlainError: some is not so.
    """
    is_digit = ((last >> 16) & 0xFF) == _COMMA
    text = np.where(is_digit, last >> 16, last)
    slot = (text * _CONFIDENCE_HASH) >> _CONFIDENCE_SHIFT
    if (_CONFIDENCE_TEXTS.take(slot, mode="wrap") != text).any():
        raise _NotPlainError
    return _CONFIDENCES.take(slot, mode="wrap"), np.where(is_digit, 1, 3)


class _Sources:
    """The sources that occur, numbered in the order in which they first do."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._words: list[list[np.ndarray]] = []

    def find(self, words: np.ndarray) -> tuple[np.ndarray, np.ndarray | int]:
        """Returns the number of each source, (n,) int8, and its length.

        Args:
            words: what is where they are, from the comma before them; (n, words of each).

        Raises:
            _NotPlainError: one is empty, too long, or not plain text; or there are too many.
        """
        number = np.full(len(words), -1, np.int8)
        known = 0
        while number[missing := int(number.argmin())] < 0:
            if known == len(self.names):
                self._add(words[missing].tobytes())
            same = self._is(known, words)
            if same.all():
                return np.full(len(words), known, np.int8), len(self.names[known])
            number[same] = known
            known += 1
        return number, np.array([len(name) for name in self.names]).take(number)

    def _is(self, number: int, words: np.ndarray) -> np.ndarray:
        """Returns whether each is the source of a number, (n,) bool."""
        same = np.ones(len(words), bool)
        for i, (text, taken) in enumerate(zip(*self._words[number], strict=True)):
            same &= (words[:, i] & taken) == text
        return same

    def _add(self, text: bytes) -> None:
        match = re.match(rb",([!#-+\--~](?:[ !#-+\--~]*[!#-+\--~])?),", text)
        if not match or len(self.names) == _MOST_SOURCES:
            raise _NotPlainError
        self.names.append(match[1].decode())
        size = -(-len(match[0]) // 8) * 8
        padded = [each.ljust(size, b"\0") for each in (match[0], b"\xff" * len(match[0]))]
        self._words.append([np.frombuffer(each, "<u8") for each in padded])


class KnownLabels:
    """A hash table of known labels.

    Attributes:
        labels: they, (n,) string.
    """

    def __init__(self, labels: pa.Array, slot_bits: int = _SLOT_BITS) -> None:
        """Takes labels, none twice, for a table of 2 ** `slot_bits` slots."""
        self.labels = labels
        self._shift = np.uint64(64 - slot_bits)
        # What can't be plain is of length 0 here, which no label of a line is.
        texts = [text.encode() for text in labels.to_pylist()]
        plain = re.compile(rb"[ !#-+\--~]{1,%d}" % _LONGEST_LABEL)
        texts = [text if plain.fullmatch(text) else b"" for text in texts]
        packed = b"".join(text.ljust(_LONGEST_LABEL, b"\0") + bytes([len(text)]) for text in texts)
        words = np.frombuffer(packed, "<u8").reshape(-1, 2)
        self._first, self._second = (np.ascontiguousarray(column) for column in words.T)
        hashes = self._hash(self._first, self._second)
        self._order = np.argsort(hashes)
        self._hashes = hashes[self._order]
        # Of labels with the same slot the last one is found at once, others by their hashes.
        self._slots = np.zeros(1 << slot_bits, str(codes.label_type(len(labels))))
        self._slots[self._slot(hashes)] = np.arange(len(hashes))

    def find(self, words: np.ndarray, length: np.ndarray) -> np.ndarray:
        """Returns the number of each label, (n,).

        Args:
            words: 16 bytes from where each begins, (n, 2).
            length: of each, from 1 to `_LONGEST_LABEL`; (n,).

        Raises:
            _NotPlainError: some label isn't known.
        """
        first = words[:, 0] & _TAKEN.take(length)
        second = words[:, 1] & _TAKEN.take(np.maximum(length - 8, 0))
        second |= length.view(np.uint64) << np.uint64(56)
        hashes = self._hash(first, second)
        number = self._slots.take(self._slot(hashes), mode="wrap")
        wrong = np.flatnonzero(~self._is(number, first, second))
        if len(wrong):
            places = np.searchsorted(self._hashes, hashes[wrong])
            number[wrong] = self._order.take(places, mode="clip")
            if not self._is(number[wrong], first[wrong], second[wrong]).all():
                raise _NotPlainError
        return number

    def _is(self, number: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        known = self._first.take(number, mode="wrap") == first
        return known & (self._second.take(number, mode="wrap") == second)

    @staticmethod
    def _hash(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return (first ^ (second * _SPREAD)) * _SPREAD

    def _slot(self, hashes: np.ndarray) -> np.ndarray:
        return (hashes >> self._shift).view(np.int64)
