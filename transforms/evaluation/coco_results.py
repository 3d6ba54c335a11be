"""COCO results as predictions: a JSON array of `{image_id, category_id, bbox, score}`.

`bbox` is left, top, width and height in pixels. `image_id` is an ImageID, or the number that
`--format coco` gives an image; `category_id` a class index. See
https://cocodataset.org/#format-results.

The text is read by ranges, which are cut between objects: nothing that a results file holds has
`}, {` in it.
"""

import re
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.json as arrow_json

from transforms.dataset.elements import Source
from transforms.dataset.keys import read_image_ids
from transforms.evaluation.errors import PredictionsError
from transforms.evaluation.file_ranges import FileRange, ReadRows
from transforms.evaluation.kinds.rows import CORNERS, DETECTION
from transforms.evaluation.label_map import LabelMap
from transforms.kinds.parsing.table import struct_array
from transforms.storage import files
from transforms.storage.stores import ObjectOptions

NAME = "coco_results"
#: Bits of an image's key that its number has.
NUMBER_BITS = 53
_BETWEEN = re.compile(rb"\}\s*,\s*\{")
#: The most bytes between two objects that are looked at when a range is cut.
_OBJECT_BYTES = 1 << 20
_FIELDS = ("image_id", "category_id", "bbox", "score")


def matches(head: bytes) -> bool:
    """Returns whether a file's first bytes are those of COCO results."""
    return head.lstrip().startswith(b"[")


def file_ranges(source: Source, size: int, options: ObjectOptions) -> list[FileRange]:
    """Returns ranges of bytes."""
    return [
        FileRange(source.index, start, min(start + size, source.size))
        for start in range(0, source.size, size)
    ]


def read(
    source: Source, file_range: FileRange, labels: LabelMap, options: ObjectOptions
) -> Iterator[ReadRows]:
    """Yields the detections that begin in a range, their boxes in pixels; see `Layout.read`.

    The key of an image that is a number has but its first `NUMBER_BITS` bits.
    """
    _, start, stop = file_range
    with files.open_file(source.path, options, size=source.size, stamp=source.stamp) as file:
        data = files.read_at(file, start, min(source.size, stop + _OBJECT_BYTES) - start)
    begin, end = 0, len(data)
    if start:
        found = _BETWEEN.search(data)
        if found is None or start + found.start() >= stop:
            return
        begin = found.end() - 1
    if stop < source.size:
        last = _BETWEEN.search(data, max(stop - start, begin))
        if last:
            end = last.start() + 1
        elif start + len(data) < source.size:
            raise PredictionsError(
                f"{source.shown_name}, byte {stop}: an object of over {_OBJECT_BYTES >> 20} MiB"
            )
    text = data[begin:end].strip()
    if stop >= source.size and not text.endswith(b"]"):
        raise PredictionsError(
            f"{source.shown_name}, byte {start} and after: it is cut: it doesn't end by a bracket"
        )
    text = text.removeprefix(b"[").removesuffix(b"]").strip()
    if text:
        if not (text.startswith(b"{") and text.endswith(b"}")):
            raise PredictionsError(
                f"{source.shown_name}, byte {start + begin}: no COCO results: they are an array of "
                "objects"
            )
        place = f"{source.shown_name}, byte {start + begin} and after"
        try:
            detections = _parse(_BETWEEN.sub(b"}\n{", text), place, labels)
        except pa.ArrowException as error:
            cause = str(error).splitlines()[0]
            raise PredictionsError(f"{place}: no COCO results: {cause}") from None
        yield detections


def _parse(lines: bytes, place: str, labels: LabelMap) -> ReadRows:
    """Returns the detections of lines of objects."""
    table = arrow_json.read_json(
        pa.BufferReader(lines), arrow_json.ReadOptions(use_threads=False, block_size=len(lines))
    ).combine_chunks()
    if missing := [name for name in _FIELDS if name not in table.column_names]:
        raise PredictionsError(f"{place}: objects lack {', '.join(missing)}")
    columns = {name: table[name].combine_chunks() for name in _FIELDS}
    boxes, sound = _boxes(columns["bbox"], place)
    scores = columns["score"].cast(pa.float64()).fill_null(float("nan"))
    scores = scores.to_numpy(zero_copy_only=False)
    keys, has_key = _keys(columns["image_id"])
    has_class = np.asarray(columns["category_id"].is_valid())
    sound &= np.isfinite(scores) & has_key & has_class
    corners = {
        CORNERS[0]: boxes[:, 0],
        CORNERS[1]: boxes[:, 0] + boxes[:, 2],
        CORNERS[2]: boxes[:, 1],
        CORNERS[3]: boxes[:, 1] + boxes[:, 3],
    }
    value = struct_array(
        DETECTION,
        {
            "label": labels.to_labels(columns["category_id"]),
            "score": pa.array(scores),
            **{name: pa.array(values) for name, values in corners.items()},
        },
        len(scores),
    )
    rows = pa.record_batch({"key": keys, "value": value})
    return ReadRows(rows.filter(pa.array(sound)), len(sound), int((~sound).sum()))


def _boxes(column: pa.Array, place: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns boxes, (n, 4), and which are four finite numbers."""
    if not pa.types.is_list(column.type):
        raise PredictionsError(f"{place}: bbox is no list of numbers")
    lengths = column.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    boxes = np.full((len(lengths), 4), np.nan)
    is_box = lengths == 4
    numbers = column.filter(pa.array(is_box)).flatten().cast(pa.float64())
    boxes[is_box] = numbers.to_numpy(zero_copy_only=False).reshape(-1, 4)
    return boxes, np.all(np.isfinite(boxes), axis=1)


def _keys(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Returns the keys of images, (n,) uint64, and which are known."""
    if pa.types.is_integer(column.type):
        known = np.asarray(column.is_valid())
        numbers = column.fill_null(0).to_numpy(zero_copy_only=False)
        known &= (numbers >= 0) & (numbers < 1 << NUMBER_BITS)
        return numbers.astype(np.uint64) << np.uint64(64 - NUMBER_BITS), known
    _, keys, is_known = read_image_ids(column.cast(pa.string()).fill_null(""))
    return keys, is_known


def whole_keys(keys: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Returns keys of images in place of their first `NUMBER_BITS` bits, where there is such an
    image.

    Args:
        keys: (n,) uint64.
        images: keys, (k,) uint64, sorted.
    """
    if not len(images):
        return keys
    shift = np.uint64(64 - NUMBER_BITS)
    place = np.searchsorted(images >> shift, keys >> shift).clip(max=len(images) - 1)
    found = images[place]
    return np.where(found >> shift == keys >> shift, found, keys)
