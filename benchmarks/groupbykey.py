"""The same dataset by a CoGroupByKey of rows: `python -m benchmarks.groupbykey ANNOTATIONS OUTPUT`.

This is the pipeline that one writes first: parse each row, key it by its image, group, write. It
checks no rows and shuffles no images.
"""

import argparse
import csv
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import apache_beam as beam
import pyarrow as pa
from apache_beam.options.pipeline_options import PipelineOptions

from benchmarks.columns import FLAG_NAMES, IMAGE_NAMES, MIAP_FLAG_NAMES
from transforms.kinds.boxes import FLAGS
from transforms.kinds.registry import ANNOTATION_COLUMNS, EXAMPLE

_CAST = {pa.string(): str, pa.float32(): float} | dict.fromkeys((pa.int8(), pa.int32()), int)
_BOX = {"xmin": "XMin", "xmax": "XMax", "ymin": "YMin", "ymax": "YMax"}


@dataclass(frozen=True)
class Table:
    """A kind of annotation table.

    Attributes:
        files: a glob of its files.
        column: the example's column that its rows go to.
        names: the field of an element to the column of the file, where one is the other's text.
    """

    files: str
    column: str
    names: dict[str, str]


TABLES = (
    Table(
        "*-imagelabels.csv",
        "image_labels",
        {"label": "LabelName", "source": "Source", "confidence": "Confidence"},
    ),
    Table(
        "*-annotations-bbox.csv",
        "bboxes",
        {"label": "LabelName", "source": "Source", "confidence": "Confidence", **_BOX}
        | dict(zip(FLAGS, FLAG_NAMES, strict=True)),
    ),
    Table(
        "*miap_boxes*.csv",
        "person_boxes",
        {"label": "LabelName", "confidence": "Confidence", **_BOX}
        | dict(zip(FLAGS, MIAP_FLAG_NAMES, strict=True))
        | {"gender_presentation": "GenderPresentation", "age_presentation": "AgePresentation"},
    ),
    Table(
        "*-annotations-object-segmentation.csv",
        "masks",
        {"label": "LabelName", "box_id": "BoxID", "predicted_iou": "PredictedIoU"}
        | {field: f"Box{name}" for field, name in _BOX.items()},
    ),
    Table(
        "*-annotations-vrd.csv",
        "relationships",
        {"label1": "LabelName1", "label2": "LabelName2", "relationship": "RelationshipLabel"}
        | {f"{field}{i}": f"{name}{i}" for i in (1, 2) for field, name in _BOX.items()},
    ),
    Table(
        "*-point-labels.csv",
        "points",
        {"x": "X", "y": "Y", "label": "Label", "estimated_yes_no": "EstimatedYesNo"}
        | {"source": "Source", "yes_votes": "YesVotes", "no_votes": "NoVotes"}
        | {"unsure_votes": "UnsureVotes", "text_label": "TextLabel"},
    ),
)


def read_table(path: str, table: Table) -> Iterator[tuple[str, dict]]:
    """ImageID and element of each row of a CSV file."""
    types = {field.name: field.type for field in ANNOTATION_COLUMNS[table.column]}
    casts = [(field, name, _CAST[types[field]]) for field, name in table.names.items()]
    for row in _rows(path):
        element: dict = {
            field: None if row[name] == "" and cast is not str else cast(row[name])
            for field, name, cast in casts
        }
        if table.column == "masks":
            element["clicks"] = _clicks(row["Clicks"])
        elif "XClick1X" in row:
            element["extreme_points"] = _extreme_points(row)
        yield row.get("ImageID") or row["ImageId"], element


def read_images(path: str) -> Iterator[tuple[str, dict]]:
    """ImageID and columns of each row of an image table."""
    for row in _rows(path):
        columns: dict = {field: row[name] or None for field, name in IMAGE_NAMES.items()}
        columns["split"] = row["Subset"]
        columns["original_size"] = int(row["OriginalSize"]) if row["OriginalSize"] else None
        known = row["Rotation"] not in ("", "nan")
        columns["rotation"] = int(float(row["Rotation"])) if known else None
        columns["published_rotation"] = columns["rotation"]
        yield row["ImageID"], columns


def read_narratives(path: str) -> Iterator[tuple[str, dict]]:
    """ImageID and element of each line of a file of narratives."""
    names = [field.name for field in ANNOTATION_COLUMNS["narratives"]]
    with open(path, encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            yield row["image_id"], {name: row.get(name) for name in names}


def make_example(group: tuple[str, dict[str, Iterable[dict]]]) -> Iterator[dict]:
    """What has met of an image, as a row of the schema."""
    image_id, found = group
    empty = dict.fromkeys(EXAMPLE.names)
    for image in found["images"]:
        lists = {column: list(found[column]) for column in ANNOTATION_COLUMNS}
        yield {**empty, "image_id": image_id, **image, **lists}


def _rows(path: str) -> Iterator[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def _clicks(text: str) -> list[dict]:
    clicks = (click.split(" ") for click in text.split(";") if click)
    return [{"x": float(x), "y": float(y), "t": int(t)} for x, y, t in clicks]


def _extreme_points(row: dict[str, str]) -> list[dict]:
    points = [{a.lower(): float(row[f"XClick{i}{a}"]) for a in "XY"} for i in (1, 2, 3, 4)]
    return [] if any(value < 0 for point in points for value in point.values()) else points


def join(annotations: Path, output: Path, workers: int = 2) -> None:
    """Writes one example an image to Parquet files below `output`/parquet.

    Args:
        annotations: a folder of V7's files.
        output: a new folder.
        workers: processes.
    """
    options = PipelineOptions(
        [], direct_num_workers=workers, direct_running_mode="multi_processing"
    )
    runner = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"
    with beam.Pipeline(runner, options) as root:

        def read(name: str, files: str, function, *arguments) -> beam.PCollection:
            paths = sorted(str(path) for path in annotations.glob(files))
            return (
                root
                | f"Files{name}" >> beam.Create(paths)
                | f"Spread{name}" >> beam.Reshuffle()
                | f"Read{name}" >> beam.FlatMap(function, *arguments)
            )

        tagged: dict[str, list[beam.PCollection]] = {
            "images": [read("Images", "*-images*-with-rotation.csv", read_images)],
            "narratives": [read("Narratives", "*_localized_narratives*.jsonl", read_narratives)],
        }
        for table in TABLES:
            rows = read(table.files, table.files, read_table, table)
            tagged.setdefault(table.column, []).append(rows)
        tables = {
            column: some | f"Flatten{column}" >> beam.Flatten() for column, some in tagged.items()
        }
        _ = (
            tables
            | "Join" >> beam.CoGroupByKey()
            | "MakeExample" >> beam.FlatMap(make_example)
            | "Write"
            >> beam.io.WriteToParquet(
                str(output / "parquet" / "examples"),
                EXAMPLE.remove_metadata(),
                codec="zstd",
                file_name_suffix=".parquet",
            )
        )


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("annotations", type=Path)
    parser.add_argument("output", type=Path)
    flags = parser.parse_args()
    # Workers can't import what is defined in the program's main module, so it's taken from here.
    from benchmarks import groupbykey

    groupbykey.join(flags.annotations, flags.output)


if __name__ == "__main__":
    _main()
