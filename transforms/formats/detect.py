"""Which kind of source a file is, told from its header or content, never from its name."""

import csv
import dataclasses
import gzip
import io
import json
import os
import re
import zlib
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
from transforms.formats.tables import TableFormat
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
        return dataclasses.replace(source, kind=kind)
    _check_columns(path, names, TABLES[kind])
    start = head.find(b"\n", start) + 1 or len(head)
    lines = head[:start].count(b"\n")
    return dataclasses.replace(
        source, kind=kind, columns=tuple(names), data_start=start, header_lines=lines
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
        return [name.strip() for name in next(csv.reader(io.StringIO(text)), [])]
    except csv.Error:
        raise SourceError(
            f"{path}: the first line is no CSV: if lines end in a bare carriage return, make it \\n"
        ) from None


def _csv_kind(path: str, names: list[str]) -> str:
    for table in TABLES.values():
        known = {table.canonical(name) for name in names}
        if {table.image_id, *table.required} <= known and known <= set(table.types):
            return table.kind
    if names[:2] == ["LabelName", "DisplayName"] and len(names) > 2:
        return "point_classes"
    if names in (["LabelName", "DisplayName"], ["id", "name"]):
        return "classes"
    if names == ["LabelName1", "LabelName2", "RelationshipLabel"]:
        return "relationship_triplets"
    if _MID.match(names[0]):
        return "class_list" if len(names) == 1 else "classes"
    if len(names) == 2 and names[0] == names[1]:
        return "relationship_names"
    raise SourceError(_unknown_header(path, names))


def _unknown_header(path: str, names: list[str]) -> str:
    """Says of an unknown header what it comes nearest to, and what is wrong with it then."""
    known = {t.kind: {t.canonical(name) for name in names} & set(t.types) for t in TABLES.values()}
    nearest = TABLES[max(known, key=lambda kind: len(known[kind]))]
    if len(known[nearest.kind]) < 2:
        header = ",".join(names)[:120]
        return f"{path}: unknown header '{header}': name its kind (KIND=PATH) or move it away"
    return _column_error(path, names, nearest)


def _column_error(path: str, names: list[str], table: TableFormat) -> str:
    columns = {table.canonical(name) for name in names}
    missing = [name for name in (table.image_id, *table.required) if name not in columns]
    unknown = [name for name in names if table.canonical(name) not in table.types]
    problems = [
        f"{word} {', '.join(some)}"
        for word, some in (("lacks", missing), ("has unknown", unknown))
        if some
    ]
    problem, header = " and ".join(problems), ",".join(names)[:120]
    return f"{path}: header of {table.kind} {problem}: mend the header '{header}'"


def _check_columns(path: str, names: list[str], table: TableFormat) -> None:
    columns = [table.canonical(name) for name in names]
    if not {table.image_id, *table.required} <= set(columns) or not set(columns) <= set(
        table.types
    ):
        raise SourceError(_column_error(path, names, table))
    if len(set(columns)) < len(columns):
        raise SourceError(f"{path}: the header names a column twice: '{','.join(names)[:120]}'")


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
