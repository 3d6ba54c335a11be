"""The naive reading of single rows, for `tests.oracle`: text in, values of examples out."""

import operator
import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

SPLITS = {"train": "train", "validation": "validation", "val": "validation", "test": "test"}
IMAGE_ID = re.compile(r"\s*(?:.*[/\\])?([0-9a-fA-F]{16})(?:\.(?:jpe?g|png|gif|webp|bmp|tiff?))?\s*")
UNKNOWN = re.compile(r"\s*(nan|none|null|na|n/a|<na>)?\s*", re.I)
NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)
INTEGER = re.compile(r"\s*([+-]?\d+)(\.0*)?\s*", re.ASCII)
ROTATIONS = {"": None, "nan": None, "0": 0, "90": 90, "180": 180, "270": 270}
ROTATIONS |= {"0.0": 0, "90.0": 90, "180.0": 180, "270.0": 270}


class LeftOutError(Exception):
    """Something that must be left out, with the stage and reason of its failure row."""

    def __init__(self, stage: str, reason: str) -> None:
        super().__init__(stage, reason)


class Lost(list):
    """Collects the names of fields that can't be read in rows that are kept."""

    def attempt(self, name: str, parse: Callable[..., Any], *arguments: Any) -> Any:
        """What a function gives, or None and one loss more."""
        try:
            return parse(*arguments)
        except (ValueError, TypeError, KeyError):
            self.append(name)
            return None

    def parse(self, row: dict, column: str, parse: Callable[[str], Any]) -> Any:
        """An optional field: None where there is no such column, or nothing known in it."""
        text = row.get(column)
        return (
            None if text is None or UNKNOWN.fullmatch(text) else self.attempt(column, parse, text)
        )


def image_id_of(text: Any) -> str | None:
    """An ImageID, however it is written; None where the text is none."""
    match = IMAGE_ID.fullmatch(text) if isinstance(text, str) else None
    return match[1].lower() if match else None


def parse_row(kind: str, row: dict | None) -> tuple[dict, Lost]:
    """A row as the example holds it, and what of it is lost."""
    lost = Lost()
    try:
        if not image_id_of(row["ImageID"]):
            raise ValueError("not an ImageID")
        return PARSERS[kind](row, lost), lost
    except (ValueError, TypeError, KeyError):
        raise LeftOutError("read", "bad_row") from None


def name(text: str) -> str:
    """A text that must not be empty."""
    if not text.strip():
        raise ValueError("empty")
    return text.strip()


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


def parse_image(row: dict, lost: Lost) -> dict:
    """A row of an image table, or of an image known by its split alone."""
    row = defaultdict(str, row)

    def size(text: str) -> int:
        return integer(text, -(2**63), 2**63 - 1)

    return {
        "split": SPLITS[row["Subset"].strip().lower()],
        "rotation": ROTATIONS.get(row["Rotation"].strip().lower()),
        "original_size": lost.parse(row, "OriginalSize", size),
        "original_url": row["OriginalURL"] or None,
        "original_landing_url": row["OriginalLandingURL"] or None,
        "license": row["License"] or None,
        "author_profile_url": row["AuthorProfileURL"] or None,
        "author": row["Author"] or None,
        "title": row["Title"] or None,
        "thumbnail_300k_url": row["Thumbnail300KURL"] or None,
        "original_md5": row["OriginalMD5"] or None,
    }


def parse_image_label(row: dict, lost: Lost) -> dict:
    """A label of the whole image."""
    return {
        "label": name(row["LabelName"]),
        "source": row.get("Source"),
        "confidence": number(row["Confidence"]),
    }


def parse_any_box(row: dict, lost: Lost) -> dict:
    """Returns the fields that a box and a MIAP person box share."""

    def flag(text: str) -> int:
        text = {"true": "1", "false": "0"}.get(text.strip().lower(), text)
        return integer(text, -1, 1)

    return parse_corners(row) | {
        "label": name(row["LabelName"]),
        "source": row.get("Source"),
        "confidence": lost.parse(row, "Confidence", number),
        "is_occluded": lost.parse(row, "IsOccluded", flag),
        "is_truncated": lost.parse(row, "IsTruncated", flag),
        "is_group_of": lost.parse(row, "IsGroupOf", flag),
        "is_depiction": lost.parse(row, "IsDepiction", flag),
        "is_inside": lost.parse(row, "IsInside", flag),
    }


def parse_box(row: dict, lost: Lost) -> dict:
    """A box."""
    points = None
    if "XClick1X" in row:
        points = lost.attempt("extreme_points", parse_extreme_points, row)
    return parse_any_box(row, lost) | {"extreme_points": points}


def parse_person_box(row: dict, lost: Lost) -> dict:
    """A MIAP person box."""
    return parse_any_box(row, lost) | {
        "gender_presentation": row.get("GenderPresentation"),
        "age_presentation": row.get("AgePresentation"),
    }


def parse_extreme_points(row: dict) -> list[dict]:
    """The four clicks that made a box; none where it was made otherwise: one is missing, or -1."""
    texts = [row[f"XClick{i}{axis}"] for i in (1, 2, 3, 4) for axis in "XY"]
    xy = [-1.0 if UNKNOWN.fullmatch(text) else number(text) for text in texts]
    return [] if min(xy) < 0 else [{"x": x, "y": y} for x, y in zip(xy[::2], xy[1::2], strict=True)]


def parse_mask(row: dict, lost: Lost) -> dict:
    """A row of a mask table, with the name of its PNG until that is read."""

    def parse_clicks(text: str) -> list[dict]:
        clicks = []
        for click in text.removesuffix(";").split(";") if text else []:
            x, y, t = click.split(" ")
            clicks.append({"x": number(x), "y": number(y), "t": integer(t, -128, 127)})
        return clicks

    png, label = name(row["MaskPath"]), name(row["LabelName"])
    if re.search(r"/|\\|\.\.", png):
        raise LeftOutError("read", "unsafe_path")
    corners = ("BoxXMin", "BoxXMax", "BoxYMin", "BoxYMax")
    box = dict.fromkeys(("xmin", "xmax", "ymin", "ymax"))
    if not all(UNKNOWN.fullmatch(row.get(corner, "")) for corner in corners):
        box = lost.attempt("box", parse_corners, row, "Box") or box
    return box | {
        "png": png,
        "label": label,
        "box_id": row.get("BoxID"),
        "predicted_iou": lost.parse(row, "PredictedIoU", number),
        "clicks": lost.attempt("Clicks", parse_clicks, row["Clicks"]) if "Clicks" in row else None,
    }


def parse_relationship(row: dict, lost: Lost) -> dict:
    """Two boxes and how they relate."""
    labels = pick(
        row, name, label1="LabelName1", label2="LabelName2", relationship="RelationshipLabel"
    )
    return labels | parse_corners(row, suffix="1") | parse_corners(row, suffix="2")


def parse_narrative(row: dict, lost: Lost) -> dict:
    """A line of localized narratives."""

    def pick_all(items: list[dict] | None, *texts: str, numbers: Iterable[str]) -> list | None:
        return items and [
            pick(item, **{name: name for name in texts})
            | pick(item, finite, **{name: name for name in numbers})
            for item in items
        ]

    def attempt(field: str, parse: Callable[[Any], Any]) -> Any:
        return None if row.get(field) is None else lost.attempt(field, parse, row[field])

    times = ("start_time", "end_time")
    return {
        "annotator_id": attempt("annotator_id", operator.index),
        "caption": row.get("caption"),
        "timed_caption": attempt(
            "timed_caption", lambda items: pick_all(items, "utterance", numbers=times)
        ),
        "traces": attempt(
            "traces", lambda traces: [pick_all(trace, numbers="xyt") for trace in traces]
        ),
        "voice_recording": row.get("voice_recording"),
    }


def parse_point(row: dict, lost: Lost) -> dict:
    """A point and the votes on it."""

    def coordinate(text: str) -> float:
        return number(text, 0, 1)

    def count(text: str) -> int:
        return integer(text, 0, 2**31 - 1)

    return {
        **pick(row, coordinate, x="X", y="Y"),
        **pick(row, name, label="LabelName"),
        **pick(row, estimated_yes_no="EstimatedYesNo"),
        "source": row.get("Source"),
        "yes_votes": lost.parse(row, "YesVotes", count),
        "no_votes": lost.parse(row, "NoVotes", count),
        "unsure_votes": lost.parse(row, "UnsureVotes", count),
        "text_label": row.get("TextLabel"),
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
