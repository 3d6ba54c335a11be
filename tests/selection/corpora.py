"""Corpora for selections: synthetic ones with what files in the wild have, and what they hold.

Each is written twice. The oracle reads plain CSV; builds read the same with some files as TSV,
gzipped or with the keys of JSON in another order, and with rows that contradict others.
"""

import csv
import dataclasses
import functools
import gzip
import io
import json
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from random import Random

from tests import oracle
from tests.conftest import drop_unused_classes

#: Labels that no class file names.
UNNAMED = ("/m/0unnamed1", "/m/0unnamed2")
#: A class whose MID is as short as any, and two that share a display name.
SHORT, TWINS = "/m/0z", ("/m/01yrx", "/m/01bl7v")
#: A class that the hierarchy has twice.
TWICE = "/m/01j51"
_TWIN_NAME = "Cat, or not"


@dataclasses.dataclass(frozen=True)
class Corpus:
    """Inputs of builds, and all that they hold.

    Attributes:
        annotations: the folder for builds.
        examples: all, by split; images whose rows contradict each other among them.
        classes: as `classes.json` has them.
        conflicting: images whose rows contradict each other.
        has_image_tables: whether image tables say which images there are.
    """

    annotations: Path
    examples: Mapping[str, list[dict]]
    classes: Sequence[dict]
    conflicting: frozenset[str]
    has_image_tables: bool

    @functools.cached_property
    def parents(self) -> Mapping[str, list[str]]:
        """The parents of each class."""
        return {each["label"]: each["parents"] for each in self.classes}

    @functools.cached_property
    def everything(self) -> list[dict]:
        """All examples."""
        return [each for some in self.examples.values() for each in some]


class _Writer:
    """Changes the files of a folder.

    Args:
        folder: of annotations.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.rng = Random(25)

    def path(self, pattern: str) -> Path:
        """The first file of a name."""
        return min(self._folder.rglob(pattern))

    def rows(self, pattern: str) -> list[dict]:
        """The rows of a table."""
        with self.path(pattern).open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def write(self, name: str, columns: Sequence[str], rows: Iterable[dict]) -> None:
        """Writes a table beside the others."""
        self._write(self._folder / name, columns, rows)

    def edit(self, pattern: str, change: Callable[[list[dict]], Iterable[dict]]) -> None:
        """Changes the rows of a table."""
        path, rows = self.path(pattern), self.rows(pattern)
        columns = list(rows[0])
        self._write(path, columns, change(rows))

    def add_text(self, pattern: str, text: str) -> None:
        """Adds lines at the end of a file."""
        path = self.path(pattern)
        content = path.read_text(encoding="utf-8")
        path.write_text(content.rstrip("\n") + "\n" + text, encoding="utf-8")

    @staticmethod
    def _write(path: Path, columns: Sequence[str], rows: Iterable[dict]) -> None:
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: row.get(name, "") for name in columns} for row in rows)
        path.write_text(text.getvalue(), encoding="utf-8")


def make_v7(annotations: Path, folder: Path) -> Corpus:
    """Returns a V7 corpus in which all that selections may meet occurs.

    Args:
        annotations: of 200 images, as synthesised.
        folder: for the files.
    """
    plain = folder / "plain"
    shutil.copytree(annotations, plain)
    drop_unused_classes(plain)
    writer = _Writer(plain)
    images, boxes = "train-images-boxable*.csv", "oidv6-train-annotations-bbox.csv"
    labels = "oidv7-train-annotations-human-imagelabels.csv"
    _edit_images(writer, images)
    _edit_classes(writer)

    writer.edit(boxes, lambda rows: _edit_boxes(rows, writer.rng))
    repeats = writer.rng.sample(writer.rows(boxes), 40)
    for row in repeats[:20]:  # the flags are unknown here, and taken from the other file
        row |= dict.fromkeys(("IsOccluded", "IsTruncated", "IsGroupOf"), "-1")
    columns = list(repeats[0])
    writer.write(
        "more-train-annotations-bbox.csv", columns[1:3] + columns[:1] + columns[3:], repeats
    )
    writer.add_text(boxes, _orphans(13 + 8) + "0123456789abcdef,xclick\n" + "x" * 20 + "\n\n")
    writer.edit(labels, lambda rows: _edit_labels(rows, writer.rng))
    writer.edit("oidv7-train-annotations-point-labels.csv", _edit_points)
    writer.edit("open_images_extended_miap_boxes_train.csv", _upper_ids)
    return _finish(writer, folder, [images], ["test-annotations-bbox.csv"], [labels])


def make_v3(annotations: Path, folder: Path) -> Corpus:
    """Returns a V3 corpus as of `make_v7`: it has no hierarchy, and three types of annotations."""
    plain = folder / "plain"
    shutil.copytree(annotations, plain)
    writer = _Writer(plain)
    images = "train/images.csv"
    _edit_images(writer, images)
    writer.edit("train/annotations-human.csv", lambda rows: _edit_labels(rows, writer.rng))
    writer.add_text("train/annotations-human-bbox.csv", _orphans(8) + "0123456789abcdef,xclick\n")
    gzipped = ["train/annotations-machine.csv"]
    return _finish(writer, folder, [images], ["validation/annotations-human-bbox.csv"], gzipped)


def without_image_tables(annotations: Path, folder: Path) -> Corpus:
    """Returns a corpus as of `make_v7` whose images are those that have annotations.

    Args:
        annotations: as synthesised.
        folder: for the files.
    """
    made = make_v7(annotations, folder)
    for each in ("plain", "packed"):
        for path in (folder / each).glob("*images*.csv"):
            path.unlink()
    expected = oracle.expected(folder / "plain")
    return dataclasses.replace(
        made,
        examples=expected.examples,
        classes=expected.classes,
        conflicting=frozenset(),
        has_image_tables=False,
    )


def _edit_images(writer: _Writer, pattern: str) -> None:
    """Quotes and line breaks in titles, images without labels, bad rows, and rows in two tables."""
    rows = writer.rows(pattern)
    columns = list(rows[0])
    for row in writer.rng.sample(rows, 12):
        row["Title"] = 'a "quoted" title\nof two lines, /m/01yrx\n'
    for number in range(6):
        rows.append({"ImageID": f"{0xABC0 + number:016x}", "Subset": "train", "Title": "empty"})
    writer.rng.shuffle(rows)
    rows.insert(5, {"ImageID": f"{0xBAD1:016x}", "Subset": "nowhere"})
    writer.edit(pattern, lambda _: rows)
    writer.add_text(pattern, f'{0xBAD2:016x},train,"not closed\n')
    again = [each for each in writer.rng.sample(rows, 10) if each["Subset"] == "train"]
    few = ["Title", "Subset", "ImageID", *(name for name in columns if name == "Rotation")]
    writer.write("train-images-more.csv", few, again)


def _edit_classes(writer: _Writer) -> None:
    """Two classes of one name, a short MID, and a class with several parents."""
    for pattern in ("oidv7-class-descriptions.csv", "class-descriptions-boxable.csv"):
        path = writer.path(pattern)
        lines = path.read_text(encoding="utf-8").splitlines()
        lines = [line for line in lines if line.split(",")[0] not in TWINS]
        lines += [f'{mid},"{_TWIN_NAME}"' for mid in TWINS]
        if "oidv7" in pattern:
            lines.append(f"{SHORT},Short one")
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    path = writer.path("bbox_labels_600_hierarchy.json")
    root = json.loads(path.read_text())
    groups = [each for each in root["Subcategory"] if "Subcategory" in each]
    for group in groups[:3]:
        group["Subcategory"].append({"LabelName": TWICE})
    path.write_text(json.dumps(root))


def _edit_boxes(rows: list[dict], rng: Random) -> list[dict]:
    """Other labels, bad rows and another way to write ids."""
    for row, label in zip(rng.sample(rows, 40), 10 * (*UNNAMED, SHORT, TWICE), strict=True):
        row["LabelName"] = label
    for row in rng.sample(rows, 12):
        row["XMin"] = "2"
    for row in rng.sample(rows, 12):
        row["ImageID"] = row["ImageID"].upper()
    for row in rng.sample(rows, 30):
        row["IsGroupOf"] = "-1"
    return rows


def _edit_labels(rows: list[dict], rng: Random) -> list[dict]:
    for row in rng.sample(rows, 20):
        row["ImageID"] = f"{row['ImageID'].upper()}.jpg"
    for row in rng.sample(rows, 5):
        row["Confidence"] = "surely"
    for row in rng.sample(rows, 5):
        row["LabelName"] = f" {SHORT} "
    return rows


def _edit_points(rows: list[dict]) -> list[dict]:
    for number, row in enumerate(rows[::50]):
        row["TextLabel"] = f'"said" on\n{number} lines, /m/01yrx'
    for row in rows[::70]:
        row["Label"] = SHORT
    return rows


def _upper_ids(rows: list[dict]) -> list[dict]:
    for row in rows[::3]:
        row["ImageID"] = row["ImageID"].upper()
    return rows


def _orphans(columns: int) -> str:
    """Rows of boxes whose image is in no table."""
    box = "xclick,/m/01yrx,1,0.1,0.4,0.2,0.5" + ",0" * (columns - 8)
    return "".join(f"{0xFEED0 + number:016x},{box}\n" for number in range(7))


def _finish(
    writer: _Writer,
    folder: Path,
    images: Sequence[str],
    with_tabs: Sequence[str],
    gzipped: Sequence[str],
) -> Corpus:
    """Writes the files for builds, and asks the oracle what all files hold."""
    packed = folder / "packed"
    shutil.copytree(folder / "plain", packed)
    others = _Writer(packed)
    for pattern in with_tabs:
        path, rows = others.path(pattern), others.rows(pattern)
        lines = ["\t".join(each) for each in (list(rows[0]), *(row.values() for row in rows))]
        path.with_suffix(".tsv").write_text("\n".join(lines) + "\n")
        path.unlink()
    for path in packed.glob("*validation_localized_narratives.jsonl"):
        objects = map(json.loads, path.read_text().splitlines())
        path.write_text("".join(json.dumps(dict(sorted(each.items()))) + "\n" for each in objects))
    for path in (*map(others.path, gzipped), *packed.glob("*localized_narratives-00001*.jsonl")):
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes(), mtime=0))
        path.unlink()
    expected = oracle.expected(folder / "plain")
    conflicting = []
    for pattern in images:
        known = {each["image_id"] for some in expected.examples.values() for each in some}
        known -= {row["ImageID"] for row in others.rows("train-images-more.csv")}
        rows = [row for row in others.rows(pattern) if row["ImageID"] in known and row["License"]]
        rows = writer.rng.sample(rows, 12)
        for row in rows:
            row["License"] = "another"
        others.write("train-images-other.csv", ["ImageID", "Subset", "License"], rows)
        conflicting += [row["ImageID"] for row in rows]
    return Corpus(packed, expected.examples, expected.classes, frozenset(conflicting), True)
