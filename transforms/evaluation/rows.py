"""Rows of ground truth and of predictions, as they travel through the exchange.

A batch has the columns `key` (of the image, uint64), `line` (int64: where its file has the row; for
files without lines its number, from 1) and `value`, a struct of one of the types below. Coordinates
are float64 in the frame of the picture: (0, 0) is its upper left corner, (1, 1) the lower right
one. Masks are COCO's compressed run lengths, with the height and width in pixels.
"""

import pyarrow as pa

_CORNERS = ("xmin", "xmax", "ymin", "ymax")
_BOX = dict.fromkeys(_CORNERS, pa.float64())
_MASK = {"counts": pa.binary(), "height": pa.int32(), "width": pa.int32()}
_TRIPLET = {
    "label1": pa.string(),
    "label2": pa.string(),
    "relationship": pa.string(),
    **{f"{corner}{number}": pa.float64() for number in (1, 2) for corner in _CORNERS},
}

#: A detected object; `counts` is null where it has no mask, and its corners where it has only that.
DETECTION = pa.struct({"label": pa.string(), "score": pa.float64(), **_BOX, **_MASK})

#: A detected relationship between two objects.
RELATIONSHIP_DETECTION = pa.struct({"score": pa.float64(), **_TRIPLET})

#: A box of the ground truth. Flags are 1, 0, or -1 for unknown. `counts` is the mask of the box;
#: null where it has none.
TRUE_BOX = pa.struct(
    {
        "label": pa.string(),
        **_BOX,
        "is_group_of": pa.int8(),
        "is_occluded": pa.int8(),
        "is_truncated": pa.int8(),
        "is_depiction": pa.int8(),
        "source": pa.string(),
        **_MASK,
    }
)

#: A label of an image that somebody verified: confidence 1 where it is there, 0 where it isn't.
TRUE_LABEL = pa.struct({"label": pa.string(), "confidence": pa.float32()})

#: A relationship of the ground truth.
TRUE_RELATIONSHIP = pa.struct(_TRIPLET)
