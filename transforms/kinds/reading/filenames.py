"""Decides by a file's name whether its content is looked at, and if not, why."""

import enum
import re
from typing import NamedTuple

PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")
RECORDINGS = (".ogg", ".oga", ".opus")
_TEXTS = (".csv", ".tsv", ".tab", ".txt", ".json", ".jsonl", ".ndjson")
_ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz")
_COMPRESSED = (".bz2", ".xz", ".zst", ".lz4", ".lzma", ".br", ".z", ".7z", ".rar")
_LEFT = (
    *(".part", ".partial", ".crdownload", ".download", ".opdownload", ".aria2", ".!qb", ".!ut"),
    *(".filepart", ".tmp", ".temp", ".incomplete", ".etag"),
)
_BACKUPS = (".bak", ".old", ".orig", ".save", ".swp", "~")
_IMAGE_METAS = "-image-metas.pkl"
_SPREADSHEETS = (".xlsx", ".xls", ".xlsm", ".ods", ".numbers")
# What browsers and wget add to a name that is taken: `a.csv.1`, `a (1).csv`, `a.csv (1)`.
_NUMBER = re.compile(r"(\.\d{1,3}|\s*\(\d{1,3}\))$")
_HIDDEN = re.compile(r"\.[^.]|__MACOSX$|\.\.+[^.]")
_SUFFIX = re.compile(r"\.[a-z0-9_~!]*[a-z][a-z0-9_~!]*$")


class Role(enum.Enum):
    """What a file is by its name."""

    TABLE = "annotations, as text"
    ARCHIVE = "an archive"
    PICTURE = "a picture or mask"
    UNKNOWN = "anything: it has no suffix"
    HIDDEN = "a hidden file, or one in a hidden folder"
    UNREADABLE = "annotations or an archive, compressed in a way that isn't read"
    OTHER = "none of these"


class Name(NamedTuple):
    """What a file's name says.

    Attributes:
        role: what the file is.
        suffix: in lower case, with the dot; for a gzipped file, the one before `.gz`.
        reason: why the file isn't used; empty if its content decides or another flag uses it.
    """

    role: Role
    suffix: str
    reason: str = ""


def understand(name: str) -> Name:
    """Returns what a file is by its path within a folder or archive, with `/`.

    >>> understand("train/labels.CSV.gz").role
    <Role.TABLE: 'annotations, as text'>
    """
    *folders, last = name.split("/")
    if any(_HIDDEN.match(part) for part in (*folders, last)):
        return Name(Role.HIDDEN, "")
    last = _NUMBER.sub("", last.lower())
    if last.endswith(_LEFT):
        suffix = f".{last.rpartition('.')[2]}"
        return Name(Role.OTHER, suffix, "left by a download that didn't end: download it again")
    if last.endswith(_BACKUPS):
        return Name(Role.OTHER, last[-4:], "a backup by its name")
    if last.endswith(_ARCHIVES):
        return Name(Role.ARCHIVE, ".tar.gz" if last.endswith(".gz") else last[-4:])
    for compressed in _COMPRESSED:
        if last.endswith(compressed):
            return Name(Role.UNREADABLE, compressed, "unpack it, or compress it by gzip")
    inner = _NUMBER.sub("", last.removesuffix(".gz"))
    found = _SUFFIX.search(inner)
    suffix = found[0] if found else ""
    if suffix in _TEXTS:
        return Name(Role.TABLE, suffix)
    if suffix in PICTURES:
        return Name(Role.PICTURE, suffix)
    if suffix in RECORDINGS:
        return Name(Role.OTHER, suffix, "recordings go to --voices")
    if inner.endswith(_IMAGE_METAS):
        return Name(Role.OTHER, suffix, "sizes of pictures for MMDetection; a build measures them")
    if suffix in _SPREADSHEETS:
        return Name(Role.OTHER, suffix, "a spreadsheet: save it as CSV (UTF-8) to have it read")
    if not suffix:
        return Name(Role.UNKNOWN, "")
    return Name(Role.OTHER, suffix, "no annotations of Open Images by its name")


def may_hold_table(name: str) -> bool:
    """Returns whether a compressed file may be a table, by its name without the last suffix."""
    inner = understand(re.sub(r"\.\w+$", "", _NUMBER.sub("", name)))
    return inner.role is Role.TABLE or inner.suffix == ".tar"
