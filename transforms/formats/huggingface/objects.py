"""The column `objects`: boxes as examples of object detection with `datasets` expect them.

A struct of lists, as of the dataset cppe-5: `id`, a box's place in `bboxes`; `bbox`, its left, top,
width and height in pixels; `area` in pixels; `category`, its class number.
"""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from transforms.formats.huggingface.features import NO_CLASS, OBJECTS_TYPE


def make_objects(
    lists: pa.ListArray, widths: pa.Int32Array, heights: pa.Int32Array
) -> tuple[pa.StructArray, Mapping[str, int]]:
    """Returns the objects of n images, and how many boxes are left out, by the cause.

    Args:
        lists: (n,) lists of boxes with class numbers.
        widths: (n,) of the pictures, in pixels.
        heights: (n,) likewise.
    """
    boxes = lists.flatten()
    lengths = lists.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    images = np.repeat(np.arange(len(lists)), lengths)
    places = np.arange(len(boxes)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    category = boxes.field("label").to_numpy(zero_copy_only=False)
    left, width = _spans(boxes, "x", widths.to_numpy(zero_copy_only=False)[images])
    top, height = _spans(boxes, "y", heights.to_numpy(zero_copy_only=False)[images])
    has_class, has_area = category != NO_CLASS, (width > 0) & (height > 0)
    dropped = {
        "objects of classes without a number": int((~has_class).sum()),
        "objects without an area": int((has_class & ~has_area).sum()),
    }
    kept = has_class & has_area
    offsets = np.searchsorted(images[kept], np.arange(len(lists) + 1)).astype(np.int32)
    bbox = np.stack([left, top, width, height], axis=1)[kept]
    corners = np.arange(0, bbox.size + 1, 4, dtype=np.int32)
    values = {
        "id": pa.array(places[kept], pa.int64()),
        "area": pa.array((width * height)[kept]),
        "bbox": pa.ListArray.from_arrays(corners, pa.array(bbox.ravel())),
        "category": pa.array(category[kept].astype(np.int64)),
    }
    arrays = [
        pa.ListArray.from_arrays(offsets, values[field.name], type=field.type)
        for field in OBJECTS_TYPE
    ]
    return pa.StructArray.from_arrays(arrays, fields=list(OBJECTS_TYPE)), dropped


def _spans(boxes: pa.StructArray, axis: str, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns where boxes begin and how long they are on an axis, in pixels: (n,) float32 each.

    Their sum is at most that of the picture, as readers demand.
    """
    low, high = (
        boxes.field(f"{axis}{end}").to_numpy(zero_copy_only=False).astype(float) * pixels
        for end in ("min", "max")
    )
    start = low.astype(np.float32)
    size = np.maximum(high - start, 0).astype(np.float32)
    outside = start.astype(float) + size > pixels
    return start, np.where(outside, np.nextafter(size, np.float32(0)), size)
