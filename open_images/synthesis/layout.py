"""Which files a corpus has, and how their bytes end.

The quirks of whole files live here, one of each kind in every corpus: a file without a final
newline, one with CRLF line ends and one with a blank line.
"""

from pathlib import Path

from transforms.kinds import published

_TABLES = {
    "v7": (
        *("images", "boxes", "person_boxes", "masks", "relationships", "narratives", "points"),
        *("human_labels", "machine_labels"),
    ),
    "v3": ("images", "boxes", "human_labels", "machine_labels"),
}
#: Tables of the train split whose files have other names than those of the other splits.
_V7_TRAIN_FILES = {
    "images": ["train-images-boxable-with-rotation.csv"],
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
    return _TABLES[release]


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
    return [published.file_of(release, table, split)]


class TableFile:
    """One published file, written piece by piece, with its quirk if it has one."""

    def __init__(self, annotations: Path, name: str, header: str) -> None:
        """Creates the file.

        Args:
          annotations: the annotations folder.
          name: as `files_of` returns it.
          header: as `published.header_of` returns it.
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
