"""Image labels as numbers of classes, from 0: what a classifier of many labels is trained on."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from transforms.formats.annotations import Annotations, class_lists, verified_classes


def label_numbers(labels: pa.ListArray, index: Mapping[str, int]) -> pa.StructArray:
    """Returns the classes that people found in images, and those that they didn't find.

    Labels of machines, and classes without an index, are in neither.

    Args:
        labels: (n,) lists of image labels; null where they weren't given.
        index: of each class by its MID, from 1; 0 for a class that has none.

    Returns:
        (n,) structs of two lists of int64, `positive` and `negative`: indices less 1, ascending.
        Both are null where the labels are.
    """
    absent = labels.is_null() if labels.null_count else None
    lists = []
    for pairs in verified_classes(Annotations.of(labels, index)):
        numbers, rows = class_lists(pairs, len(labels))
        offsets = pa.array(rows.astype(np.int32))
        lists.append(pa.ListArray.from_arrays(offsets, pa.array(numbers - 1), mask=absent))
    return pa.StructArray.from_arrays(lists, ["positive", "negative"])
