"""Which annotations say that their class is there, and which that it isn't."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.kinds.image_labels import IMAGE_LABELS
from transforms.kinds.kind import Kind
from transforms.kinds.points import POINTS
from transforms.selection.values import text_mask


def says_present(kind: Kind, rows: pa.StructArray) -> np.ndarray:
    """Returns which rows of a kind say that their class is there, (n,) bool."""
    if kind is IMAGE_LABELS:
        return np.asarray(pc.greater(rows.field("confidence"), 0).fill_null(False))
    if kind is POINTS:
        return text_mask(rows.field("estimated_yes_no"), lambda texts: texts == "yes")
    return np.ones(len(rows), bool)


def says_absent(kind: Kind, rows: pa.StructArray) -> np.ndarray:
    """Returns which rows of a kind are verified to say that their class isn't there, (n,) bool."""
    if kind is IMAGE_LABELS:
        return np.asarray(pc.equal(rows.field("confidence"), 0).fill_null(False))
    return np.zeros(len(rows), bool)
