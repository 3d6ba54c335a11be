"""The naive answer: what a build must publish, worked out in memory with dicts and loops.

It shares no code with the transforms that it judges. It reads every file whole and keeps every row,
so it is for corpora of some thousand images.

Example:
    want = expected(Path("corpus/annotations"), Path("corpus/images"), Path("corpus/masks"))
    want.examples["train"][0]["bboxes"][0]["label"]
"""

import csv
import gzip
import io
import json
import re
import sys
import tarfile
import zipfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from pycocotools import mask as coco

csv.field_size_limit(sys.maxsize)

SPLITS = {"train": "train", "validation": "validation", "val": "validation", "test": "test"}
IMAGE_ID = re.compile("[0-9a-f]{16}")
MID = re.compile(r"/[a-z]/\S+")
NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)
INTEGER = re.compile(r"\s*([+-]?\d+)(\.0*)?\s*", re.ASCII)
ROTATIONS = {"": None, "nan": None, "0": 0, "90": 90, "180": 180, "270": 270}
ROTATIONS |= {"0.0": 0, "90.0": 90, "180.0": 180, "270.0": 270}
SUFFIXES = {"JPEG": "jpg", "PNG": "png"}

#: What ends a whole picture, and what begins its pixels.
ENDS = {"JPEG": (b"\xff\xd9", b"\xff\xda"), "PNG": (b"IEND", b"IDAT")}

#: Column names as published in places, and as they are called here.
ALIASES = {"ImageId": "ImageID", "Label": "LabelName", "Condidence": "Confidence"}
ALIASES |= {"RelationLabel": "RelationshipLabel", "id": "LabelName", "name": "DisplayName"}
ALIASES |= {"IsDepictionOf": "IsDepiction", "IsInsideOf": "IsInside"}

#: Which column tells a CSV file's kind: the first of these that it has.
TELLING_COLUMNS = {
    "Subset": "images",
    "MaskPath": "masks",
    "RelationshipLabel": "relationships",
    "GenderPresentation": "person_boxes",
    "XMin": "boxes",
    "EstimatedYesNo": "points",
    "Confidence": "image_labels",
    "DisplayName": "classes",
}

#: Which column of an example a kind of annotation fills.
COLUMNS = {
    "image_labels": "image_labels",
    "boxes": "bboxes",
    "person_boxes": "bboxes",
    "masks": "masks",
    "relationships": "relationships",
    "narratives": "narratives",
    "points": "points",
}


class LeftOutError(Exception):
    """Something that must be left out, with the stage and reason of its failure row."""

    def __init__(self, stage: str, reason: str) -> None:
        super().__init__(stage, reason)


class Source(NamedTuple):
    """One annotation file; a row is None where it doesn't have the header's number of fields."""

    path: Path
    name: str
    kind: str
    rows: list


@dataclass
class Expected:
    """What a build must publish; a file is named by its path inside the annotations folder."""

    examples: dict[str, list[dict]] = field(default_factory=dict)  # by split, in order
    failures: Counter = field(default_factory=Counter)  # of (image_id, stage, reason)
    rows: dict[str, int] = field(default_factory=dict)  # by file of images or annotations
    bad_rows: Counter = field(default_factory=Counter)  # by file
    orphans: Counter = field(default_factory=Counter)  # by file
    classes: list[dict] = field(default_factory=list)  # what classes.json holds


def expected_examples(*args: Any, release: str = "v7", **kwargs: Any) -> dict[str, list[dict]]:
    """The examples of `expected`, by split; a release's name alone changes nothing in them."""
    return expected(*args, **kwargs).examples


def expected(
    annotations: Path,
    images: Path | None = None,
    masks: Path | None = None,
    splits: Iterable[str] | None = None,
    maps: Iterable[str] = (),
) -> Expected:
    """Everything that a build must publish.

    Args:
        annotations: A folder of annotation files, or one file.
        images: A folder, tar or zip of pictures; None builds without pixels.
        masks: A folder, tar or zip of mask PNGs.
        splits: The splits wanted; all by default.
        maps: `instance`, `semantic` or both.
    """
    result = Expected()
    sources = read_sources(annotations)
    image_rows, annotated = collect_rows(sources, result)
    result.classes = list_classes(sources, annotated)
    class_index = {entry["label"]: entry["index"] for entry in result.classes}
    given = {COLUMNS.get(source.kind) for source in sources}
    pictures = files_by_name(images) if images else None
    pictures = pictures and {Path(name).stem: data for name, data in pictures.items()}
    pngs = files_by_name(masks) if masks else None

    for image_id in sorted(image_rows, key=order_key):
        rows = image_rows[image_id]
        if splits and not {row["split"] for row in rows} & set(splits):
            continue
        try:
            example = {"image_id": image_id} | merge_image_rows(rows)
            example |= read_picture(image_id, pictures)
        except LeftOutError as bad:
            result.failures[image_id, *bad.args] += 1
            continue
        for column in COLUMNS.values():
            example[column] = annotated[image_id][column] if column in given else None
        for mask in example["masks"] or []:
            png = mask.pop("png")
            mask |= {"size": None, "counts": None, "area": None}
            try:
                if pngs is not None:
                    mask |= read_mask(pngs.get(png), example["width"], example["height"])
            except LeftOutError as bad:
                result.failures[image_id, *bad.args] += 1
        for name in ("instance", "semantic"):
            wanted = name in maps and example["image"]
            example[f"{name}_map"] = draw_map(name, example, class_index) if wanted else None
        result.examples.setdefault(example["split"], []).append(example)
    return result


def order_key(image_id: str) -> int:
    """The place of an image in its split: SplitMix64's finalizer of its salted number."""
    word = 2**64 - 1
    z = int(image_id, 16) ^ 0x6F70656E696D6167
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & word
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & word
    return z ^ (z >> 31)


# Files.


def read_sources(annotations: Path) -> list[Source]:
    """The annotation files in published order: by file name, then path."""
    folder = annotations if annotations.is_dir() else annotations.parent
    paths = annotations.rglob("*") if annotations.is_dir() else [annotations]
    sources = []
    for path in sorted(paths, key=lambda path: (path.name, str(path))):
        suffix = Path(path.name.removesuffix(".gz")).suffix
        if path.is_dir() or suffix not in (".csv", ".txt", ".json", ".jsonl"):
            continue
        data = path.read_bytes()
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8-sig")
        if suffix == ".json":
            kind, rows = "hierarchy", [json.loads(text)]
        elif suffix == ".jsonl":
            lines = filter(str.strip, text.split("\n"))
            kind, rows = "narratives", [read_json(line) for line in lines]
        else:
            kind, rows = read_csv(path, text)
        sources.append(Source(path, path.relative_to(folder).as_posix(), kind, rows))
    return sources


def read_json(line: str) -> dict | None:
    """One line of narratives, its ImageID named as in the tables."""
    try:
        row = json.loads(line)
        return row | {"ImageID": row["image_id"]}
    except (ValueError, TypeError, KeyError):
        return None


def read_csv(path: Path, text: str) -> tuple[str, list]:
    """The kind of a CSV file, and its rows: dicts by column, or lists where they are classes."""
    lines = [line for line in csv.reader(io.StringIO(text, newline="")) if "".join(line).strip()]
    header = [ALIASES.get(name.strip(), name.strip()) for name in lines[0]]
    told = [kind for column, kind in TELLING_COLUMNS.items() if column in header]
    if told and "ImageID" in header:
        fit = [len(line) == len(header) for line in lines]
        rows = [dict(zip(header, line, strict=False)) for line in lines]
        return told[0], [row if ok else None for row, ok in zip(rows, fit, strict=True)][1:]
    if told:
        return "classes" if told[0] == "classes" else "triplets", lines[1:]
    if MID.fullmatch(header[0]):
        return "class_list" if len(header) == 1 else "classes", lines
    if len(header) == 2:
        return "relationship_names", lines
    raise ValueError(f"{path}: unknown header {lines[0]}")


def split_of_file(path: Path) -> str:
    """The split that a file's name tells, or else the nearest folder's."""
    for part in reversed(path.parts):
        for token in re.split("[^a-z0-9]+", part.lower()):
            if token in SPLITS:
                return SPLITS[token]
    raise ValueError(f"{path}: no image table, and no split in its name")


def files_by_name(path: Path) -> dict[str, bytes]:
    """The files in a folder and in its archives by their base name; the first of a name counts."""
    found: dict[str, bytes] = {}
    for name, data in walk(path):
        found.setdefault(name.rpartition("/")[2], data)
    return found


def walk(path: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of each file below a folder or in an archive."""
    if path.is_dir():
        for child in sorted(path.iterdir()):
            yield from walk(child)
    elif path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            yield from ((name, archive.read(name)) for name in archive.namelist())
    elif path.name.endswith((".tar", ".tar.gz", ".tgz")):
        with tarfile.open(path) as archive:
            yield from ((i.name, archive.extractfile(i).read()) for i in archive if i.isfile())
    else:
        yield path.name, path.read_bytes()


# Rows.


def collect_rows(sources: list[Source], result: Expected) -> tuple[dict, dict]:
    """The good rows of all files: image rows by image, annotations by image and column."""
    images, annotated = defaultdict(list), defaultdict(lambda: defaultdict(list))
    files = defaultdict(list)  # of an image's annotations, one entry a row
    for source in sources:
        if source.kind not in PARSERS:
            continue
        result.rows[source.name] = len(source.rows)
        for row in source.rows:
            image_id = row["ImageID"] if row and IMAGE_ID.fullmatch(str(row["ImageID"])) else None
            try:
                value = parse_row(source.kind, row)
            except LeftOutError as bad:
                result.failures[image_id, *bad.args] += 1
                result.bad_rows[source.name] += 1
                continue
            if source.kind == "images":
                images[image_id].append(value)
                if row.get("Rotation", "").strip().lower() not in ROTATIONS:
                    result.failures[image_id, "read", "bad_rotation"] += 1
            else:
                annotated[image_id][COLUMNS[source.kind]].append(value)
                files[image_id].append(source)
    if not any(source.kind == "images" for source in sources):
        for image_id, its_files in files.items():
            subsets = {split_of_file(source.path) for source in its_files}
            images[image_id] = [parse_image({"Subset": subset}) for subset in subsets]
    for image_id in files.keys() - images.keys():
        result.orphans.update(source.name for source in files[image_id])
    return images, annotated


def merge_image_rows(rows: list[dict]) -> dict:
    """An image's rows as one: a null may be filled, but no row may contradict another."""
    merged = {}
    for column in rows[0]:
        values = {row[column] for row in rows} - {None}
        if len(values) > 1:
            raise LeftOutError("join", "conflict")
        merged[column] = values.pop() if values else None
    return merged


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


def parse_box(row: dict) -> dict:
    """A box, or a MIAP person box; each has columns that the other lacks."""

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
        "extreme_points": parse_extreme_points(row) if "XClick1X" in row else None,
        "gender_presentation": row.get("GenderPresentation"),
        "age_presentation": row.get("AgePresentation"),
    }


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
    "person_boxes": parse_box,
    "masks": parse_mask,
    "relationships": parse_relationship,
    "narratives": parse_narrative,
    "points": parse_point,
}


# Pixels.


def read_picture(image_id: str, pictures: dict[str, bytes] | None) -> dict:
    """The columns of a picture, which is published byte for byte and here only opened."""
    image, (width, height) = None, (None, None)
    if pictures is not None:
        data = pictures.get(image_id)
        if data is None:
            raise LeftOutError("fetch", "missing")
        if not data:
            raise LeftOutError("decode", "empty")
        try:
            picture = Image.open(io.BytesIO(data))
        except OSError:
            cut = data.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n"))
            raise LeftOutError("decode", "truncated" if cut else "not_image") from None
        if picture.format not in SUFFIXES:
            raise LeftOutError("decode", "format_not_allowed")
        end, start = ENDS[picture.format]
        if data.rfind(end) <= data.rfind(start):
            raise LeftOutError("decode", "truncated")
        width, height = picture.size
        image = {"bytes": data, "path": f"{image_id}.{SUFFIXES[picture.format]}"}
    original = {"original_width": width, "original_height": height}
    return {"image": image, "width": width, "height": height} | original


def read_mask(data: bytes | None, width: int | None, height: int | None) -> dict:
    """A mask at the size of its picture, or its own without one, as COCO's run lengths."""
    if data is None:
        raise LeftOutError("mask", "mask_missing")
    try:
        png = Image.open(io.BytesIO(data), formats=["PNG"])
        scaled = png.resize((width, height), Image.Resampling.NEAREST) if width else png
        pixels = np.asarray(scaled.convert("L")) > 0
    except (OSError, SyntaxError, ValueError):
        raise LeftOutError("mask", "mask_corrupt") from None
    runs = coco.encode(np.asfortranarray(pixels, np.uint8))
    return {"size": list(pixels.shape), "counts": runs["counts"], "area": int(pixels.sum())}


def draw_map(name: str, example: dict, class_index: dict[str, int]) -> dict:
    """All masks of an image in one 16-bit picture, smaller ones on top."""
    drawn = np.zeros((example["height"], example["width"]), np.uint16)
    masks = [(i, mask) for i, mask in enumerate(example["masks"] or [], 1) if mask["counts"]]
    for i, mask in sorted(masks, key=lambda item: -item[1]["area"]):
        drawn[coco.decode(mask) > 0] = i if name == "instance" else class_index[mask["label"]]
    png = io.BytesIO()
    Image.fromarray(drawn).save(png, "PNG")
    return {"bytes": png.getvalue(), "path": f"{example['image_id']}_{name}.png"}


# Classes.


def list_classes(sources: list[Source], annotated: dict) -> list[dict]:
    """What classes.json holds: the classes of the files, then labels that no file knows."""
    names: dict[str, str | None] = {}
    lists, parents = defaultdict(list), defaultdict(list)

    def rows_of(kind: str) -> list[tuple[str, Any]]:
        return [(s.name, row) for s in sources if s.kind == kind for row in s.rows]

    for _, (mid, name, *_) in rows_of("classes"):
        names.setdefault(mid, name)
    for file, (mid,) in rows_of("class_list"):
        names.setdefault(mid, None)
        if (name := Path(file.removesuffix(".gz")).stem) not in lists[mid]:
            lists[mid].append(name)
    for _, root in rows_of("hierarchy"):
        for mid, parent in walk_hierarchy(root):
            names.setdefault(mid, None)
            if parent and parent not in parents[mid]:
                parents[mid].append(parent)
    seen = set()
    for element in (e for columns in annotated.values() for es in columns.values() for e in es):
        seen |= {element[key] for key in ("label", "label1", "label2") if key in element}
    names |= dict.fromkeys(sorted(seen - names.keys()))
    return [
        {"index": i, "label": mid, "name": name, "parents": parents[mid], "lists": lists[mid]}
        for i, (mid, name) in enumerate(names.items(), 1)
    ]


def walk_hierarchy(node: dict, parent: str | None = None) -> Iterator[tuple[str, str | None]]:
    """Each class of a hierarchy with its parent, in document order; a part's whole is no parent."""
    mid = node.get("LabelName") or node["name"]
    yield mid, parent
    for child in (*node.get("Subcategory", ()), *node.get("children", ())):
        yield from walk_hierarchy(child, mid)
    for part in node.get("Part", ()):
        yield from walk_hierarchy(part)
