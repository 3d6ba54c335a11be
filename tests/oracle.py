"""The naive answer: what a build must publish, worked out in memory with dicts and loops.

It shares no code with the transforms that it judges. It reads every file whole and keeps every row,
so it is for corpora of some thousand images.

Example:
    want = expected(Path("corpus/annotations"), Path("corpus/images"), Path("corpus/masks"))
    want.examples["train"][0]["bboxes"][0]["label"]
"""

import contextlib
import csv
import gzip
import io
import json
import posixpath
import re
import struct
import sys
import tarfile
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from pycocotools import mask as coco

from tests.oracle_records import LONGEST, decode, read_records
from tests.oracle_repeats import merge_repeats
from tests.oracle_rows import (
    PARSERS,
    ROTATION,
    SPLITS,
    LeftOutError,
    Lost,
    image_id_of,
    parse_image,
    parse_row,
)

csv.field_size_limit(sys.maxsize)

MID = re.compile(r"/[a-z]/\S+")
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
COLUMNS = {kind: kind for kind in PARSERS if kind != "images"} | {"boxes": "bboxes"}


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
    repeats: Counter = field(default_factory=Counter)  # by file
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
            merged = {}
            for column, its_rows in annotated[image_id].items():
                merged[column], repeats = merge_repeats(its_rows)
                result.repeats += repeats
            example["published_rotation"] = example["rotation"]
            example |= read_picture(image_id, pictures)
        except LeftOutError as bad:
            result.failures[image_id, *bad.args] += 1
            continue
        example |= {column: merged.get(column, []) for column in given - {None}}
        example |= dict.fromkeys({*COLUMNS.values()} - given)
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
        text = decode(gzip.decompress(data) if path.suffix == ".gz" else data)
        text = text.removeprefix("\ufeff")
        if suffix == ".json":
            kind, rows = "hierarchy", [json.loads(text)]
        elif suffix == ".jsonl":
            lines = [line for line in text.split("\n") if line.strip(" \t\r")]
            kind, rows = "narratives", [read_json(line) for line in lines]
        else:
            kind, rows = read_csv(path, text)
        sources.append(Source(path, path.relative_to(folder).as_posix(), kind, rows))
    return sources


def read_json(line: str) -> dict | None:
    """One line of narratives, its ImageID named as in the tables."""
    try:
        if len(line.encode()) > LONGEST:
            return None
        row = json.loads(line)
        return row | {"ImageID": row["image_id"]}
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def read_csv(path: Path, text: str) -> tuple[str, list]:
    """The kind of a CSV file, and its rows: dicts by column, or lists where they are classes."""
    first, _, rest = text.lstrip("\r\n").partition("\n")
    (names,) = csv.reader([first.rstrip("\r")])
    header = [ALIASES.get(name.strip(), name.strip()) for name in names]
    told = [kind for column, kind in TELLING_COLUMNS.items() if column in header]
    if told and "ImageID" in header:
        return told[0], [row for _, row in read_table(rest, told[0], header)]
    lines = [line for line in csv.reader(io.StringIO(text, newline="")) if "".join(line).strip()]
    if told:
        return "classes" if told[0] == "classes" else "triplets", lines[1:]
    if MID.fullmatch(header[0]):
        return "class_list" if len(header) == 1 else "classes", lines
    if len(header) == 2:
        return "relationship_names", lines
    raise ValueError(f"{path}: unknown header {lines[0]}")


def read_table(text: str, kind: str, header: list[str]) -> list[tuple[int, dict | None]]:
    """The rows of a table below its header, each with its line there, from 1; None: a bad one."""
    rows = []
    for line, fields in read_records(text, kind, header):
        row = dict(zip(header, fields, strict=True)) if fields else None
        if row and row["ImageID"].strip(" \t").strip('\ufeff"').lower() == "imageid":
            continue  # the header once more
        if row is None or any(field.strip(" \t") for field in fields or ()):
            rows.append((line, row))
    return rows


def split_of_file(path: Path) -> str:
    """The split that a file's name tells, or else the nearest folder's."""
    for part in reversed(path.parts):
        for token in re.split("[^a-z0-9]+", part.lower()):
            if token in SPLITS:
                return SPLITS[token]
    raise ValueError(f"{path}: no image table, and no split in its name")


def files_by_name(path: Path) -> dict[str, bytes | list[bytes]]:
    """The files in a folder and in its archives by their base name.

    The first of a name counts; it is a list where its archive has it again with other content.
    """
    found, first = {}, {}
    for container, name, data in walk(path):
        base = name.rpartition("/")[2]
        place = container, posixpath.normpath(name)
        if first.setdefault(base, place) != place:
            continue
        known = found.setdefault(base, data)
        if data not in (known, *(known if isinstance(known, list) else ())):
            found[base] = [known, data]
    return found


def walk(path: Path) -> Iterator[tuple[Path, str, bytes]]:
    """Archive, name and content of each file below a folder or in an archive."""
    if path.is_dir():
        for child in sorted(path.iterdir()):
            yield from walk(child)
    elif path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            yield from ((path, i.filename, archive.read(i)) for i in archive.infolist())
    elif path.name.endswith((".tar", ".tar.gz", ".tgz")):
        with tarfile.open(path) as archive:
            for info in archive:
                if info.isfile():
                    yield path, info.name, archive.extractfile(info).read()
    else:
        yield path, path.name, path.read_bytes()


# Rows.


def collect_rows(sources: list[Source], result: Expected) -> tuple[dict, dict]:
    """The good rows of all files: image rows by image, annotations with their file by image and
    column."""
    images, annotated = defaultdict(list), defaultdict(lambda: defaultdict(list))
    files = defaultdict(list)  # of an image's annotations, one entry a row
    tables = defaultdict(list)  # of its rows in image tables, likewise
    for source in sources:
        if source.kind not in PARSERS:
            continue
        result.rows[source.name] = len(source.rows)
        for row in source.rows:
            image_id = image_id_of(row["ImageID"]) if row else None
            try:
                value, lost = parse_row(source.kind, row)
            except LeftOutError as bad:
                result.failures[image_id, *bad.args] += 1
                result.bad_rows[source.name] += 1
                continue
            if lost:
                result.failures[image_id, "read", "bad_row"] += len(lost)
            if source.kind == "images":
                images[image_id].append(value)
                tables[image_id].append(source.name)
                if has_bad_rotation(row):
                    result.failures[image_id, "read", "bad_rotation"] += 1
            else:
                annotated[image_id][COLUMNS[source.kind]].append((source.name, value))
                files[image_id].append(source)
    if not any(source.kind == "images" for source in sources):
        for image_id, its_files in files.items():
            subsets = {split_of_file(source.path) for source in its_files}
            images[image_id] = [parse_image({"Subset": subset}, Lost()) for subset in subsets]
    for image_id in files.keys() - images.keys():
        result.orphans.update(source.name for source in files[image_id])
    for image_id, names in tables.items():
        with contextlib.suppress(LeftOutError):
            merge_image_rows(images[image_id])
            result.repeats.update(names[1:])
    return images, annotated


def has_bad_rotation(row: dict) -> bool:
    """Whether a row has a rotation that is none."""
    text = row.get("Rotation", "")
    is_text = text.encode(errors="replace").decode() == text
    text = text.strip()
    return is_text and text.lower() not in ("", "nan") and not ROTATION.fullmatch(text)


def merge_image_rows(rows: list[dict]) -> dict:
    """An image's rows as one: a null may be filled, but no row may contradict another."""
    merged = {}
    for column in rows[0]:
        values = {row[column] for row in rows} - {None}
        if len(values) > 1:
            raise LeftOutError("join", "conflict")
        merged[column] = values.pop() if values else None
    return merged


# Pixels.


def read_picture(image_id: str, pictures: dict[str, bytes | list[bytes]] | None) -> dict:
    """The columns of a picture, which is published byte for byte, but for an orientation."""
    image, (width, height) = None, (None, None)
    if pictures is not None:
        data = pictures.get(image_id)
        if data is None:
            raise LeftOutError("fetch", "missing")
        if isinstance(data, list):
            raise LeftOutError("fetch", "conflict")
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
        data = set_upright(data, picture.getexif())
        image = {"bytes": data, "path": f"{image_id}.{SUFFIXES[picture.format]}"}
    original = {"original_width": width, "original_height": height}
    return {"image": image, "width": width, "height": height} | original


def set_upright(data: bytes, exif: Image.Exif) -> bytes:
    """A JPEG whose plain Exif entry of an orientation, if readers would turn it, says 1."""
    if exif.get(0x0112, 1) not in range(2, 9):
        return data
    entry = struct.pack(f"{exif.endian}HHI", 0x0112, 3, 1)
    one = struct.pack(f"{exif.endian}H", 1)
    return data.replace(entry + struct.pack(f"{exif.endian}H", exif[0x0112]), entry + one, 1)


def read_mask(data: bytes | list[bytes] | None, width: int | None, height: int | None) -> dict:
    """A mask at the size of its picture, or its own without one, as COCO's run lengths."""
    if data is None:
        raise LeftOutError("mask", "mask_missing")
    if isinstance(data, list):
        raise LeftOutError("mask", "conflict")
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
    for _, element in (e for columns in annotated.values() for es in columns.values() for e in es):
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
