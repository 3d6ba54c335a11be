"""Columns of text as Arrow arrays, made by lookups in pools of ready texts.

Rows are joined by Arrow, whose array of rows is, in memory, the very text of the file.
"""

import functools
from collections.abc import Callable, Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from open_images.synthesis.text import double, short, single, six

COORDINATES = 65536  # steps from 0 to 1
UNKNOWN = COORDINATES  # the place of -1 behind them

_STYLES: dict[str, Callable[[float], str]] = {"six": six, "single": single, "short": short}
_BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def pick(pool: pa.Array, index: np.ndarray) -> pa.Array:
    """The texts of `pool` at `index` (n,), any integer type."""
    return pool.take(pa.array(index))


def join(*parts: pa.Array | str) -> pa.Array:
    """Joins columns and constant texts, element by element."""
    constants = (pa.scalar(part) if isinstance(part, str) else part for part in parts)
    return pc.binary_join_element_wise(*constants, "")


def choose(condition: np.ndarray, texts: pa.Array, otherwise: pa.Array | str = "") -> pa.Array:
    """`texts` where `condition`, bool (n,), holds, and `otherwise` elsewhere."""
    return pc.if_else(pa.array(condition), texts, otherwise)


def joined_bytes(rows: pa.Array) -> bytes:
    """The rows one after the other: what Arrow holds anyway."""
    offsets = np.frombuffer(rows.buffers()[1], np.int32)[rows.offset :][: len(rows) + 1]
    return rows.buffers()[2][int(offsets[0]) : int(offsets[-1])].to_pybytes()


def fields(texts: Iterable[str]) -> pa.Array:
    """A pool of fields, each with the comma before it."""
    return pa.array([f",{text}" for text in texts])


@functools.cache
def coordinate_fields(style: str) -> pa.Array:
    """Fields for coordinates i / 65535, some with all digits of a double; at the end a -1.

    Args:
      style: `six`, `single` or `short`, the functions of `open_images.synthesis.text`.

    Returns:
      65537 texts, in the order of their values up to the last.
    """
    write = _STYLES[style]
    values = (i / (COORDINATES - 1) for i in range(COORDINATES))
    often = 20 if style != "short" else COORDINATES
    texts = [double(v) if i % often == 7 else write(v) for i, v in enumerate(values)]
    return fields([*texts, "-1"])


@functools.cache
def _hex_table() -> np.ndarray:
    return np.frombuffer(b"".join(b"%04x" % i for i in range(65536)), np.uint32)


@functools.cache
def _base64_table() -> np.ndarray:
    pairs = "".join(a + b for a in _BASE64 for b in _BASE64)
    return np.frombuffer(pairs.encode(), np.uint16)


def hex16(numbers: np.ndarray) -> pa.Array:
    """Numbers, uint64 (n,), as 16 lowercase hex digits."""
    quarters = numbers.astype("<u8").view(np.uint16).reshape(-1, 4)[:, ::-1]
    return _fixed_width(_hex_table()[quarters], 16)


def hex8(numbers: np.ndarray) -> pa.Array:
    """The low 32 bits of numbers, uint64 (n,), as 8 lowercase hex digits."""
    quarters = numbers.astype("<u8").view(np.uint16).reshape(-1, 4)[:, 1::-1]
    return _fixed_width(_hex_table()[quarters], 8)


def md5_base64(first: np.ndarray, second: np.ndarray) -> pa.Array:
    """128 bits from two numbers, uint64 (n,) each, as base64 with its padding: 24 characters."""
    twelve = np.zeros((len(first), 12), np.uint16)
    for place in range(5):
        shift = np.uint64(12 * place)
        twelve[:, place] = (first >> shift) & np.uint64(4095)
        twelve[:, place + 5] = (second >> shift) & np.uint64(4095)
    # The last byte makes six bits, and two that base64 fills up with zeros.
    high, low = first >> np.uint64(60), second >> np.uint64(60)
    twelve[:, 10] = (high << np.uint64(8)) | (low << np.uint64(4))
    text = _base64_table()[twelve]
    text[:, 11] = np.frombuffer(b"==", np.uint16)
    return _fixed_width(text, 24)


@functools.cache
def _decimals(digits: int) -> pa.Array:
    return pa.array([f"{i:0{digits}d}" for i in range(10**digits)])


def decimals(numbers: np.ndarray, digits: int) -> pa.Array:
    """Numbers, uint64 (n,), modulo 10^digits, with leading zeros; up to 5 digits."""
    return pick(_decimals(digits), numbers % np.uint64(10**digits))


def _fixed_width(data: np.ndarray, width: int) -> pa.Array:
    count = len(data)
    offsets = np.arange(0, (count + 1) * width, width, dtype=np.int32)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(data))]
    return pa.Array.from_buffers(pa.string(), count, buffers)
