"""Which kind of source a file is, told from its header or content, never from its name."""

import csv
import dataclasses
import gzip
import json
import os
import re
import zlib
from collections.abc import Sequence
from pathlib import PurePath
from typing import BinaryIO

from transforms.elements import Source
from transforms.formats.boxes import BOXES, PERSON_BOXES
from transforms.formats.image_labels import IMAGE_LABELS
from transforms.formats.images import IMAGES
from transforms.formats.masks import MASKS
from transforms.formats.narratives import NARRATIVES
from transforms.formats.points import POINTS
from transforms.formats.relationships import RELATIONSHIPS
from transforms.formats.tables import TableFormat, fold
from transforms.formats.vocabulary import names_header
from transforms.storage import files
from transforms.storage.objects import is_remote, split_uri
from transforms.storage.stores import ObjectOptions

#: The tables, by kind.
TABLES: dict[str, TableFormat] = {
    table.kind: table
    for table in (
        IMAGES,
        BOXES,
        PERSON_BOXES,
        MASKS,
        RELATIONSHIPS,
        NARRATIVES,
        POINTS,
        IMAGE_LABELS,
    )
}

#: Small files that say what labels mean; they end in `classes.json`.
VOCABULARY = ("classes", "class_list", "hierarchy", "point_classes")

#: Small files that are recognised and carry nothing that an example or `classes.json` would hold.
UNUSED = ("relationship_names", "relationship_triplets")

KINDS = (*TABLES, *VOCABULARY, *UNUSED)

_MID = re.compile(r"^/[a-z]/[0-9a-z_]+$")
_ID = re.compile(r"^[0-9a-fA-F]{16}(\.\w+)?$")
_HEAD_BYTES = 1 << 20
_BOM = b"\xef\xbb\xbf"
_GZIP = b"\x1f\x8b"
_SPLIT_WORDS = {
    "train": "train",
    "val": "validation",
    "validation": "validation",
    "test": "test",
}


class SourceError(ValueError):
    """A file that can't be a source; the message names it and says what to do."""


def detect(
    path: str,
    kind: str | None = None,
    root: str | None = None,
    options: ObjectOptions = files.DEFAULTS,
) -> Source:
    """Recognises a file.

    Args:
        path: the file.
        kind: what the user says that it is, if they do.
        root: the folder in which it was found; its name and those below it may tell the split.
        options: how object stores are reached.

    Returns:
        The source, with `index` 0.

    Raises:
        StorageError: The object store can't be read.
        SourceError: It is empty, of no known kind, or of another than `kind`.
    """
    size = files.status_of(path, options).size
    with files.open_file(path, options, size=size) as file:
        compressed = file.read(2) == _GZIP
        head = _head(path, file, compressed)
    if not head.strip():
        raise SourceError(f"{path} is empty: delete it or download it again")
    source = Source(0, kind or "", path, size, split_of(path, root), compressed=compressed)
    start = len(_BOM) if head.startswith(_BOM) else 0
    start += len(head[start:]) - len(head[start:].lstrip(b"\r\n"))
    if head[start:].lstrip()[:1] in (b"{", b"["):
        kind = kind or _json_kind(path, head[start:])
        return dataclasses.replace(
            source, kind=kind, data_start=start, header_lines=head[:start].count(b"\n")
        )
    names = _first_row(path, head[start:])
    kind = kind or _csv_kind(path, names)
    if kind not in TABLES:
        return dataclasses.replace(source, kind=kind, notes=_class_notes(kind, names))
    columns = _check_columns(path, names, TABLES[kind])
    start = head.find(b"\n", start) + 1 or len(head)
    lines = head[:start].count(b"\n")
    return dataclasses.replace(
        source,
        kind=kind,
        columns=columns,
        data_start=start,
        header_lines=lines,
        notes=_notes(names, columns),
    )


def split_of(path: str, root: str | None = None) -> str | None:
    """The split that a file's name speaks of, or else the nearest folder's up to `root`.

    Folders further up are the user's own, and may be called `test` for any reason.
    """
    file = _absolute(path)
    top = _absolute(root) if root else file.parent
    for part in reversed(file.relative_to(top.parent).parts):
        for word in re.split(r"[^a-z]+", part.lower()):
            if word in _SPLIT_WORDS:
                return _SPLIT_WORDS[word]
    return None


def _absolute(path: str) -> PurePath:
    """A path from the root of this machine, or of its bucket, whose name tells no split."""
    return PurePath("/", split_uri(path)[2]) if is_remote(path) else PurePath(os.path.abspath(path))


def _head(path: str, file: BinaryIO, compressed: bool) -> bytes:
    """The first bytes, decompressed."""
    file.seek(0)
    if not compressed:
        return file.read(_HEAD_BYTES)
    try:
        return gzip.GzipFile(fileobj=file).read(_HEAD_BYTES)
    except (OSError, EOFError, zlib.error) as error:
        raise SourceError(f"{path} is broken gzip ({error}): download it again") from error


def _first_row(path: str, head: bytes) -> list[str]:
    line = head.split(b"\n", 1)[0]
    try:
        text = line.decode()
    except UnicodeDecodeError:
        raise SourceError(f"{path} is not UTF-8 text: is it an annotation file?") from None
    try:
        return [name.strip() for name in next(csv.reader([text], skipinitialspace=True), [])]
    except csv.Error:
        raise SourceError(
            f"{path}: the first line is no CSV: if lines end in a bare carriage return, make it \\n"
        ) from None


def _csv_kind(path: str, names: list[str]) -> str:
    table = _nearest_table(names)
    if not _missing(names, table):
        return table.kind
    folded = [fold(name) for name in names]
    if folded[:4] == ["labelname", "displayname", "yespoints", "points"]:
        return "point_classes"
    if {"labelname", "displayname"} <= set(folded) or folded == ["id", "name"]:
        return "classes"
    if folded == ["labelname"]:
        return "class_list"
    if names == ["LabelName1", "LabelName2", "RelationshipLabel"]:
        return "relationship_triplets"
    if _MID.match(names[0]):
        return "class_list" if len(names) == 1 else "classes"
    if len(names) == 2 and names[0] == names[1]:
        return "relationship_names"
    if _ID.match(names[0]):
        raise SourceError(f"{path} has no header: put its columns' names into the first line")
    if len(_known(names, table)) < 2:
        header = ",".join(names)[:120]
        raise SourceError(
            f"{path}: unknown header '{header}': name its kind (KIND=PATH) or move it away"
        )
    raise SourceError(_column_error(path, names, table))


def _nearest_table(names: list[str]) -> TableFormat:
    """The table that knows most of the columns; of several the one that lacks the fewest."""

    def likeness(table: TableFormat) -> tuple[int, int]:
        return len(_known(names, table)), -len(_missing(names, table))

    return max(TABLES.values(), key=likeness)


def _known(names: list[str], table: TableFormat) -> set[str]:
    return {*table.columns_of(names)} - {""}


def _missing(names: list[str], table: TableFormat) -> list[str]:
    """The columns without which a table is none, that aren't there."""
    known = _known(names, table)
    return [name for name in (table.image_id, *table.required) if name not in known]


def _column_error(path: str, names: list[str], table: TableFormat) -> str:
    unknown = [
        name
        for name, column in zip(names, table.columns_of(names), strict=True)
        if name and not column
    ]
    has = f" and has unknown {', '.join(unknown)[:120]}" if unknown else ""
    return (
        f"{path}: header of {table.kind} lacks {', '.join(_missing(names, table))}{has}: "
        "save it with these columns, by these names, or move it away"
    )


def _check_columns(path: str, names: list[str], table: TableFormat) -> tuple[str, ...]:
    """The columns by the table's names, '' for what it doesn't know.

    Raises:
        SourceError: One is missing, or there twice.
    """
    if _missing(names, table):
        raise SourceError(_column_error(path, names, table))
    columns = table.columns_of(names)
    if len(_known(names, table)) < len(columns) - columns.count(""):
        raise SourceError(f"{path}: the header names a column twice: '{','.join(names)[:120]}'")
    return columns


def _notes(names: list[str], columns: Sequence[str]) -> tuple[str, ...]:
    """What is to be told of the columns that are passed over: those called ''."""
    unknown = [name or "(no name)" for name, c in zip(names, columns, strict=True) if not c]
    return (f"unknown columns are ignored: {', '.join(unknown)[:120]}",) if unknown else ()


def _class_notes(kind: str, names: list[str]) -> tuple[str, ...]:
    """As `_notes`, of a file of class names, whose first line may be a class."""
    if kind != "classes" or len(names) <= 2:
        return ()
    if (header := names_header(names)) is None:
        return ("columns after the second are ignored",)
    columns = ["" if i not in header[:2] else name for i, name in enumerate(names)]
    return _notes(names, columns)


def _json_kind(path: str, head: bytes) -> str:
    first = head.split(b"\n", 1)[0]
    if re.match(rb'\{\s*"(LabelName|name)"\s*:', head) and b'"image_id"' not in first:
        return "hierarchy"
    try:
        narrative = json.loads(first)
    except ValueError:
        narrative = None
    # A broken first line is a bad row of its file, not a reason to refuse it.
    if b'"image_id"' in first or (isinstance(narrative, dict) and "image_id" in narrative):
        return "narratives"
    raise SourceError(
        f"{path}: neither a class hierarchy nor lines of narratives: name its kind (KIND=PATH) or "
        "move it away"
    )
