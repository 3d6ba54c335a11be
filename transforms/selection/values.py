"""Masks over columns of rows, whether their texts are plain or coded."""

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def text_mask(
    texts: pa.Array, predicate: Callable[[np.ndarray], Sequence[bool] | np.ndarray]
) -> np.ndarray:
    """Returns for which texts a predicate holds, (n,) bool; null is false.

    Args:
        texts: (n,) strings, or a dictionary array of them, whose few values are then looked at.
        predicate: of (m,) distinct texts, an object array, to m booleans.
    """
    if not pa.types.is_dictionary(texts.type):
        texts = texts.dictionary_encode()
    distinct = texts.dictionary.to_numpy(zero_copy_only=False)
    holds = np.asarray(predicate(distinct), bool) if len(distinct) else np.zeros(0, bool)
    return take_mask(holds, texts.indices)


def take_mask(holds: np.ndarray, indices: pa.Array) -> np.ndarray:
    """Returns the entry of a mask for each index, (n,) bool; null is false."""
    if not len(holds):
        return np.zeros(len(indices), bool)
    found = holds[indices.fill_null(0).to_numpy()] if indices.null_count else holds[indices]
    return found & np.asarray(indices.is_valid()) if indices.null_count else found


def label_mask(labels: pa.Array, wanted: pa.Array) -> np.ndarray:
    """Returns which labels are among some, (n,) bool.

    Args:
        labels: (n,) strings, or a dictionary array of them.
        wanted: strings, none twice.
    """
    if pa.types.is_dictionary(labels.type):
        holds = pc.is_in(labels.dictionary, wanted).to_numpy(zero_copy_only=False)
        return take_mask(holds, labels.indices)
    return pc.is_in(labels, wanted).to_numpy(zero_copy_only=False)
