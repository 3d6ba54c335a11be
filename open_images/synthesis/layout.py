"""Which files a release publishes, their headers, and how their bytes end.

The quirks of whole files live here, one of each kind in every corpus: a file without a final
newline, one with CRLF line ends and one with a blank line.
"""

from pathlib import Path
from typing import BinaryIO

_IMAGES = (
    "ImageID,Subset,OriginalURL,OriginalLandingURL,License,AuthorProfileURL,Author,Title,"
    "OriginalSize,OriginalMD5,Thumbnail300KURL"
)
_BOXES_8 = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax"
_BOXES_13 = _BOXES_8 + ",IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside"
_BOXES_21 = _BOXES_13 + "".join(f",XClick{i}{axis}" for axis in "XY" for i in (1, 2, 3, 4))
_LABELS = "ImageID,Source,LabelName,Confidence"

_HEADERS = {
    "person_boxes": (
        "ImageID,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,"
        "IsDepictionOf,IsInsideOf,GenderPresentation,AgePresentation"
    ),
    "masks": (
        "MaskPath,ImageID,LabelName,BoxID,BoxXMin,BoxXMax,BoxYMin,BoxYMax,PredictedIoU,Clicks"
    ),
    "relationships": (
        "ImageID,LabelName1,LabelName2,XMin1,XMax1,YMin1,YMax1,XMin2,XMax2,YMin2,YMax2,"
        "RelationshipLabel"
    ),
    "points": ("ImageId,X,Y,Label,EstimatedYesNo,Source,YesVotes,NoVotes,UnsureVotes,TextLabel"),
    "human_labels": _LABELS,
    "machine_labels": _LABELS,
    "narratives": "",
}

V7_TABLES = (
    "images",
    "boxes",
    "person_boxes",
    "masks",
    "relationships",
    "narratives",
    "points",
    "human_labels",
    "machine_labels",
)
V3_TABLES = ("images", "boxes", "human_labels", "machine_labels")

NARRATIVE_PARTS = 2

_NO_FINAL_NEWLINE = {
    "validation-annotations-bbox.csv",
    "2017_11/validation/annotations-human-bbox.csv",
}
_CRLF = {"oidv7-test-annotations-human-imagelabels.csv", "2017_11/test/annotations-human.csv"}
_BLANK_LINE = {
    "oidv7-val-annotations-point-labels.csv",
    "2017_11/validation/annotations-machine.csv",
}


def tables_of(release: str) -> tuple[str, ...]:
    """The tables that `release` (`v7` or `v3`) publishes."""
    return V7_TABLES if release == "v7" else V3_TABLES


def header_of(release: str, table: str, split: str) -> str:
    """The header line without line end; empty for a table without one."""
    if table == "images":
        return _IMAGES if release == "v3" else _IMAGES + ",Rotation"
    if table == "boxes":
        train = _BOXES_8 if release == "v3" else _BOXES_21
        return train if split == "train" else _BOXES_13
    return _HEADERS[table]


def files_of(release: str, table: str, split: str) -> list[str]:
    """The published names of a table's files, relative to the annotations folder.

    Args:
      release: `v7` or `v3`.
      table: one of `tables_of(release)`.
      split: `train`, `validation` or `test`.

    Returns:
      One name; for the narratives of the train split several.
    """
    if release == "v3":
        kind = {
            "images": "images",
            "boxes": "annotations-human-bbox",
            "human_labels": "annotations-human",
            "machine_labels": "annotations-machine",
        }[table]
        return [f"2017_11/{split}/{kind}.csv"]
    short = "val" if split == "validation" else split
    train = split == "train"
    boxes = "oidv6-train-annotations-bbox.csv" if train else f"{split}-annotations-bbox.csv"
    images = "images-boxable" if train else "images"
    if table == "narratives" and train:
        stem = "open_images_train_v6_localized_narratives"
        return [f"{stem}-{part:05d}-of-00010.jsonl" for part in range(NARRATIVE_PARTS)]
    name = {
        "images": f"{split}-{images}-with-rotation.csv",
        "boxes": boxes,
        "person_boxes": f"open_images_extended_miap_boxes_{short}.csv",
        "masks": f"{split}-annotations-object-segmentation.csv",
        "relationships": f"oidv6-{split}-annotations-vrd.csv",
        "narratives": f"open_images_{split}_localized_narratives.jsonl",
        "points": f"oidv7-{short}-annotations-point-labels.csv",
        "human_labels": f"oidv7-{short}-annotations-human-imagelabels.csv",
        "machine_labels": f"oidv7-{short}-annotations-machine-imagelabels.csv",
    }[table]
    return [name]


class TableFile:
    """One published file, written piece by piece, with its quirk if it has one."""

    def __init__(self, annotations: Path, name: str, header: str) -> None:
        """Creates the file.

        Args:
          annotations: the annotations folder.
          name: as `files_of` gives it.
          header: as `header_of` gives it.
        """
        path = annotations / name
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: BinaryIO = path.open("wb")
        self._crlf = name in _CRLF
        self._blank_due = name in _BLANK_LINE
        self._hold_newline = name in _NO_FINAL_NEWLINE
        self._newline_due = False
        if header:
            self.append(header.encode() + b"\n")

    def append(self, rows: bytes) -> None:
        """Appends whole rows, each of which ends with a line feed."""
        if not rows:
            return
        if self._newline_due:
            self._file.write(b"\n")
        if self._crlf:
            rows = rows.replace(b"\n", b"\r\n")
        if self._blank_due and self._file.tell():
            first, newline, rest = rows.partition(b"\n")
            self._file.write(first + newline + b"\n")
            rows, self._blank_due = rest, False
        self._newline_due = self._hold_newline
        self._file.write(memoryview(rows)[:-1] if self._hold_newline else rows)

    def close(self) -> None:
        """Ends the file, and removes it if nothing was written: a build refuses empty files."""
        empty = not self._file.tell()
        self._file.close()
        if empty:
            Path(self._file.name).unlink()
