"""Point classes of V7: a ragged CSV of counts, with one more text mention in each field from the
fifth on."""

from collections.abc import Sequence

from transforms.dataset.classes import ClassEntry
from transforms.kinds.parsing.table import fold
from transforms.kinds.vocabulary import (
    BadRowError,
    Entries,
    VocabularyKind,
    collect,
    parse_count,
    parse_mid,
    read_rows,
)


def _matches(names: Sequence[str]) -> bool:
    folded = [fold(name) for name in names[:4]]
    return folded == ["labelname", "displayname", "yespoints", "points"]


def _read(data: bytes, source: str) -> Entries:
    return collect(read_rows(data, source), _parse, source, is_header=_matches)


def _parse(row: list[str]) -> ClassEntry:
    if len(row) < 4:
        raise BadRowError(f"{len(row)} fields in place of 4 or more")
    points = {
        "yes_points": parse_count(row[2]),
        "points": parse_count(row[3]),
        "text_mentions": [mention for mention in row[4:] if mention],
    }
    return ClassEntry(parse_mid(row[0]), row[1], points=points)


POINT_CLASSES = VocabularyKind(name="point_classes", matches=_matches, rank=0, read=_read)
