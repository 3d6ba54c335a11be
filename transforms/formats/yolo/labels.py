"""Lines of label files: a class number, and coordinates with six decimals.

A box is its centre and size, a polygon its vertices, all as fractions of the picture
(https://docs.ultralytics.com/datasets/detect/, https://docs.ultralytics.com/datasets/segment/).
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

#: A fraction of 1, in units of the last decimal.
_ONE = 1_000_000
#: Of the digits of a number: before the point, and after it.
_PLACES = 10 ** np.arange(6, -1, -1)
_BYTES = len(" 0.000000")


def box_units(corners: np.ndarray) -> np.ndarray:
    """Rounds boxes so that none of them leaves the picture, by at most one unit at a side.

    Args:
        corners: (n, 4) xmin, ymin, xmax, ymax, as fractions from 0 to 1.

    Returns:
        (n, 4) int64: centre x and y, width and height, in millionths. A box that has no area has a
        width or height of 0.
    """
    low, high = np.clip(corners.reshape(-1, 2, 2).astype(np.float64), 0, 1).transpose(1, 0, 2)
    centers = np.rint((low + high) / 2 * _ONE).astype(np.int64)
    sizes = np.rint((high - low) * _ONE).astype(np.int64)
    return np.hstack([centers, np.minimum(sizes, 2 * np.minimum(centers, _ONE - centers))])


def point_units(points: np.ndarray, width: int, height: int) -> np.ndarray:
    """Returns the centres of pixels in millionths of the picture.

    Args:
        points: (n, 2) int, x and y of pixels.
        width: of the picture.
        height: of the picture.

    Returns:
        (n, 2) int64.
    """
    return np.rint((points + 0.5) / (width, height) * _ONE).astype(np.int64)


def number_texts(units: np.ndarray) -> np.ndarray:
    """Returns ` 0.123456` for each number of millionths: (n, 9) uint8, for (n,) int64."""
    texts = np.empty((len(units), _BYTES), np.uint8)
    texts[:, 0] = ord(" ")
    texts[:, 2] = ord(".")
    texts[:, [1, *range(3, _BYTES)]] = units[:, None] // _PLACES % 10 + ord("0")
    return texts


def box_lines(numbers: np.ndarray, units: np.ndarray) -> pa.BinaryArray:
    """Returns the line of each box, with its line break.

    Args:
        numbers: (n,) int64, of the classes, from 0.
        units: (n, 4) int64, as of `box_units`.
    """
    texts = number_texts(units.ravel()).tobytes()
    size = units.shape[1] * _BYTES
    rest = pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(size), len(numbers), [None, pa.py_buffer(texts)]
    )
    words = pa.array(numbers).cast(pa.string()).cast(pa.binary())
    return pc.binary_join_element_wise(words, rest.cast(pa.binary()), pa.scalar(b"\n"), b"")


def polygon_line(number: int, units: np.ndarray) -> bytes:
    """Returns the line of a polygon, with its line break.

    Args:
        number: of the class, from 0.
        units: (n, 2) int64, as of `point_units`.
    """
    return b"%d%b\n" % (number, number_texts(units.ravel()).tobytes())
