"""Which kind of source a file is, told from its header or content, never from its name."""

import contextlib
import csv
import dataclasses
import gzip
import io
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
from transforms.storage.archives import archive_kind
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
#: Bytes of a file that tell what it is.
HEAD_BYTES = 1 << 20
_BOM = b"\xef\xbb\xbf"
_GZIP = b"\x1f\x8b"
_SPLIT_WORDS = {
    "train": "train",
    "val": "validation",
    "validation": "validation",
    "test": "test",
}


#: Rows of a table of which the ImageIDs are looked at.
_ROWS = 1000
_IMAGE_ID = re.compile(r"(.*[/\\])?[0-9a-fA-F]{16}(\.\w+)?")
_NUMBER = re.compile(r"\d{13,}(\.0*)?|\d([.,]\d+)?[eE]\+?\d+")
_PAGE = re.compile(
    rb"\s*(<!--.*?-->\s*)*<(!doctype|html|head|\?xml|error)\b", re.IGNORECASE | re.DOTALL
)
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
_NARRATIVE_ID = re.compile(rb'"image_id"\s*:\s*"[0-9a-fA-F]{16}"')
_NARRATIVE_KEY = re.compile(rb'"(caption|timed_caption|traces|annotator_id|dataset_id)"\s*:')
# Localized Narratives are published for these beside Open Images.
_OTHER_DATASET = re.compile(r'"dataset_id"\s*:\s*"((?:mscoco|coco|flickr|ade20k)\w*)"', re.I)
_HIERARCHY = re.compile(rb'"(LabelName|name)"\s*:\s*"/[a-z]/|"(Subcategory|Part)"\s*:\s*\[')
_NO_JSON = "no annotations of Open Images: neither a class hierarchy nor lines of narratives"
_SEPARATORS = {";": "semicolons", "|": "vertical bars"}
_SAMPLE = 64


class SourceError(ValueError):
    """A file that can't be a source; the message names it and says what to do."""


class UnknownFileError(SourceError):
    """A file that has nothing of Open Images' annotations.

    Attributes:
        reason: the message without the file and without what to do.
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}: name its kind (KIND=PATH) or move it away")
        self.reason = reason


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
    source = Source(0, "", path, size, split_of(path, root), compressed=compressed)
    return recognise(source, head, kind)


def recognise(source: Source, head: bytes, kind: str | None = None) -> Source:
    """Completes a source by its first bytes.

    Args:
        source: where it is.
        head: up to `HEAD_BYTES`, decompressed.
        kind: what the user says that it is, if they do.

    Raises:
        UnknownFileError: It has nothing of Open Images' annotations.
        SourceError: It is empty, damaged, not as published, or of another kind than `kind`.
    """
    name = source.name
    _check_text(name, head)
    start = len(_BOM) if head.startswith(_BOM) else 0
    start += len(head[start:]) - len(head[start:].lstrip(b"\r\n"))
    if head[start:].lstrip()[:1] in (b"{", b"["):
        kind = kind or _json_kind(name, head[start:])
        if kind == "narratives":
            _check_dataset(name, head)
            _check_ids(name, re.findall(r'"image_id"\s*:\s*"([^"]*)"', _text_of(head)))
        return dataclasses.replace(
            source, kind=kind, data_start=start, header_lines=head[:start].count(b"\n")
        )
    delimiter = _delimiter(name, head[start:].split(b"\n", 1)[0])
    names = _first_row(name, head[start:], delimiter)
    if len(names) == 1 and _IMAGE_ID.fullmatch(names[0]) and not kind:
        raise UnknownFileError(name, "a list of images, as 'download --image_list' takes it")
    try:
        kind = kind or _kind_by_rows(name, names, head[start:], delimiter) or _csv_kind(name, names)
    except SourceError as error:
        if isinstance(error, UnknownFileError) or _is_ours(names):
            raise
        header = delimiter.join(names)[:120]
        raise UnknownFileError(name, f"unknown header '{header}'") from None
    if names == ["id", "name"] and not any(_MID.match(row[0]) for row in _rows(head, delimiter)):
        raise UnknownFileError(name, "names of other things than MIDs")
    source = dataclasses.replace(source, kind=kind, delimiter=delimiter)
    if kind not in TABLES:
        return dataclasses.replace(source, notes=_class_notes(kind, names))
    columns = _check_columns(name, names, TABLES[kind])
    start = head.find(b"\n", start) + 1 or len(head)
    lines = head[:start].count(b"\n")
    at = columns.index(TABLES[kind].image_id)
    _check_ids(name, [row[at] for row in _rows(head[start:], delimiter) if len(row) > at])
    return dataclasses.replace(
        source,
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
        return file.read(HEAD_BYTES)
    try:
        return gzip.GzipFile(fileobj=file).read(HEAD_BYTES)
    except (OSError, EOFError, zlib.error) as error:
        raise SourceError(f"{path} is broken gzip ({error}): download it again") from error


def _check_text(name: str, head: bytes) -> None:
    """Raises a SourceError where a file is none of what is read as text, and says what it is."""
    if not head.strip():
        raise SourceError(f"{name} is empty: delete it or download it again")
    if not head.strip(b"\0"):
        raise SourceError(
            f"{name} holds nothing but zero bytes, as a download leaves that broke off: download "
            "it again"
        )
    if head.startswith(_LFS_POINTER):
        raise SourceError(
            f"{name} is Git LFS's pointer to a file, not the file: run 'git lfs pull' in its "
            "repository"
        )
    if kind := archive_kind(head):
        suffix = {"tar": ".tar.gz or .tar", "zip": ".zip"}[kind]
        raise SourceError(
            f"{name} is a {kind}, not a table: let its name end in {suffix} to have what is in it "
            "read, or unpack it"
        )
    if _is_utf16(head):
        raise SourceError(
            f"{name} is UTF-16, as PowerShell and spreadsheets write it, not UTF-8 text: save it "
            "as UTF-8"
        )
    if _PAGE.match(head.removeprefix(_BOM)):
        raise SourceError(
            f"{name} is a web page, the server's answer in place of the file: download it again"
        )


def _is_utf16(head: bytes) -> bool:
    """Whether text is UTF-16 or UTF-32: by its mark, or since every other byte is 0."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff")):
        return True
    sample = head[:_SAMPLE]
    return any(
        2 * len(half) >= 8 and half.count(0) >= 0.9 * len(half) and sample.count(0) < len(sample)
        for half in (sample[::2], sample[1::2])
    )


def _delimiter(name: str, line: bytes) -> str:
    """What is between the fields of a line: a comma or a tab.

    Raises:
        SourceError: It is another character that some programs put there.
    """
    text = line.decode(errors="replace")
    if text.strip(' "\r') in ("sep=,", "sep=\t", "sep="):
        raise SourceError(
            f"{name}: the first line, 'sep=', is a spreadsheet's: delete it, so that the columns' "
            "names are in the first line"
        )
    if _is_ours([field.strip() for field in text.split("\t")]) and "\t" in text:
        return "\t"
    for separator, called in _SEPARATORS.items():
        fields = [field.strip(' "\r\ufeff') for field in text.split(separator)]
        if (len(fields) > 1 and _is_ours(fields)) or text.strip() == f"sep={separator}":
            raise SourceError(
                f"{name} has {called} ('{separator}') between its fields, as some spreadsheets "
                "write: save it with commas"
            )
    return ","


def _is_ours(names: list[str]) -> bool:
    """Whether a first line looks like one of Open Images' files: by names of columns, an ImageID or
    a MID."""
    if _MID.match(names[0]) or _IMAGE_ID.fullmatch(names[0]):
        return True
    folded = {name.casefold().replace("_", "").replace(" ", "") for name in names}
    tables = [{column.casefold() for column in table.types} for table in TABLES.values()]
    if any(len(folded & columns) > 1 for columns in (*tables, {"labelname", "displayname"})):
        return True
    return len(folded) < len(names) and len(folded & set().union(*tables)) > 0


def _text_of(head: bytes) -> str:
    """Whole lines of the beginning of a file, as text."""
    cut = head.rfind(b"\n") + 1 if len(head) == HEAD_BYTES else 0
    return head[: cut or len(head)].decode(errors="replace")


def _rows(head: bytes, delimiter: str) -> list[list[str]]:
    """The first rows, up to one that is no CSV."""
    rows = []
    with contextlib.suppress(csv.Error):
        for row in csv.reader(io.StringIO(_text_of(head), newline=""), delimiter=delimiter):
            rows.append([field.strip() for field in row])
            if len(rows) == _ROWS:
                break
    return [row for row in rows if any(row)]


def _kind_by_rows(name: str, names: list[str], head: bytes, delimiter: str) -> str | None:
    """The kind of a file that its first line alone would mislead about."""
    if len(names) not in (2, 3) or (names[0] != names[1] and not _MID.match(names[1])):
        return None
    rows = _rows(head, delimiter)
    labels = [len(row) > 1 and bool(_MID.match(row[0])) for row in rows]
    pairs = [len(row) > 1 and bool(_MID.match(row[0]) and _MID.match(row[1])) for row in rows]
    if sum(pairs) * 2 > len(rows):
        raise UnknownFileError(name, "two MIDs a row, and no names")
    return "classes" if sum(labels) * 2 > len(rows) else None


def _check_dataset(name: str, head: bytes) -> None:
    """Raises an UnknownFileError for narratives of pictures from elsewhere, as COCO's."""
    found = _OTHER_DATASET.search(_text_of(head))
    if found:
        raise UnknownFileError(name, f"narratives of {found[1]}, not of Open Images")


def _check_ids(name: str, ids: list[str]) -> None:
    """Raises a SourceError where most of some ids aren't ImageIDs, and says what they are."""
    others = [text for text in ids[:_ROWS] if not _IMAGE_ID.fullmatch(text)]
    if len(others) * 2 <= len(ids[:_ROWS]):
        return
    numbers = [text for text in others if _NUMBER.fullmatch(text)]
    if len(numbers) * 2 > len(others):
        raise SourceError(
            f"{name}: ids such as '{numbers[0]}' are numbers that a spreadsheet made of ImageIDs "
            "(16 hex digits), which can't be undone: take the file as it was published"
        )
    raise SourceError(
        f"{name}: ids such as '{others[0][:40]}' aren't ImageIDs (16 hex digits), which is what "
        "this project keys by: rename pictures and rows to such ids, for example the first 16 "
        "digits of each name's MD5"
    )


def _first_row(name: str, head: bytes, delimiter: str) -> list[str]:
    line = head.split(b"\n", 1)[0]
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
    if _IMAGE_ID.fullmatch(names[0]):
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


def _json_kind(name: str, head: bytes) -> str:
    first = head.split(b"\n", 1)[0]
    try:
        value = json.loads(first)
    except ValueError:
        value = None
    if isinstance(value, dict):
        is_narrative = "image_id" in value
    else:  # a broken first line is a bad row of its file, not a reason to refuse it
        is_narrative = b'"image_id"' in first and bool(_NARRATIVE_KEY.search(first))
    if is_narrative and head[:1] == b"{":
        return "narratives"
    if is_narrative or (_NARRATIVE_ID.search(head) and _NARRATIVE_KEY.search(head)):
        raise SourceError(
            f"{name}: narratives, but not one a line: write each as one line of JSON, for example "
            "by jq -c '.[]' of a list"
        )
    if head[:1] == b"{" and _HIERARCHY.search(head):
        return "hierarchy"
    raise UnknownFileError(name, _NO_JSON)
