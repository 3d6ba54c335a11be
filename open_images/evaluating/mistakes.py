"""The worst mistakes: the false positives with the highest scores, and the largest missed
objects."""

import base64
import dataclasses
import io
import os
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from PIL import Image, ImageDraw

from open_images.dataset import Dataset
from transforms.evaluation.kinds.rows import CORNERS
from transforms.evaluation.match_files import MISSED
from transforms.storage import files
from transforms.storage.stores import ObjectOptions

#: So many of each are shown.
_SHOWN = 12
_COLUMNS = ("image_id", "verdict", "label", "reason", "confused_with", "score", *CORNERS)
_TRUE = tuple(f"true_{corner}" for corner in CORNERS)
_SIDE = 360  # pixels, of a picture's longer side
_DETECTED, _TRUTH = (214, 64, 16), (0, 140, 90)


@dataclasses.dataclass(frozen=True)
class Mistake:
    """A wrong detection, or an object that none has found.

    Attributes:
        image_id: of its picture.
        name: display name of its class.
        score: None of an object.
        reason: name of a `Reason`; None of an object.
        confused_with: display name of the class of the object that a detection overlaps; None where
            there is none.
        box: xmin, xmax, ymin, ymax in the frame of the picture.
        true_box: the box that a detection was held against; None where there is none.
        picture: a JPEG as a data URI, with the boxes drawn; None where the version has no pictures.
    """

    image_id: str
    name: str
    score: float | None
    reason: str | None
    confused_with: str | None
    box: tuple[float, ...]
    true_box: tuple[float, ...] | None
    picture: str | None = None


def find_mistakes(
    folder: str, run: str, names: Mapping[str, str], options: ObjectOptions
) -> tuple[list[Mistake], list[Mistake]]:
    """Returns the worst wrong detections, and the worst objects that none has found.

    Args:
        folder: of matches.
        run: the protocol, which measures boxes or masks.
        names: display names of classes.
        options: how object stores are reached.
    """
    wrong, missed = pa.table({}), pa.table({})
    for path in files.list_files(folder, options) or ():
        if os.path.basename(path).startswith(f"{run}-"):
            with files.open_file(path, options) as file:
                table = pq.read_table(file, columns=[*_COLUMNS, *_TRUE])
            verdict = table["verdict"].cast(pa.string())
            area = _areas(table)
            table = table.append_column("area", area)
            wrong = _best(wrong, table.filter(pc.equal(verdict, "false_positive")), "score")
            missed = _best(missed, table.filter(pc.equal(verdict, MISSED)), "area")
    return _mistakes(wrong, names), _mistakes(missed, names)


def draw_mistakes(mistakes: Sequence[Mistake], dataset: Dataset) -> list[Mistake]:
    """Returns mistakes with their pictures, where the version has them."""
    drawn = []
    for each in mistakes:
        image = dataset.image(each.image_id).get("image") or {}
        picture = _draw(image["bytes"], each) if image.get("bytes") else None
        drawn.append(dataclasses.replace(each, picture=picture))
    return drawn


def _areas(table: pa.Table) -> pa.Array:
    xmin, xmax, ymin, ymax = (table[corner].to_numpy() for corner in CORNERS)
    with np.errstate(over="ignore", invalid="ignore"):  # coordinates may be any numbers
        return pa.array((xmax - xmin) * (ymax - ymin))


def _best(found: pa.Table, more: pa.Table, column: str) -> pa.Table:
    """Returns the `_SHOWN` rows with the highest values, those of the least ImageIDs of equals."""
    text = pa.schema(
        [
            pa.field(each.name, pa.string()) if pa.types.is_dictionary(each.type) else each
            for each in more.schema
        ]
    )
    rows = more.cast(text)
    rows = pa.concat_tables([found, rows]) if found.num_columns else rows
    order = [(column, "descending"), ("image_id", "ascending"), ("label", "ascending")]
    return rows.sort_by(order).slice(0, _SHOWN)


def _mistakes(rows: pa.Table, names: Mapping[str, str]) -> list[Mistake]:
    return [
        Mistake(
            row["image_id"],
            names.get(row["label"]) or row["label"],
            row["score"],
            row["reason"],
            names.get(row["confused_with"]) or row["confused_with"],
            tuple(row[corner] for corner in CORNERS),
            tuple(row[corner] for corner in _TRUE) if row["true_xmin"] is not None else None,
        )
        for row in rows.to_pylist()
    ]


def _draw(data: bytes, mistake: Mistake) -> str:
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    picture.thumbnail((_SIDE, _SIDE))
    canvas = ImageDraw.Draw(picture)
    boxes = [(mistake.true_box, _TRUTH)] if mistake.true_box else []
    if mistake.score is not None:
        boxes.append((mistake.box, _DETECTED))
    for box, colour in boxes:
        left, right, top, bottom = np.array(box) * np.repeat(picture.size, 2)
        edges = np.clip([left, top, right, bottom], 0, [*picture.size, *picture.size])
        if edges[0] <= edges[2] and edges[1] <= edges[3]:
            canvas.rectangle(edges.tolist(), outline=colour, width=3)
    sink = io.BytesIO()
    picture.save(sink, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(sink.getvalue()).decode()}"
