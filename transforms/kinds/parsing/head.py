"""The beginning of a file: read, taken apart, and refused where the file can't be a source."""

import contextlib
import csv
import gzip
import io
import itertools
import re
import zlib
from collections.abc import Sequence
from typing import BinaryIO

from transforms.storage.archives import GZIP_MAGIC, archive_kind

#: Bytes of a file that tell what it is.
HEAD_BYTES = 1 << 20
BOM = b"\xef\xbb\xbf"
#: An ImageID as tables may write it: also in capitals, or as the name or path of a picture.
IMAGE_ID = re.compile(r"(.*[/\\])?[0-9a-fA-F]{16}(\.\w+)?")

#: Rows of a table whose ImageIDs are checked.
_ROWS = 1000
_NUMBER = re.compile(r"\d{13,}(\.0*)?|\d([.,]\d+)?[eE]\+?\d+")
_PAGE = re.compile(
    rb"\s*(<!--.*?-->\s*)*<(!doctype|html|head|\?xml|error)\b", re.IGNORECASE | re.DOTALL
)
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
_UTF16_SAMPLE = 64


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


def read_head(path: str, file: BinaryIO, compressed: bool) -> bytes:
    """Returns the first bytes of a file, decompressed.

    Raises:
        SourceError: The gzip is broken.
    """
    file.seek(0)
    if not compressed:
        return file.read(HEAD_BYTES)
    try:
        return gzip.GzipFile(fileobj=file).read(HEAD_BYTES)
    except (OSError, EOFError, zlib.error) as error:
        raise SourceError(f"{path} is broken gzip ({error}): download it again") from error


def whole_lines(head: bytes) -> str:
    """Returns the beginning of a file as text, without a last line that is cut."""
    cut = head.rfind(b"\n") + 1 if len(head) == HEAD_BYTES else 0
    return head[: cut or len(head)].decode(errors="replace")


def read_rows(head: bytes, delimiter: str) -> list[list[str]]:
    """Returns up to `_ROWS` first rows that aren't empty; the rows before one that isn't CSV."""
    rows = []
    with contextlib.suppress(csv.Error):
        reader = csv.reader(io.StringIO(whole_lines(head), newline=""), delimiter=delimiter)
        for row in itertools.islice(reader, _ROWS):
            rows.append([field.strip() for field in row])
    return [row for row in rows if any(row)]


def first_line(name: str, head: bytes, start: int) -> bytes:
    """Returns the line that begins at an offset, as a header does.

    Raises:
        UnknownFileError: It is longer than `HEAD_BYTES`.
    """
    line, end, _ = head[start:].partition(b"\n")
    if not end and len(head) == HEAD_BYTES:
        raise UnknownFileError(
            name, f"its first line is longer than {HEAD_BYTES >> 20} MiB, which no header is"
        )
    return line


def describe_unknown(names: Sequence[str], known: Sequence[object]) -> tuple[str, ...]:
    """Returns a remark that names the columns of a header that aren't known, if there are any."""
    unknown = [name or "(no name)" for name, each in zip(names, known, strict=True) if not each]
    return (f"unknown columns are ignored: {', '.join(unknown)[:120]}",) if unknown else ()


def check_text(name: str, head: bytes) -> None:
    """Checks that a file is not empty, an archive, gzipped still, UTF-16 or a web page.

    Raises:
        SourceError: It is; the message says which.
    """
    if not head.strip() or not head.removeprefix(BOM).strip() or BOM.startswith(head):
        raise SourceError(f"{name} is empty: delete it or download it again")
    if not head.strip(b"\0"):
        raise SourceError(
            f"{name} holds nothing but zero bytes, as a download leaves that broke off: download "
            "it again"
        )
    if head.startswith(GZIP_MAGIC):
        raise SourceError(f"{name} is gzipped more than once: unpack it")
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
    if _PAGE.match(head.removeprefix(BOM)):
        raise SourceError(
            f"{name} is a web page, the server's answer in place of the file: download it again"
        )


def _is_utf16(head: bytes) -> bool:
    """Returns whether text is UTF-16 or UTF-32: by its mark, or since every other byte is 0."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff")):
        return True
    sample = head[:_UTF16_SAMPLE]
    return any(
        2 * len(half) >= 8 and half.count(0) >= 0.9 * len(half) and sample.count(0) < len(sample)
        for half in (sample[::2], sample[1::2])
    )


def check_ids(name: str, ids: list[str]) -> None:
    """Checks that at least half of the first ids are ImageIDs.

    Raises:
        SourceError: They aren't; the message says what they are.
    """
    others = [text for text in ids[:_ROWS] if not IMAGE_ID.fullmatch(text)]
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
