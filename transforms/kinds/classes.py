"""Class names: `*-class-descriptions*.csv` and the like, CSV of MID and display name.

Their header may be missing. Other columns, such as the Challenge's third, are ignored.
"""

from collections import Counter
from collections.abc import Sequence

from transforms.dataset.classes import ClassEntry
from transforms.kinds.parsing.head import IMAGE_ID, describe_unknown
from transforms.kinds.parsing.table import fold
from transforms.kinds.vocabulary import (
    MID,
    BadRowError,
    Entries,
    VocabularyKind,
    collect,
    parse_mid,
    read_rows,
)


def _matches(names: Sequence[str]) -> bool:
    folded = [fold(name) for name in names]
    if {"labelname", "displayname"} <= set(folded):
        return "yespoints" not in folded  # else they are point classes
    if folded == ["id", "name"]:
        return True
    return (
        len(names) > 1
        and MID.fullmatch(names[0]) is not None
        and not any(map(IMAGE_ID.fullmatch, names))
    )


def _notes(names: Sequence[str]) -> tuple[str, ...]:
    if len(names) <= 2:
        return ()
    if (header := _find_header(names)) is None:
        return ("columns after the second are ignored",)
    return describe_unknown(names, [i in header[:2] for i in range(len(names))])


def _read(data: bytes, source: str) -> Entries:
    rows = list(read_rows(data, source))
    sound = [row for _, row in rows if not isinstance(row, BadRowError)]
    header = _find_header(sound[0]) if sound and rows[0] == (1, sound[0]) else None
    if header:
        rows = rows[1:]
        label_at, name_at, width = header
    else:  # most rows tell how many columns there are
        ((length, _),) = Counter(map(len, sound)).most_common(1) or [(2, 0)]
        label_at, name_at, width = 0, 1, max(2, length)

    def parse(row: list[str]) -> ClassEntry:
        if len(row) != width:
            raise BadRowError(f"{len(row)} fields in place of {width}")
        return ClassEntry(parse_mid(row[label_at]), row[name_at])

    return collect(rows, parse, source)


def _find_header(row: Sequence[str]) -> tuple[int, int, int] | None:
    """Returns the places of label and name in a header, and its width; None for another row."""
    fields = [fold(field) for field in row]
    for label, name in (("labelname", "displayname"), ("id", "name")):
        if label in fields and name in fields:
            return fields.index(label), fields.index(name), len(fields)
    return None


CLASSES = VocabularyKind(name="classes", matches=_matches, notes=_notes, rank=0, read=_read)
