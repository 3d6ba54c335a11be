"""What no build can be faster than: `python -m benchmarks.limits csv|json|copy ANNOTATIONS OUTPUT`.

`csv` and `json` parse the tables and the narratives into typed columns by pyarrow, in two threads
that take a file each, and drop them. `copy` copies all files. None of them joins or encodes.
"""

import argparse
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
from pyarrow import csv, json

_BLOCK_BYTES = 16 << 20
_THREADS = 2

_FILES = {
    "csv": (
        *("*-images*-with-rotation.csv", "*-imagelabels.csv", "*-annotations-bbox.csv"),
        *("*miap_boxes*.csv", "*-annotations-object-segmentation.csv", "*-annotations-vrd.csv"),
        "*-point-labels.csv",
    ),
    "json": ("*_localized_narratives*.jsonl",),
}

_INTEGERS = {
    pa.int8(): (
        *("IsOccluded", "IsTruncated", "IsGroupOf", "IsDepiction", "IsInside"),
        *("IsDepictionOf", "IsInsideOf"),
    ),
    pa.int32(): ("YesVotes", "NoVotes", "UnsureVotes"),
    pa.int64(): ("OriginalSize",),
}
_FLOATS = (
    *("Confidence", "PredictedIoU", "X", "Y", "Rotation"),
    *(f"{side}{end}{i}" for side in "XY" for end in ("Min", "Max") for i in ("", 1, 2)),
    *(f"Box{side}{end}" for side in "XY" for end in ("Min", "Max")),
    *(f"XClick{i}{axis}" for i in (1, 2, 3, 4) for axis in "XY"),
)
_TEXTS = (
    *("ImageID", "ImageId", "LabelName", "LabelName1", "LabelName2", "RelationshipLabel"),
    *("Label", "Source", "EstimatedYesNo", "TextLabel", "MaskPath", "BoxID", "Clicks", "Subset"),
    *("OriginalURL", "OriginalLandingURL", "License", "AuthorProfileURL", "Author", "Title"),
    *("OriginalMD5", "Thumbnail300KURL", "GenderPresentation", "AgePresentation"),
)
_TYPES = (
    dict.fromkeys(_FLOATS, pa.float32())
    | dict.fromkeys(_TEXTS, pa.string())
    | {name: dtype for dtype, names in _INTEGERS.items() for name in names}
)

_PLACE = pa.struct({"x": pa.float32(), "y": pa.float32(), "t": pa.float32()})
_UTTERANCE = {"utterance": pa.string(), "start_time": pa.float32(), "end_time": pa.float32()}
_NARRATIVE = pa.schema(
    {
        "image_id": pa.string(),
        "annotator_id": pa.int64(),
        "caption": pa.string(),
        "timed_caption": pa.list_(pa.struct(_UTTERANCE)),
        "traces": pa.list_(pa.list_(_PLACE)),
        "voice_recording": pa.string(),
    }
)


def _csv_blocks(path: Path) -> Iterator[pa.RecordBatch]:
    return csv.open_csv(
        path,
        csv.ReadOptions(use_threads=False, block_size=_BLOCK_BYTES),
        csv.ParseOptions(newlines_in_values="-images-" in path.name),
        csv.ConvertOptions(column_types=_TYPES),
    )


def _json_blocks(path: Path) -> Iterator[pa.RecordBatch]:
    return json.open_json(
        path,
        json.ReadOptions(use_threads=False, block_size=_BLOCK_BYTES),
        json.ParseOptions(explicit_schema=_NARRATIVE, unexpected_field_behavior="ignore"),
    )


def parse(annotations: Path, kind: str) -> int:
    """Parses all files of a kind, the largest first.

    Args:
        annotations: a folder of V7's files.
        kind: `csv`, the tables with rows of images; or `json`, the narratives.

    Returns:
        How many rows there were.
    """
    blocks = _csv_blocks if kind == "csv" else _json_blocks
    paths = [path for pattern in _FILES[kind] for path in annotations.glob(pattern)]
    paths.sort(key=lambda path: -path.stat().st_size)

    def rows_of(path: Path) -> int:
        return sum(block.num_rows for block in blocks(path))

    with ThreadPoolExecutor(_THREADS) as pool:
        return sum(pool.map(rows_of, paths))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("limit", choices=("csv", "json", "copy"))
    parser.add_argument("annotations", type=Path)
    parser.add_argument("output", type=Path)
    flags = parser.parse_args()
    if flags.limit == "copy":
        shutil.copytree(flags.annotations, flags.output)
    else:
        pa.set_cpu_count(_THREADS)
        print(f"{parse(flags.annotations, flags.limit):,} rows")
