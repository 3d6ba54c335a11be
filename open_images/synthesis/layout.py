"""Which files a release publishes, their headers, and how their bytes end.

The quirks of whole files live here, one of each kind in every corpus: a file without a final
newline, one with CRLF line ends and one with a blank line.
"""

from pathlib import Path

_IMAGES = (
    "ImageID,Subset,OriginalURL,OriginalLandingURL,License,AuthorProfileURL,Author,Title,"
    "OriginalSize,OriginalMD5,Thumbnail300KURL"
)
_BOXES_8 = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax"
_BOXES_13 = _BOXES_8 + ",IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside"
_BOXES_21 = _BOXES_13 + "".join(f",XClick{i}{axis}" for axis in "XY" for i in (1, 2, 3, 4))
_LABELS = "ImageID,Source,LabelName,Confidence"

_HEADERS = {
    "images": _IMAGES + ",Rotation",
    "boxes": _BOXES_13,
    "person_boxes": (
        "ImageID,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,"
        "IsDepictionOf,IsInsideOf,GenderPresentation,AgePresentation"
    ),
    "masks": "MaskPath,ImageID,LabelName,BoxID,BoxXMin,BoxXMax,BoxYMin,BoxYMax,PredictedIoU,Clicks",
    "relationships": (
        "ImageID,LabelName1,LabelName2,XMin1,XMax1,YMin1,YMax1,XMin2,XMax2,YMin2,YMax2,"
        "RelationshipLabel"
    ),
    "points": "ImageId,X,Y,Label,EstimatedYesNo,Source,YesVotes,NoVotes,UnsureVotes,TextLabel",
    "human_labels": _LABELS,
    "machine_labels": _LABELS,
    "narratives": "",
}

#: Names of files by release and table; `short` is `val` for validation.
_FILES = {
    "v7": {
        "images": "{split}-images-with-rotation.csv",
        "boxes": "{split}-annotations-bbox.csv",
        "person_boxes": "open_images_extended_miap_boxes_{short}.csv",
        "masks": "{split}-annotations-object-segmentation.csv",
        "relationships": "oidv6-{split}-annotations-vrd.csv",
        "narratives": "open_images_{split}_localized_narratives.jsonl",
        "points": "oidv7-{short}-annotations-point-labels.csv",
        "human_labels": "oidv7-{short}-annotations-human-imagelabels.csv",
        "machine_labels": "oidv7-{short}-annotations-machine-imagelabels.csv",
    },
    "v3": {
        "images": "2017_11/{split}/images.csv",
        "boxes": "2017_11/{split}/annotations-human-bbox.csv",
        "human_labels": "2017_11/{split}/annotations-human.csv",
        "machine_labels": "2017_11/{split}/annotations-machine.csv",
    },
}
_V7_TRAIN_FILES = {
    "images": ["train-images-boxable-with-rotation.csv"],
    "boxes": ["oidv6-train-annotations-bbox.csv"],
    "narratives": [
        f"open_images_train_v6_localized_narratives-0000{part}-of-00010.jsonl" for part in range(2)
    ],
}

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
    """Returns the tables that `release` (`v7` or `v3`) publishes."""
    return tuple(_FILES[release])


def header_of(release: str, table: str, split: str) -> str:
    """Returns the header line without line end; empty for a table without one."""
    if table == "boxes" and split == "train":
        return _BOXES_8 if release == "v3" else _BOXES_21
    return _IMAGES if table == "images" and release == "v3" else _HEADERS[table]


def files_of(release: str, table: str, split: str) -> list[str]:
    """Returns the published names of a table's files, relative to the annotations folder.

    Args:
      release: `v7` or `v3`.
      table: one of `tables_of(release)`.
      split: `train`, `validation` or `test`.

    Returns:
      One name; for the narratives of the train split several.
    """
    if release == "v7" and split == "train" and table in _V7_TRAIN_FILES:
        return _V7_TRAIN_FILES[table]
    short = "val" if split == "validation" else split
    return [_FILES[release][table].format(split=split, short=short)]


class TableFile:
    """One published file, written piece by piece, with its quirk if it has one."""

    def __init__(self, annotations: Path, name: str, header: str) -> None:
        """Creates the file.

        Args:
          annotations: the annotations folder.
          name: as `files_of` returns it.
          header: as `header_of` returns it.
        """
        path = annotations / name
        path.parent.mkdir(parents=True, exist_ok=True)
        self._name = name
        self._file = path.open("wb")
        self._needs_blank_line = name in _BLANK_LINE
        if header:
            self.append(header.encode() + b"\n")

    def append(self, rows: bytes) -> None:
        """Appends whole rows, each of which ends with a line feed."""
        if self._name in _CRLF:
            rows = rows.replace(b"\n", b"\r\n")
        if self._needs_blank_line and rows and self._file.tell():
            rows = rows.replace(b"\n", b"\n\n", 1)
            self._needs_blank_line = False
        self._file.write(rows)

    def close(self) -> None:
        """Closes the file, and removes it if nothing was written: a build refuses empty files."""
        length = self._file.tell()
        if self._name in _NO_FINAL_NEWLINE:
            self._file.truncate(length - 1)
        self._file.close()
        if not length:
            Path(self._file.name).unlink()
