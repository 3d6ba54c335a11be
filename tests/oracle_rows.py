"""The naive reading of single rows, for `tests.oracle`: text in, values of examples out."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

SPLITS = {"train": "train", "validation": "validation", "val": "validation", "test": "test"}
IMAGE_ID = re.compile("[0-9a-f]{16}")
NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)
INTEGER = re.compile(r"\s*([+-]?\d+)(\.0*)?\s*", re.ASCII)
ROTATIONS = {"": None, "nan": None, "0": 0, "90": 90, "180": 180, "270": 270}
ROTATIONS |= {"0.0": 0, "90.0": 90, "180.0": 180, "270.0": 270}


class LeftOutError(Exception):
    """Something that must be left out, with the stage and reason of its failure row."""

    def __init__(self, stage: str, reason: str) -> None:
        super().__init__(stage, reason)


def parse_row(kind: str, row: dict | None) -> dict:
    """A row as the example holds it."""
    try:
        if not IMAGE_ID.fullmatch(row["ImageID"]):
            raise ValueError("not an ImageID")
        return PARSERS[kind](row)
    except (ValueError, TypeError, KeyError):
        raise LeftOutError("read", "bad_row") from None


def finite(value: float) -> float:
    """A finite number, rounded to the precision that is published."""
    with np.errstate(over="ignore"):
        rounded = float(np.float32(value))
    if not np.isfinite(rounded):
        raise ValueError("not finite")
    return rounded


def number(text: str, low: float = -np.inf, high: float = np.inf) -> float:
    """A text's number, finite and within limits."""
    value = finite(float(text)) if NUMBER.fullmatch(text) else np.nan
    if not low <= value <= high:
        raise ValueError("not such a number")
    return value


def integer(text: str, low: float, high: float = np.inf) -> int:
    """A whole number within limits; it may be written `1.0`."""
    match = INTEGER.fullmatch(text)
    if not (match and low <= int(match[1]) <= high):
        raise ValueError("not such an integer")
    return int(match[1])


def pick(row: dict, parse: Callable[[str], Any] = str, **columns: str) -> dict:
    """Fields of an element, each named with the column that it comes from."""
    return {name: parse(row[column]) for name, column in columns.items()}


def parse_corners(row: dict, prefix: str = "", suffix: str = "") -> dict:
    """A box within the picture."""
    box = {}
    for axis in "XY":
        low = number(row[f"{prefix}{axis}Min{suffix}"], 0, 1)
        high = number(row[f"{prefix}{axis}Max{suffix}"], low, 1)
        box |= {f"{axis.lower()}min{suffix}": low, f"{axis.lower()}max{suffix}": high}
    return box


def parse_image(row: dict) -> dict:
    """A row of an image table, or of an image known by its split alone."""
    row = defaultdict(str, row)
    return {
        "split": SPLITS[row["Subset"]],
        "rotation": ROTATIONS.get(row["Rotation"].strip().lower()),
        "original_size": integer(row["OriginalSize"], -(2**63)) if row["OriginalSize"] else None,
        "original_url": row["OriginalURL"] or None,
        "original_landing_url": row["OriginalLandingURL"] or None,
        "license": row["License"] or None,
        "author_profile_url": row["AuthorProfileURL"] or None,
        "author": row["Author"] or None,
        "title": row["Title"] or None,
        "thumbnail_300k_url": row["Thumbnail300KURL"] or None,
        "original_md5": row["OriginalMD5"] or None,
    }


def parse_image_label(row: dict) -> dict:
    """A label of the whole image."""
    return pick(row, label="LabelName", source="Source") | pick(
        row, number, confidence="Confidence"
    )


def parse_any_box(row: dict) -> dict:
    """What a box and a MIAP person box have in common."""

    def flag(column: str) -> int | None:
        return integer(row[column], -1, 1) if column in row else None

    return parse_corners(row) | {
        "label": row["LabelName"],
        "source": row.get("Source"),
        "confidence": number(row["Confidence"]),
        "is_occluded": flag("IsOccluded"),
        "is_truncated": flag("IsTruncated"),
        "is_group_of": flag("IsGroupOf"),
        "is_depiction": flag("IsDepiction"),
        "is_inside": flag("IsInside"),
    }


def parse_box(row: dict) -> dict:
    """A box."""
    points = parse_extreme_points(row) if "XClick1X" in row else None
    return parse_any_box(row) | {"extreme_points": points}


def parse_person_box(row: dict) -> dict:
    """A MIAP person box."""
    presented = {"gender_presentation": "GenderPresentation", "age_presentation": "AgePresentation"}
    return parse_any_box(row) | pick(row, **presented)


def parse_extreme_points(row: dict) -> list[dict]:
    """The four clicks that made a box; none where it was made otherwise: one is missing, or -1."""
    columns = [f"XClick{i}{axis}" for i in (1, 2, 3, 4) for axis in "XY"]
    if any(row[column].lower() in ("", "nan") for column in columns):
        return []
    xy = [number(row[column]) for column in columns]
    return [] if min(xy) < 0 else [{"x": x, "y": y} for x, y in zip(xy[::2], xy[1::2], strict=True)]


def parse_mask(row: dict) -> dict:
    """A row of a mask table, with the name of its PNG until that is read."""
    mask = parse_corners(row, prefix="Box")
    mask |= pick(row, png="MaskPath", label="LabelName", box_id="BoxID")
    mask["predicted_iou"] = number(row["PredictedIoU"]) if row["PredictedIoU"] else None
    mask["clicks"] = []
    clicks = row["Clicks"].removesuffix(";")
    for click in clicks.split(";") if clicks else []:
        x, y, t = click.split(" ")
        mask["clicks"].append({"x": number(x), "y": number(y), "t": integer(t, -128, 127)})
    if re.search(r"/|\\|\.\.", mask["png"]):
        raise LeftOutError("read", "unsafe_path")
    return mask


def parse_relationship(row: dict) -> dict:
    """Two boxes and how they relate."""
    labels = pick(row, label1="LabelName1", label2="LabelName2", relationship="RelationshipLabel")
    return labels | parse_corners(row, suffix="1") | parse_corners(row, suffix="2")


def parse_narrative(row: dict) -> dict:
    """A line of localized narratives."""

    def pick_all(items: list[dict] | None, *texts: str, numbers: Iterable[str]) -> list | None:
        return items and [
            pick(item, **{name: name for name in texts})
            | pick(item, finite, **{name: name for name in numbers})
            for item in items
        ]

    traces = row.get("traces")
    times = ("start_time", "end_time")
    return {
        "annotator_id": row["annotator_id"],
        "caption": row["caption"],
        "timed_caption": pick_all(row.get("timed_caption"), "utterance", numbers=times),
        "traces": traces and [pick_all(trace, numbers="xyt") for trace in traces],
        "voice_recording": row.get("voice_recording"),
    }


def parse_point(row: dict) -> dict:
    """A point and the votes on it."""

    def coordinate(text: str) -> float:
        return number(text, 0, 1)

    def count(text: str) -> int:
        return integer(text, 0, 2**31 - 1)

    return {
        **pick(row, coordinate, x="X", y="Y"),
        **pick(row, label="LabelName", estimated_yes_no="EstimatedYesNo", source="Source"),
        **pick(row, count, yes_votes="YesVotes", no_votes="NoVotes", unsure_votes="UnsureVotes"),
        **pick(row, text_label="TextLabel"),
    }


PARSERS = {
    "images": parse_image,
    "image_labels": parse_image_label,
    "boxes": parse_box,
    "person_boxes": parse_person_box,
    "masks": parse_mask,
    "relationships": parse_relationship,
    "narratives": parse_narrative,
    "points": parse_point,
}
