"""The same dataset by Polars, streaming: `python -m benchmarks.polars_join ANNOTATIONS OUTPUT`.

What it does not do: check rows, shuffle images, keep the published order of an image's rows, or
write a file a split.
"""

import argparse
import os
from collections.abc import Mapping
from pathlib import Path

# Read when Polars is imported.
os.environ.setdefault("POLARS_MAX_THREADS", "2")

import polars as pl

from benchmarks.columns import FLAG_NAMES, IMAGE_NAMES, MIAP_FLAG_NAMES
from transforms.kinds.boxes import FLAGS
from transforms.kinds.registry import ANNOTATION_COLUMNS, EXAMPLE

_TEXT, _F32, _I8, _I32, _I64 = pl.String, pl.Float32, pl.Int8, pl.Int32, pl.Int64

_IMAGE_COLUMNS = IMAGE_NAMES | {"original_size": "OriginalSize"}
_CORNERS = ("XMin", "XMax", "YMin", "YMax")
_CLICK_NAMES = [[f"XClick{i}{axis}" for axis in "XY"] for i in (1, 2, 3, 4)]


def join(annotations: Path, output: Path) -> None:
    """Writes one example an image to a Parquet file below `output`/parquet.

    Args:
        annotations: a folder of V7's files.
        output: a new folder.
    """
    joined = _images(annotations)
    for name, elements in (
        ("image_labels", _image_labels(annotations)),
        ("bboxes", _boxes(annotations)),
        ("person_boxes", _person_boxes(annotations)),
        ("masks", _masks(annotations)),
        ("relationships", _relationships(annotations)),
        ("narratives", _narratives(annotations)),
        ("points", _points(annotations)),
    ):
        lists = elements.group_by("image_id").agg(pl.col("element").alias(name))
        joined = joined.join(lists, on="image_id", how="left")
    folder = output / "parquet"
    folder.mkdir(parents=True)
    joined.select(_columns()).sink_parquet(
        folder / "examples.parquet", compression="zstd", compression_level=1, engine="streaming"
    )


def _columns() -> list[pl.Expr]:
    """All columns of an example in their order, lists empty in place of null."""
    frame = pl.from_arrow(EXAMPLE.empty_table())
    assert isinstance(frame, pl.DataFrame)
    columns = []
    for name, dtype in frame.schema.items():
        if name in ANNOTATION_COLUMNS:
            columns.append(pl.col(name).fill_null(pl.lit([], dtype)))
        elif name in ("image_id", "split", "rotation", "published_rotation", *_IMAGE_COLUMNS):
            columns.append(pl.col(name))
        else:
            columns.append(pl.lit(None, dtype).alias(name))
    return columns


def _csv(folder: Path, files: str, types: Mapping[str, type[pl.DataType]]) -> pl.LazyFrame:
    return pl.scan_csv(folder / files, schema_overrides=types)


def _images(folder: Path) -> pl.LazyFrame:
    types = dict.fromkeys(_IMAGE_COLUMNS.values(), _TEXT) | {"OriginalSize": _I64, "Rotation": _F32}
    rotation = pl.col("Rotation").fill_nan(None).cast(pl.Int16)
    return _csv(folder, "*-images*-with-rotation.csv", types).select(
        pl.col("ImageID").alias("image_id"),
        pl.col("Subset").alias("split"),
        rotation=rotation,
        published_rotation=rotation,
        **{name: pl.col(column) for name, column in _IMAGE_COLUMNS.items()},
    )


def _element(image_id: str = "ImageID", **fields: str | pl.Expr) -> list[pl.Expr]:
    """The ImageID, and a row as the struct that an example's list holds."""
    named = [
        (pl.col(field) if isinstance(field, str) else field).alias(name)
        for name, field in fields.items()
    ]
    return [pl.col(image_id).alias("image_id"), pl.struct(named).alias("element")]


def _image_labels(folder: Path) -> pl.LazyFrame:
    return _csv(folder, "*-imagelabels.csv", {"Confidence": _F32}).select(
        _element(label="LabelName", source="Source", confidence="Confidence")
    )


def _box_fields(flags: tuple[str, ...]) -> dict[str, str]:
    corners = {name.lower(): name for name in _CORNERS}
    return corners | dict(zip(FLAGS, flags, strict=True))


def _box_types(flags: tuple[str, ...]) -> dict[str, type[pl.DataType]]:
    return {**dict.fromkeys(("Confidence", *_CORNERS), _F32), **dict.fromkeys(flags, _I8)}


def _boxes(folder: Path) -> pl.LazyFrame:
    types = _box_types(FLAG_NAMES)
    clicks = [name for pair in _CLICK_NAMES for name in pair]
    places = [pl.struct(x=x, y=y) for x, y in _CLICK_NAMES]
    points = pl.List(pl.Struct({"x": _F32, "y": _F32}))
    drawn = pl.when(pl.min_horizontal(clicks) < 0).then(pl.lit([], points))

    def boxes(files: str, types: Mapping[str, type[pl.DataType]], points: pl.Expr) -> pl.LazyFrame:
        fields = {"label": "LabelName", "source": "Source", "confidence": "Confidence"}
        return _csv(folder, files, types).select(
            _element(**fields, **_box_fields(FLAG_NAMES), extreme_points=points)
        )

    return pl.concat(
        [
            boxes(
                "*-train-annotations-bbox.csv",
                types | dict.fromkeys(clicks, _F32),
                drawn.otherwise(pl.concat_list(places)),
            ),
            *(
                boxes(f"{split}-annotations-bbox.csv", types, pl.lit(None, points))
                for split in ("validation", "test")
            ),
        ]
    )


def _person_boxes(folder: Path) -> pl.LazyFrame:
    return _csv(folder, "*miap_boxes*.csv", _box_types(MIAP_FLAG_NAMES)).select(
        _element(
            label="LabelName",
            source=pl.lit(None, _TEXT),
            confidence="Confidence",
            **_box_fields(MIAP_FLAG_NAMES),
            gender_presentation="GenderPresentation",
            age_presentation="AgePresentation",
        )
    )


def _masks(folder: Path) -> pl.LazyFrame:
    corners = {name.lower(): f"Box{name}" for name in _CORNERS}
    types = dict.fromkeys((*corners.values(), "PredictedIoU"), _F32)
    parts = pl.element().str.split_exact(" ", 2)
    click = pl.struct(
        x=parts.struct.field("field_0").cast(_F32),
        y=parts.struct.field("field_1").cast(_F32),
        t=parts.struct.field("field_2").cast(_I8),
    )
    none = pl.lit([], pl.List(pl.Struct({"x": _F32, "y": _F32, "t": _I8})))
    return _csv(
        folder,
        "*-annotations-object-segmentation.csv",
        types | {"BoxID": _TEXT, "Clicks": _TEXT},
    ).select(
        _element(
            label="LabelName",
            box_id="BoxID",
            **corners,
            predicted_iou="PredictedIoU",
            clicks=pl.col("Clicks").str.split(";").list.eval(click).fill_null(none),
            size=pl.lit(None, pl.List(_I32)),
            counts=pl.lit(None, pl.Binary),
            area=pl.lit(None, _I64),
        )
    )


def _relationships(folder: Path) -> pl.LazyFrame:
    corners = {f"{name.lower()}{i}": f"{name}{i}" for i in (1, 2) for name in _CORNERS}
    return _csv(folder, "*-annotations-vrd.csv", dict.fromkeys(corners.values(), _F32)).select(
        _element(
            label1="LabelName1",
            label2="LabelName2",
            relationship="RelationshipLabel",
            **corners,
        )
    )


def _narratives(folder: Path) -> pl.LazyFrame:
    schema = {
        "image_id": _TEXT,
        "annotator_id": _I64,
        "caption": _TEXT,
        "timed_caption": pl.List(
            pl.Struct({"utterance": _TEXT, "start_time": _F32, "end_time": _F32})
        ),
        "traces": pl.List(pl.List(pl.Struct({"x": _F32, "y": _F32, "t": _F32}))),
        "voice_recording": _TEXT,
    }
    fields = {name: name for name in schema if name != "image_id"}
    lines = pl.scan_ndjson(folder / "*_localized_narratives*.jsonl", schema=schema)
    voice = pl.lit(None, pl.Struct({"bytes": pl.Binary, "path": _TEXT}))
    return lines.select(_element("image_id", **fields, voice=voice))


def _points(folder: Path) -> pl.LazyFrame:
    votes = {"yes_votes": "YesVotes", "no_votes": "NoVotes", "unsure_votes": "UnsureVotes"}
    types = {"X": _F32, "Y": _F32} | dict.fromkeys(votes.values(), _I32) | {"TextLabel": _TEXT}
    return _csv(folder, "*-point-labels.csv", types).select(
        _element(
            "ImageId",
            x="X",
            y="Y",
            label="Label",
            estimated_yes_no="EstimatedYesNo",
            source="Source",
            **votes,
            text_label=pl.col("TextLabel").fill_null(""),
        )
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("annotations", type=Path)
    parser.add_argument("output", type=Path)
    flags = parser.parse_args()
    join(flags.annotations, flags.output)
