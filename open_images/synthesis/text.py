"""How numbers and CSV rows are written, one at a time and as columns of Arrow.

Columns are lookups in pools of ready texts. Rows are joined by Arrow, whose array of rows is, in
memory, the very text of the file.
"""

import base64
import functools
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

Row = Sequence[str]
COORDINATES = 65536  # steps from 0 to 1
UNKNOWN = COORDINATES  # the place of -1 behind them


def six(value: float) -> str:
    """Returns six decimals, as in the train boxes: `0.012500`."""
    return f"{value:.6f}"


def single(value: float) -> str:
    """Returns a 32-bit float's shortest text, as in validation: `0.9642005`, `1`, `0`."""
    return "0" if value == 0 else "1" if value == 1 else str(np.float32(value))


def double(value: float) -> str:
    """Returns all digits of a 64-bit float beside a short one: `0.9642004999999999`."""
    return repr(float(np.nextafter(round(value, 7), 0.0))) if 0 < value < 1 else six(value)


def short(value: float) -> str:
    """Returns six significant digits, as in masks and relationships: `0.049375`."""
    return f"{value:.6g}"


def pick(pool: pa.Array, index: np.ndarray) -> pa.Array:
    """Returns the texts of `pool` at `index` (n,), any integer type."""
    return pool.take(pa.array(index))


def choose(condition: np.ndarray, texts: pa.Array, otherwise: pa.Array | str = "") -> pa.Array:
    """Returns `texts` where `condition`, bool (n,), holds, and `otherwise` elsewhere."""
    return pc.if_else(pa.array(condition), texts, otherwise)


def fields(texts: Iterable[str]) -> pa.Array:
    """Returns a pool of fields, each with the comma before it."""
    return pa.array([f",{text}" for text in texts])


@functools.cache
def coordinate_fields(write: Callable[[float], str]) -> pa.Array:
    """Returns fields of coordinates i / 65535, some with all digits of a double, and of -1.

    Args:
      write: `six`, `single` or `short`.
    """
    values = (i / (COORDINATES - 1) for i in range(COORDINATES))
    often = COORDINATES if write is short else 20
    texts = [double(v) if i % often == 7 else write(v) for i, v in enumerate(values)]
    return fields([*texts, "-1"])


def hex16(numbers: np.ndarray) -> pa.Array:
    """Returns numbers, uint64 (n,), as 16 lowercase hex digits."""
    return _fixed_width(numbers.astype(">u8").tobytes().hex().encode(), 16)


def hex8(numbers: np.ndarray) -> pa.Array:
    """Returns the low 32 bits of numbers, uint64 (n,), as 8 lowercase hex digits."""
    return _fixed_width(numbers.astype(">u4").tobytes().hex().encode(), 8)


def md5_base64(first: np.ndarray, second: np.ndarray) -> pa.Array:
    """Returns 128 bits from two numbers, uint64 (n,) each, as 24 characters of base64."""
    # All at once, which takes whole groups of three bytes: two of zeros become `AA`, for `==`.
    padded = np.zeros((len(first), 18), np.uint8)
    padded[:, :16] = np.stack([first, second], axis=1).view(np.uint8)
    text = np.frombuffer(base64.b64encode(padded.tobytes()), np.uint8).reshape(-1, 24).copy()
    text[:, 22:] = ord("=")
    return _fixed_width(text.tobytes(), 24)


@functools.cache
def _decimals(digits: int) -> pa.Array:
    return pa.array([f"{i:0{digits}d}" for i in range(10**digits)])


def decimals(numbers: np.ndarray, digits: int) -> pa.Array:
    """Returns numbers, uint64 (n,), modulo 10^digits, with leading zeros; up to 5 digits."""
    return pick(_decimals(digits), numbers % np.uint64(10**digits))


def _fixed_width(data: bytes, width: int) -> pa.Array:
    """Returns the texts of `width` bytes each that `data` consists of."""
    offsets = np.arange(0, len(data) + 1, width, dtype=np.int32)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    return pa.Array.from_buffers(pa.string(), len(offsets) - 1, buffers)
