"""The types of rows, and the names of columns that several of them have."""

import numpy as np
import pyarrow as pa

from transforms.dataset.failures import Reason
from transforms.kinds.boxes import FLAGS
from transforms.kinds.parsing.table import FLAG, FLOAT, STRING, Rows

#: Columns of a box in published files, and the fields of rows.
COORDINATES = ("XMin", "XMax", "YMin", "YMax")
CORNERS = tuple(name.lower() for name in COORDINATES)
#: Likewise of the two boxes of a relationship.
BOTH_COORDINATES = tuple(f"{name}{end}" for end in (1, 2) for name in COORDINATES)
BOTH_CORNERS = tuple(name.lower() for name in BOTH_COORDINATES)

_BOX = dict.fromkeys(CORNERS, pa.float64())
_MASK = {"size": pa.list_(pa.int32(), 2), "counts": pa.binary()}
_PAIR = {
    **dict.fromkeys(("label1", "label2", "relationship"), STRING),
    **dict.fromkeys(BOTH_CORNERS, pa.float64()),
}

#: A box of the ground truth; its flags are 1, 0, or -1 or null for unknown.
TRUE_BOX = pa.struct({"label": STRING, "source": STRING, **_BOX, **dict.fromkeys(FLAGS, FLAG)})
#: A mask of the ground truth, and the box that it was drawn in, which may not be known. `size` is
#: height and width, `counts` COCO's compressed run lengths; both are null where there is no mask.
TRUE_MASK = pa.struct({"label": STRING, **_BOX, "is_group_of": FLAG, **_MASK})
#: A relationship of the ground truth.
TRUE_PAIR = pa.struct(_PAIR)
#: A label of an image: confidence above 0 where it is there, 0 where it surely isn't.
TRUE_LABEL = pa.struct({"label": STRING, "source": STRING, "confidence": FLOAT})
#: A detected object, the mask of one, and a relationship.
DETECTION = pa.struct({"label": STRING, "score": pa.float64(), **_BOX})
DETECTED_MASK = pa.struct({"label": STRING, "score": pa.float64(), **_MASK})
DETECTED_PAIR = pa.struct({**_PAIR, "score": pa.float64()})


def check_scores(rows: Rows) -> None:
    """Rejects rows whose `Score` isn't a finite number, and notes those beyond 0 and 1."""
    scores = rows.numbers("Score")
    rows.require(np.isfinite(scores), "Score is not a finite number")
    rows.note(~((scores >= 0) & (scores <= 1)), Reason.BAD_ROW, "Score is not from 0 to 1: kept")
