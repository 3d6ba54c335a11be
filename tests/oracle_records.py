"""The naive reading of a table's text, for `tests.oracle`: bytes in, numbered records out."""

import csv
from collections.abc import Iterator
from typing import NamedTuple

from tests.oracle_rows import image_id_of

#: Kinds with free text, whose fields may hold a line break.
FREE_TEXT = ("images", "points")
LONGEST = 8 << 20


class Record(NamedTuple):
    """A record of a table: the line on which it begins, from 1, and its fields; None if it is none
    of the table's."""

    line: int
    fields: list[str] | None


def decode(data: bytes) -> str:
    """Text whose bytes that aren't UTF-8 can't be encoded again."""
    return data.decode(errors="surrogateescape")


def read_records(text: str, kind: str, header: list[str], delimiter: str = ",") -> Iterator[Record]:
    """The records of a table below its header.

    Args:
        text: of the rows.
        kind: of the table.
        header: its columns.
        delimiter: the character between two fields.
    """
    lines = text.split("\n")
    at = 0
    while at < len(lines):
        count = 1
        if kind in FREE_TEXT and is_head(lines[at], header, delimiter):
            count = count_lines(lines[at:], header, delimiter)
        record = "\n".join(lines[at : at + count])
        at += count
        fields = split_fields(record, delimiter)
        whole = fields is not None and len(fields) == len(header)
        if record.strip(" \t\r" + (delimiter if not whole else "")):
            yield Record(at - count + 1, fields if whole else None)


def is_head(line: str, header: list[str], delimiter: str) -> bool:
    """Whether a line has an ImageID in its place, after whole fields."""
    fields: list[str] = []
    at = 0
    line = line.rstrip("\r")
    while len(fields) <= header.index("ImageID"):
        if at > len(line):
            return False
        if line[at : at + 1] == '"':
            close = at + 1
            while line[close : close + 2] == '""' or line[close : close + 1] not in ('"', ""):
                close += 2 if line[close : close + 2] == '""' else 1
            fields.append(line[at + 1 : close])
            at = close + 1
            if at > len(line) or line[at : at + 1] not in (delimiter, ""):
                return False
        else:
            end = line.find(delimiter, at) % (len(line) + 1)
            fields.append(line[at:end])
            if '"' in fields[-1]:
                return False
            at = end
        at += 1
    return image_id_of(fields[-1]) is not None


def count_lines(lines: list[str], header: list[str], delimiter: str) -> int:
    """How many lines the record takes up that begins with the first, a head."""
    for count in range(1, len(lines) + 1):
        text = "\n".join(lines[:count])
        size = len(text.encode(errors="surrogateescape"))
        if (count > 1 and is_head(lines[count - 1], header, delimiter)) or size > LONGEST:
            return 1
        try:
            source = [f"{line}\n" for line in text.rstrip("\r").split("\n")]
            rows = list(csv.reader(source, delimiter=delimiter, strict=True))
        except csv.Error:
            continue
        return count if len(rows) == 1 and len(rows[0]) == len(header) else 1
    return 1


def split_fields(record: str, delimiter: str) -> list[str] | None:
    """A record's fields; None where a quote isn't closed, or it isn't CSV."""
    if len(record.encode(errors="surrogateescape")) > LONGEST:
        return None
    lines = [f"{line}\n" for line in record.rstrip("\r").split("\n")]
    reader = csv.reader([*lines, "end"], delimiter=delimiter)
    try:
        fields = next(reader)
        return fields if reader.line_num == len(lines) else None
    except csv.Error:
        return None
