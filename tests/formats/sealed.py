"""Shards that are made of parts of some tables, and the parts as the next build finds them."""

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from transforms.dataset.classes import ClassTable
from transforms.dataset.elements import BuiltPart, Origin
from transforms.formats.format import Content, Format
from transforms.formats.settings import DEFAULT_SETTINGS
from transforms.kinds.registry import example_columns
from transforms.releases.shards import ShardPlan, seal_shard

CLASSES = ClassTable(
    [{"index": n + 1, "label": f"/m/{n}", "name": f"Class {n}", "parents": []} for n in range(9)]
)
ROWS = [
    {
        "image_id": f"{n:016x}",
        "split": "train",
        "image": {"bytes": bytes([n]) * n * 50, "path": f"{n:016x}.{'png' if n % 7 else 'jpg'}"},
        "title": 'Café\n\u2028"',
        "image_labels": [{"label": f"/m/{n % 9}", "source": "verification", "confidence": n % 2}],
        "bboxes": [{"label": "/m/1", "xmin": 0.1, "is_occluded": -1}] * (n % 3),
        "masks": [{"label": "/m/1", "size": [3, 4], "counts": b"ab\\c"}] if n % 2 else None,
    }
    for n in range(60)
]


@dataclasses.dataclass(frozen=True)
class Sealed:
    """A shard, the bytes of its parts, and where they are in it."""

    path: Path
    written: Sequence[bytes]
    parts: Sequence[BuiltPart]


def content(*, with_image: bool = True) -> Content:
    return Content(example_columns(with_image=with_image), classes=CLASSES)


def write_part(form: Format, path: Path, *tables: pa.Table, with_image: bool = True) -> BuiltPart:
    writer = form.open_part(str(path), content(with_image=with_image))
    for table in tables:
        writer.write(table)
    return BuiltPart(form.name, "train", 0, 0, **writer.close()._asdict())


def seal(form: Format, folder: Path, *tables: pa.Table) -> Sealed:
    """Seals a shard of one part of each table."""
    folder.mkdir(parents=True)
    parts = [write_part(form, folder / f"part{i}", table) for i, table in enumerate(tables)]
    plan = ShardPlan(form.name, "train", 0, 1, tuple(parts))
    shard = seal_shard(plan, str(folder / "version"), DEFAULT_SETTINGS)
    path = folder / "version" / shard.path
    assert shard.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    starts = [0, *accumulate(part.bytes for part in parts)]
    rows = [0, *accumulate(part.num_examples for part in parts)]
    found = [
        part._replace(
            path=str(path),
            origin=Origin(
                i, len(parts), starts[i], rows[i], shard.bytes, shard.sha256, shard.footer
            ),
        )
        for i, part in enumerate(parts)
    ]
    return Sealed(path, [Path(part.path).read_bytes() for part in parts], found)


def as_json(value: Any) -> Any:
    """A value of Parquet as JSON has it: bytes are text, and numbers with a point float32."""
    if isinstance(value, bytes):
        return value.decode("ascii")
    if isinstance(value, float):
        return float(np.format_float_positional(np.float32(value), unique=True))
    if isinstance(value, dict):
        return {key: as_json(each) for key, each in value.items()}
    return [as_json(each) for each in value] if isinstance(value, list) else value


def expected_numbers(example: dict[str, Any], index: dict[str, int]) -> dict[str, list[int]]:
    """The numbers of an example's classes, a label at a time."""
    by_people = [each for each in example["image_labels"] if each["source"] != "machine"]
    positive = {index[each["label"]] - 1 for each in by_people if each["confidence"] > 0}
    negative = {index[each["label"]] - 1 for each in by_people if each["confidence"] == 0}
    return {"positive": sorted(positive), "negative": sorted(negative - positive)}


def slices(table: pa.Table, rows: int) -> Iterator[pa.Table]:
    return (table.slice(start, rows) for start in range(0, len(table), rows))
