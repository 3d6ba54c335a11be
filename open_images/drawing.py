"""Draws published examples with their annotations on one sheet, to look at."""

import colorsys
import io
import json
import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.dataset as ds
from PIL import Image, ImageDraw, ImageFont
from pycocotools import mask as coco

from open_images.values import did_you_mean
from transforms.dataset.naming import CLASSES, MANIFEST
from transforms.errors import UsageError
from transforms.kinds.registry import ANNOTATIONS
from transforms.releases.output import Output

_WIDTH, _HEIGHT, _MARGIN, _LETTERS, _CANDIDATES = 560, 440, 16, 74, 1000
_FONT = ImageFont.load_default(size=15)
_SMOOTH = Image.Resampling.BILINEAR
_DASH = 8

Colour = tuple[int, ...]
Box = list[float]  # left, top, right, bottom in pixels


class Palette:
    """Names and colours of classes, from the `classes.json` of a version."""

    def __init__(self, version: Path) -> None:
        classes = json.loads((version / CLASSES).read_bytes())
        self._names = {entry["label"]: entry["name"] for entry in classes}
        self._places = {entry["label"]: place for place, entry in enumerate(classes, 1)}

    def name(self, label: str) -> str:
        """Returns the display name; the MID itself where it has none."""
        return self._names.get(label) or label

    def colour(self, label: str) -> Colour:
        """A colour that is dark enough for white text; neighbours in `classes.json` differ most."""
        hue = self._places.get(label, 0) * 0.618034 % 1
        return tuple(round(255 * part) for part in colorsys.hls_to_rgb(hue, 0.36, 0.85))


def find_version(path: Path) -> Path:
    """Returns the folder of a version: the path itself, or the one that its `latest` names.

    Raises:
        UsageError: Nothing is published there.
    """
    if (path / MANIFEST).is_file():
        return path
    output = Output(str(path))
    name = output.published_latest()
    if name is None:
        raise UsageError(f"{path}: nothing is published there: name the --output of a build")
    return Path(output.folder(name))


def find_examples(version: Path, split: str | None, image_ids: list[str], number: int) -> list:
    """Returns rows of the Parquet shards of a version.

    Args:
        version: its folder.
        split: in which to look; None for all, or without `image_ids` for `train`.
        image_ids: which images; empty for some with many kinds of annotation.
        number: how many, without `image_ids`.

    Raises:
        UsageError: There is no such split or image, no Parquet, or no pictures.
    """
    shards = sorted(version.glob("parquet/*.parquet"))
    splits = sorted({shard.name.split("-")[0] for shard in shards})
    if not splits:
        raise UsageError(f"{version}: it holds no Parquet: build with --format parquet")
    if not split and not image_ids:
        split = "train" if "train" in splits else splits[0]
    if split and split not in splits:
        hint = did_you_mean(split, splits) or f": use one of {', '.join(splits)}"
        raise UsageError(f"--split {split}: no such split{hint}")
    data = ds.dataset([s for s in shards if split in (None, s.name.split("-")[0])])
    if not image_ids:
        # An older version lacks columns that were added since.
        columns = [name for name in data.schema.names if name in ("image_id", *ANNOTATIONS)]
        first = data.head(_CANDIDATES, columns=columns).to_pylist()
        first.sort(key=lambda row: -sum(bool(row.get(kind)) for kind in ANNOTATIONS))
        image_ids = [row["image_id"] for row in first[:number]]
    wanted = pc.field("image_id").isin(image_ids)
    # Counting reads ids alone: pictures are read of no shard but those that hold what is wanted.
    parts = [part for part in data.get_fragments() if part.count_rows(filter=wanted)]
    rows = [row for part in parts for row in part.to_table(filter=wanted).to_pylist()]
    found = {row["image_id"]: row for row in rows}
    if lost := [image_id for image_id in image_ids if image_id not in found]:
        raise UsageError(f"--image_id {lost[0]}: no such example: check it and --split")
    if not all(row["image"] for row in rows):
        raise UsageError(f"{version}: it holds no pictures: build with --images")
    return [found[image_id] for image_id in image_ids]


def draw_sheet(examples: Sequence[dict], palette: Palette) -> Image.Image:
    """Returns a contact sheet of examples, three a row."""
    cells = [draw_example(example, palette) for example in examples]
    across = min(3, len(cells))
    wide, high = _WIDTH + _MARGIN, max(cell.height for cell in cells) + _MARGIN
    size = (across * wide + _MARGIN, -(-len(cells) // across) * high + _MARGIN)
    sheet = Image.new("RGB", size, "white")
    for i, cell in enumerate(cells):
        sheet.paste(cell, (i % across * wide + _MARGIN, i // across * high + _MARGIN))
    return sheet


def draw_example(example: dict, palette: Palette) -> Image.Image:
    """Returns the picture of an example with its masks, boxes and points, and a caption below."""
    picture = Image.open(io.BytesIO(example["image"]["bytes"])).convert("RGB")
    scale = min(_WIDTH / picture.width, _HEIGHT / picture.height)
    size = (round(picture.width * scale) or 1, round(picture.height * scale) or 1)
    picture = picture.resize(size)
    for mask in example["masks"] or []:
        if mask["counts"] is not None:
            tint = Image.fromarray(coco.decode(mask) * np.uint8(120))
            picture.paste(palette.colour(mask["label"]), (0, 0), tint.resize(size, _SMOOTH))
    canvas = ImageDraw.Draw(picture)
    sides, edges = ("xmin", "ymin", "xmax", "ymax"), [size[0] - 1, size[1] - 1] * 2
    boxes = []
    for kind, draw_box in (("bboxes", _draw_box), ("person_boxes", _draw_dashed_box)):
        for each in example.get(kind) or []:
            box = [each[side] * edge for side, edge in zip(sides, edges, strict=True)]
            boxes.append((each["label"], box))
            draw_box(canvas, box, palette.colour(each["label"]))
    for point in example["points"] or []:
        at, ink = (point["x"] * edges[0], point["y"] * edges[1]), palette.colour(point["label"])
        if point["estimated_yes_no"] == "yes":
            canvas.circle(at, 5, ink, "white", 2)
        else:
            canvas.text(at, "x", ink, _FONT, "mm", stroke_width=2, stroke_fill="white")
    areas: list[Box] = []
    for label, box in sorted(boxes, key=lambda item: item[1][1]):
        name = palette.name(label)
        if area := _find_label_area(canvas, box, name, areas):
            _draw_label(canvas, area, name, palette.colour(label))
            areas.append(area)
    lines = caption_of(example, palette)
    cell = Image.new("RGB", (_WIDTH, size[1] + 10 + 19 * len(lines)), "white")
    cell.paste(picture)
    ImageDraw.Draw(cell).text((0, size[1] + 5), "\n".join(lines), "black", _FONT)
    return cell


def _draw_box(canvas: ImageDraw.ImageDraw, box: Box, colour: Colour) -> None:
    canvas.rectangle(box, outline=colour, width=3)


def _draw_dashed_box(canvas: ImageDraw.ImageDraw, box: Box, colour: Colour) -> None:
    """Draws a box with dashes of `_DASH` pixels."""
    left, top, right, bottom = box
    for start in np.arange(left, right, 2 * _DASH):
        end = min(start + _DASH, right)
        for y in (top, max(top, bottom - 2)):
            canvas.rectangle([start, y, end, y + 2], colour)
    for start in np.arange(top, bottom, 2 * _DASH):
        end = min(start + _DASH, bottom)
        for x in (left, max(left, right - 2)):
            canvas.rectangle([x, start, x + 2, end], colour)


def _find_label_area(
    canvas: ImageDraw.ImageDraw, box: Box, name: str, others: Sequence[Box]
) -> Box | None:
    """Returns where at its box a name hides none of the others; None where there is no room."""
    width, height = canvas.textlength(name, _FONT) + 8, 19
    left = max(0, min(box[0], canvas.im.size[0] - width))
    right = max(0, box[2] - width)
    inside = np.arange(box[1], max(box[1], box[3] - height) + 1, height)
    for x, y in ((left, box[1] - height), *((x, y) for y in inside for x in (left, right))):
        area = [x, y, x + width, y + height]
        hides = any(x < r and le < x + width and y < b and t < y + height for le, t, r, b in others)
        if not hides and 0 <= y <= canvas.im.size[1] - height:
            return area
    return None


def _draw_label(canvas: ImageDraw.ImageDraw, area: Box, name: str, colour: Colour) -> None:
    left, top, _, bottom = area
    canvas.rectangle(area, colour)
    canvas.text((left + 4, (top + bottom) / 2), name, "white", _FONT, anchor="lm")


def caption_of(example: dict, palette: Palette) -> list[str]:
    """Returns the lines below a picture: its annotations, narratives and classes."""
    facts = [example["image_id"], f"{example['width']} x {example['height']}"]
    counts = {kind: len(example.get(kind) or []) for kind in ANNOTATIONS}
    facts += [f"{kind.replace('_', ' ')}: {count}" for kind, count in counts.items() if count]
    captions = [f'"{each["caption"].strip()}"' for each in example["narratives"] or []]
    names = [palette.name(label) for label in _present(example["image_labels"] or [])]
    wrap = textwrap.TextWrapper(_LETTERS, max_lines=5, placeholder=" ...").wrap
    return [line for text in [", ".join(facts), *captions, ", ".join(names)] for line in wrap(text)]


def _present(image_labels: Sequence[dict]) -> list[str]:
    """Returns the classes that an image shows, by its labels.

    A confidence of a half or more counts. Machines are only heeded where no person judged.
    """
    people: dict[str, bool] = {}
    for each in image_labels:
        if each["source"] != "machine":
            people[each["label"]] = people.get(each["label"], False) or each["confidence"] >= 0.5
    sure = [e["label"] for e in image_labels if people.get(e["label"], e["confidence"] >= 0.5)]
    return list(dict.fromkeys(sure))
