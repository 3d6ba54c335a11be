"""The naive reading of single rows, for `tests.oracle`: text in, values of examples out."""

import json
import operator
import re
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np

SPLITS = {"train": "train", "validation": "validation", "val": "validation", "test": "test"}
IMAGE_ID = re.compile(
    r"[ \t]*(?:.*[/\\])?[ \t]*([0-9a-fA-F]{16})(?:\.(?i:jpe?g|png|gif|webp|bmp|tiff?))?[ \t]*"
)
UNKNOWN = re.compile(r"[ \t]*(nan|none|null|na|n/a|<na>)?[ \t]*", re.I)
NAN = re.compile(r"[ \t]*[+-]nan[ \t]*", re.I)
NUMBER = re.compile(r"[ \t]*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?[ \t]*", re.ASCII)
INTEGER = re.compile(r"[ \t]*([+-]?)0*(\d{1,19})(\.0*)?[ \t]*", re.ASCII)
CLICK = re.compile(r"-?\d+(\.\d*)?([eE][+-]?\d+)?", re.ASCII)
ROTATION = re.compile(r"(0|90|180|270)(\.0*)?")


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
        unknown = text is None or UNKNOWN.fullmatch(text)
        if unknown or (parse is number and NAN.fullmatch(text)):
            return None
        return self.attempt(column, parse, text)

    def word(self, row: dict, column: str) -> str | None:
        """An optional text without spaces around it: None where there is no such column."""
        return self.attempt(column, word, row[column]) if column in row else None


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


def free(text: str) -> str:
    """A text that is UTF-8."""
    text.encode()
    return text


def word(text: str) -> str:
    """A text without spaces around it."""
    return free(text).strip(" \t")


def name(text: str) -> str:
    """A text that must not be empty."""
    if not word(text):
        raise ValueError("empty")
    return word(text)


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
    if not (match and low <= int(match[1] + match[2]) <= high):
        raise ValueError("not such an integer")
    return int(match[1] + match[2])


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

    lost.attempt("Rotation", free, row["Rotation"])
    rotation = ROTATION.fullmatch(row["Rotation"].strip())
    return {
        "split": SPLITS[word(row["Subset"]).lower()],
        "rotation": int(rotation[1]) if rotation else None,
        "original_size": lost.parse(row, "OriginalSize", size),
        "original_url": lost.attempt("OriginalURL", free, row["OriginalURL"]) or None,
        "original_landing_url": lost.attempt("OriginalLandingURL", free, row["OriginalLandingURL"])
        or None,
        "license": lost.attempt("License", free, row["License"]) or None,
        "author_profile_url": lost.attempt("AuthorProfileURL", free, row["AuthorProfileURL"])
        or None,
        "author": lost.attempt("Author", free, row["Author"]) or None,
        "title": lost.attempt("Title", free, row["Title"]) or None,
        "thumbnail_300k_url": lost.attempt("Thumbnail300KURL", free, row["Thumbnail300KURL"])
        or None,
        "original_md5": lost.attempt("OriginalMD5", free, row["OriginalMD5"]) or None,
    }


def parse_image_label(row: dict, lost: Lost) -> dict:
    """A label of the whole image."""
    return {
        "label": name(row["LabelName"]),
        "source": lost.word(row, "Source"),
        "confidence": number(row["Confidence"]),
    }


def parse_any_box(row: dict, lost: Lost) -> dict:
    """Returns the fields that a box and a MIAP person box share."""

    def flag(text: str) -> int:
        text = {"true": "1", "false": "0"}.get(text.strip(" \t").lower(), text)
        return integer(text, -1, 1)

    return parse_corners(row) | {
        "label": name(row["LabelName"]),
        "source": lost.word(row, "Source"),
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
    if all(f"XClick{i}{axis}" in row for i in (1, 2, 3, 4) for axis in "XY"):
        points = lost.attempt("extreme_points", parse_extreme_points, row)
    return parse_any_box(row, lost) | {"extreme_points": points}


def parse_person_box(row: dict, lost: Lost) -> dict:
    """A MIAP person box."""
    return parse_any_box(row, lost) | {
        "gender_presentation": lost.word(row, "GenderPresentation"),
        "age_presentation": lost.word(row, "AgePresentation"),
    }


def parse_extreme_points(row: dict) -> list[dict]:
    """The four clicks that made a box; none where it was made otherwise: one is missing, or -1."""
    texts = [row[f"XClick{i}{axis}"] for i in (1, 2, 3, 4) for axis in "XY"]
    unknown = [UNKNOWN.fullmatch(text) or NAN.fullmatch(text) for text in texts]
    xy = [-1.0 if none else number(text) for none, text in zip(unknown, texts, strict=True)]
    return [] if min(xy) < 0 else [{"x": x, "y": y} for x, y in zip(xy[::2], xy[1::2], strict=True)]


def parse_mask(row: dict, lost: Lost) -> dict:
    """A row of a mask table, with the name of its PNG until that is read."""

    def parse_clicks(text: str) -> list[dict]:
        clicks = []
        text = word(text)
        for click in text.removesuffix(";").split(";") if text else []:
            x, y, t = click.split(" ")
            if not (CLICK.fullmatch(x) and CLICK.fullmatch(y) and re.fullmatch("-?[0-9]{1,2}", t)):
                raise ValueError("not a click")
            clicks.append({"x": number(x), "y": number(y), "t": int(t)})
        return clicks

    png, label = name(row["MaskPath"]), name(row["LabelName"])
    if re.search(r"/|\\|\.\.", png):
        raise LeftOutError("read", "unsafe_path")
    corners = ("BoxXMin", "BoxXMax", "BoxYMin", "BoxYMax")
    box = dict.fromkeys(("xmin", "xmax", "ymin", "ymax"))
    is_known = all(corner in row for corner in corners)
    if is_known and not all(UNKNOWN.fullmatch(row[corner]) for corner in corners):
        box = lost.attempt("box", parse_corners, row, "Box") or box
    return box | {
        "png": png,
        "label": label,
        "box_id": lost.word(row, "BoxID"),
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

    def text(value: Any) -> str:
        if not isinstance(value, str):
            raise TypeError("not a text")
        return free(value)

    def real(value: Any) -> float:
        if isinstance(value, bool | str):
            raise TypeError("not a number")
        return finite(value)

    def pick_all(items: list | None, parse: dict[str, Callable[[Any], Any]]) -> list | None:
        if not isinstance(items, list):
            return attempt_none(items)
        return [attempt_none(item) if item is None else pick_some(item, parse) for item in items]

    def attempt_none(value: None) -> None:
        if value is not None:
            raise TypeError("not of the format's type")

    def pick_some(item: dict, parse: dict[str, Callable[[Any], Any]]) -> dict:
        if not isinstance(item, dict):
            raise TypeError("not an object")
        return {
            name: None if item.get(name) is None else function(item[name])
            for name, function in parse.items()
        }

    def attempt(field: str, parse: Callable[[Any], Any]) -> Any:
        def checked(value: Any) -> Any:
            json.dumps(value, ensure_ascii=False).encode()  # names of unknown fields, too
            return parse(value)

        return None if row.get(field) is None else lost.attempt(field, checked, row[field])

    def whole(value: Any) -> int:
        if isinstance(value, bool) or not -(2**63) <= value < 2**63:
            raise ValueError("not such an integer")
        return operator.index(value)

    words = {"utterance": text, "start_time": real, "end_time": real}

    def pick_traces(traces: Any) -> list:
        if not isinstance(traces, list):
            raise TypeError("not a list")
        return [pick_all(trace, dict.fromkeys("xyt", real)) for trace in traces]

    return {
        "annotator_id": attempt("annotator_id", whole),
        "caption": None if row.get("caption") is None else free(row["caption"]),
        "timed_caption": attempt("timed_caption", lambda items: pick_all(items, words)),
        "traces": attempt("traces", pick_traces),
        "voice_recording": attempt("voice_recording", free),
        "voice": None,
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
        **pick(row, word, estimated_yes_no="EstimatedYesNo"),
        "source": lost.word(row, "Source"),
        "yes_votes": lost.parse(row, "YesVotes", count),
        "no_votes": lost.parse(row, "NoVotes", count),
        "unsure_votes": lost.parse(row, "UnsureVotes", count),
        "text_label": lost.attempt("TextLabel", free, row["TextLabel"])
        if "TextLabel" in row
        else None,
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
