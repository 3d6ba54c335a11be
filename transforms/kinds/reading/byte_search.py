"""Finds bytes in text, and takes bytes from it, by NumPy."""

import numpy as np

#: Bytes that are searched at a time: they stay in the processor's cache.
_BATCH = 1 << 16


def find_byte(text: np.ndarray, byte: int) -> np.ndarray:
    """Returns where a byte is in a text, (n,) int64."""
    batches = ((at, text[at : at + _BATCH]) for at in range(0, len(text), _BATCH))
    found = [np.flatnonzero(batch == byte) + at for at, batch in batches]
    return np.concatenate([np.empty(0, np.int64), *found])


def bytes_at(text: np.ndarray, places: np.ndarray, count: int) -> np.ndarray:
    """Returns so many bytes from each place on, (n, count) uint8.

    As one value of that size each, which NumPy copies three times as fast as so many bytes.
    """
    if len(text) < count:
        return np.zeros((0, count), np.uint8)
    values = np.ndarray(len(text) - count + 1, f"V{count}", text.data, strides=(1,))
    return values[places].view(np.uint8).reshape(-1, count)
