"""Which kind of source a file is, told from its header or content, never from its name."""

import csv
import dataclasses
import os
import re
from pathlib import PurePath

from transforms.dataset.elements import Source
from transforms.dataset.naming import SPLIT_ALIASES, SPLITS
from transforms.kinds.classes import CLASSES
from transforms.kinds.kind import Kind
from transforms.kinds.parsing.head import (
    BOM,
    IMAGE_ID,
    SourceError,
    UnknownFileError,
    check_ids,
    check_text,
    describe_unknown,
    first_line,
    read_head,
    read_rows,
)
from transforms.kinds.registry import SMALL_FILES, TABLES
from transforms.kinds.vocabulary import MID
from transforms.storage import files
from transforms.storage.archives import GZIP_MAGIC
from transforms.storage.objects import is_remote, split_uri
from transforms.storage.stores import ObjectOptions

_SPLIT_WORDS = {**{split: split for split in SPLITS}, **SPLIT_ALIASES}

_NO_JSON = "no annotations of Open Images: neither a class hierarchy nor lines of narratives"
_SEPARATORS = {";": "semicolons", "|": "vertical bars"}


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
        ChangedError: It changes while it is looked at.
        SourceError: It is empty, of no known kind, or of another than `kind`.
    """
    status = files.status_of(path, options)
    with files.open_file(path, options, size=status.size, stamp=status.stamp) as file:
        compressed = file.read(2) == GZIP_MAGIC
        head = read_head(path, file, compressed)
    split = split_of(path, root)
    source = Source(0, "", path, status.size, split, compressed=compressed, stamp=status.stamp)
    return recognise(source, head, kind)


def recognise(source: Source, head: bytes, kind: str | None = None) -> Source:
    """Completes a source by its first bytes.

    Args:
        source: where it is.
        head: up to `head.HEAD_BYTES`, decompressed.
        kind: what the user says that it is, if they do.

    Raises:
        UnknownFileError: It has nothing of Open Images' annotations.
        SourceError: It is empty, damaged, not as published, or of another kind than `kind`.
    """
    check_text(source.name, head)
    start = len(BOM) if head.startswith(BOM) else 0
    start += len(head[start:]) - len(head[start:].lstrip(b"\r\n"))
    if head[start:].lstrip()[:1] in (b"{", b"["):
        return _recognise_json(source, head, start, kind)
    return _recognise_csv(source, head, start, kind)


def _recognise_json(source: Source, head: bytes, start: int, kind: str | None) -> Source:
    kind = kind or _json_kind(source.name, head[start:])
    if kind in TABLES:
        TABLES[kind].check_json(source.name, head)
    return dataclasses.replace(
        source, kind=kind, data_start=start, header_lines=head[:start].count(b"\n")
    )


def _recognise_csv(source: Source, head: bytes, start: int, kind: str | None) -> Source:
    name = source.name
    line = first_line(name, head, start)
    delimiter = _delimiter(name, line)
    names = _first_row(name, line, delimiter)
    if kind is None:
        kind = _csv_kind(name, names, head[start:], delimiter)
    if names == ["id", "name"] and not any(
        MID.fullmatch(row[0]) for row in read_rows(head, delimiter)
    ):
        raise UnknownFileError(name, "names of other things than MIDs")
    source = dataclasses.replace(source, kind=kind, delimiter=delimiter)
    if kind not in TABLES:
        return dataclasses.replace(source, notes=SMALL_FILES[kind].notes(names))
    columns = _check_columns(name, names, TABLES[kind])
    start = head.find(b"\n", start) + 1 or len(head)
    lines = head[:start].count(b"\n")
    at = columns.index(TABLES[kind].image_id)
    check_ids(name, [row[at] for row in read_rows(head[start:], delimiter) if len(row) > at])
    notes = describe_unknown(names, columns)
    return dataclasses.replace(
        source, columns=columns, data_start=start, header_lines=lines, notes=notes
    )


def split_of(path: str, root: str | None = None) -> str | None:
    """Returns the split that a file's name speaks of, or else the nearest folder's up to `root`.

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
    """Returns a path from the root of this machine, or of its bucket, whose name tells no split."""
    return PurePath("/", split_uri(path)[2]) if is_remote(path) else PurePath(os.path.abspath(path))


def _delimiter(name: str, line: bytes) -> str:
    """Returns the delimiter of a file by its first line: a comma or a tab.

    Raises:
        SourceError: It is a semicolon or a vertical bar.
    """
    text = line.decode(errors="replace")
    if text.strip(' "\r') in ("sep=,", "sep=\t", "sep="):
        raise SourceError(
            f"{name}: the first line, 'sep=', is a spreadsheet's: delete it, so that the columns' "
            "names are in the first line"
        )
    if _is_ours([field.strip() for field in text.split("\t")]) and "\t" in text:
        return "\t"
    for separator, plural in _SEPARATORS.items():
        fields = [field.strip(' "\r\ufeff') for field in text.split(separator)]
        if (len(fields) > 1 and _is_ours(fields)) or text.strip() == f"sep={separator}":
            raise SourceError(
                f"{name} has {plural} ('{separator}') between its fields, as some spreadsheets "
                "write: save it with commas"
            )
    return ","


def _is_ours(names: list[str]) -> bool:
    """Whether a first line looks like that of an Open Images file: has an ImageID, a MID, or names
    of columns."""
    if MID.fullmatch(names[0]) or IMAGE_ID.fullmatch(names[0]):
        return True
    folded = {name.casefold().replace("_", "").replace(" ", "") for name in names}
    tables = [{column.casefold() for column in table.types} for table in TABLES.values()]
    if any(len(folded & columns) > 1 for columns in (*tables, {"labelname", "displayname"})):
        return True
    return len(folded) < len(names) and len(folded & set().union(*tables)) > 0


def _kind_by_rows(name: str, names: list[str], head: bytes, delimiter: str) -> str | None:
    """Returns the kind of a file by its rows; None where the first line tells the kind.

    A list of classes may begin with a class whose MID and name are alike, or with two MIDs.
    """
    if len(names) not in (2, 3) or (names[0] != names[1] and not MID.fullmatch(names[1])):
        return None
    rows = read_rows(head, delimiter)
    labels = [len(row) > 1 and bool(MID.fullmatch(row[0])) for row in rows]
    pairs = [len(row) > 1 and bool(MID.fullmatch(row[0]) and MID.fullmatch(row[1])) for row in rows]
    if sum(pairs) * 2 > len(rows):
        raise UnknownFileError(name, "two MIDs a row, and no names")
    return CLASSES.name if sum(labels) * 2 > len(rows) else None


def _first_row(name: str, line: bytes, delimiter: str) -> list[str]:
    """Returns the fields of the first line.

    Raises:
        UnknownFileError, SourceError: It isn't UTF-8, or not CSV.
    """
    try:
        text = line.decode()
    except UnicodeDecodeError:
        if _is_ours(line.decode(errors="replace").split(delimiter)):
            raise SourceError(f"{name} is not UTF-8 text: save it as UTF-8") from None
        raise UnknownFileError(name, "it is not UTF-8 text") from None
    try:
        row = next(csv.reader([text], delimiter=delimiter, skipinitialspace=delimiter != "\t"), [])
        return [name.strip() for name in row]
    except csv.Error:
        raise SourceError(
            f"{name}: the first line is no CSV: if lines end in a bare carriage return, make it \\n"
        ) from None


def _csv_kind(name: str, names: list[str], head: bytes, delimiter: str) -> str:
    """Returns the kind of a CSV file by its first line `names`, or by its rows.

    Raises:
        UnknownFileError: It has nothing of Open Images' annotations.
        SourceError: It looks like one of Open Images' files, and can't be read.
    """
    if len(names) == 1 and IMAGE_ID.fullmatch(names[0]):
        raise UnknownFileError(name, "a list of images, as 'download --image_list' takes it")
    try:
        return _kind_by_rows(name, names, head, delimiter) or _kind_by_header(name, names)
    except SourceError as error:
        if isinstance(error, UnknownFileError) or _is_ours(names):
            raise
        header = delimiter.join(names)[:120]
        raise UnknownFileError(name, f"unknown header '{header}'") from None


def _kind_by_header(path: str, names: list[str]) -> str:
    """Returns the kind of a CSV file by its first line, which may be a header or a class.

    Raises:
        SourceError: No kind has such a first line.
    """
    table = _nearest_table(names)
    if not _missing(names, table):
        return table.name
    for kind in SMALL_FILES.values():
        if kind.matches(names):
            return kind.name
    if any(map(IMAGE_ID.fullmatch, names)):
        raise SourceError(f"{path} has no header: put its columns' names into the first line")
    if len(_known(names, table)) < 2:
        header = ",".join(names)[:120]
        raise SourceError(
            f"{path}: unknown header '{header}': name its kind (KIND=PATH) or move it away"
        )
    raise SourceError(_column_error(path, names, table))


def _nearest_table(names: list[str]) -> Kind:
    """Returns the table that has most of the columns; of several, the one that lacks fewest."""

    def likeness(table: Kind) -> tuple[int, int]:
        return len(_known(names, table)), -len(_missing(names, table))

    return max(TABLES.values(), key=likeness)


def _known(names: list[str], table: Kind) -> set[str]:
    """Returns the table's columns that a header has."""
    return {*table.columns_of(names)} - {""}


def _missing(names: list[str], table: Kind) -> list[str]:
    """Returns the required columns that a header lacks."""
    known = _known(names, table)
    return [name for name in (table.image_id, *table.required) if name not in known]


def _column_error(path: str, names: list[str], table: Kind) -> str:
    """Returns the message for a header that lacks required columns."""
    columns = table.columns_of(names)
    unknown = [name for name, known in zip(names, columns, strict=True) if name and not known]
    has = f" and has unknown {', '.join(unknown)[:120]}" if unknown else ""
    return (
        f"{path}: header of {table.name} lacks {', '.join(_missing(names, table))}{has}: "
        "save it with these columns, by these names, or move it away"
    )


def _check_columns(path: str, names: list[str], table: Kind) -> tuple[str, ...]:
    """Returns a header's columns by the table's names, '' for one that the table doesn't have.

    Raises:
        SourceError: A required column is missing, or a column is there twice.
    """
    if _missing(names, table):
        raise SourceError(_column_error(path, names, table))
    columns = table.columns_of(names)
    if len(_known(names, table)) < len(columns) - columns.count(""):
        raise SourceError(
            f"{path}: the header names a column twice: '{','.join(names)[:120]}': drop one of them"
        )
    return columns


def _json_kind(name: str, head: bytes) -> str:
    """Returns the kind of a JSON file.

    Raises:
        UnknownFileError: It is of none.
        SourceError: It looks like one, and can't be read.
    """
    for kind in (*TABLES.values(), *SMALL_FILES.values()):
        if kind.matches_json(name, head):
            return kind.name
    raise UnknownFileError(name, _NO_JSON)
