"""Image labels as numbers of classes, from 0: what a classifier of many labels is trained on."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.selection.label_types import LABEL_TYPES


def label_numbers(labels: pa.ListArray, index: Mapping[str, int]) -> pa.StructArray:
    """Returns the classes that people found in images, and those that they didn't find.

    A class is `positive` if people gave it a confidence above 0, and `negative` if they gave it 0
    alone. Labels of machines, and classes without an index, are in neither.

    Args:
        labels: (n,) lists of image labels; null where they weren't given.
        index: of each class by its MID, from 1; 0 for a class that has none.

    Returns:
        (n,) structs of two lists of int64, `positive` and `negative`: indices less 1, ascending.
        Both are null where the labels are.
    """
    rows = labels.flatten()
    images = np.repeat(np.arange(len(labels)), labels.value_lengths().fill_null(0))
    numbers = _numbers(pc.struct_field(rows, "label"), index)
    confidence = pc.struct_field(rows, "confidence").fill_null(np.nan).to_numpy()
    by_people = LABEL_TYPES["image_labels"].mask(rows)
    assert by_people is not None
    counts = by_people & (numbers >= 0)
    # One number for both, so that they are sorted and held against each other together.
    span = max(index.values(), default=0) + 1
    pairs = images * span + numbers
    positive = np.unique(pairs[counts & (confidence > 0)])
    negative = np.setdiff1d(pairs[counts & (confidence == 0)], positive)
    lists = [_relist(labels, *np.divmod(each, span)) for each in (positive, negative)]
    return pa.StructArray.from_arrays(lists, ["positive", "negative"])


def _numbers(labels: pa.Array, index: Mapping[str, int]) -> np.ndarray:
    """Returns the indices of labels less 1: (n,) int64; -1 where there is none."""
    if not pa.types.is_dictionary(labels.type):
        labels = labels.dictionary_encode()
    of_each = [index.get(label, 0) - 1 for label in labels.dictionary.to_pylist()]
    codes = labels.indices.fill_null(len(of_each)).to_numpy()
    return np.array([*of_each, -1], np.int64)[codes]


def _relist(labels: pa.ListArray, images: np.ndarray, numbers: np.ndarray) -> pa.ListArray:
    """Returns lists of the numbers of each image; null where its labels are."""
    offsets = np.searchsorted(images, np.arange(len(labels) + 1)).astype(np.int32)
    lists = pa.ListArray.from_arrays(offsets, pa.array(numbers))
    return pc.if_else(labels.is_valid(), lists, None)
