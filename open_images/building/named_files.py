"""Small files that flags name: lists of classes and images, label maps, selections."""

import csv
import gzip
import zlib

from open_images.building.paths import check_file
from transforms.errors import UsageError
from transforms.redaction import redact_url
from transforms.storage import files
from transforms.storage.archives import GZIP_MAGIC
from transforms.storage.objects import StorageError
from transforms.storage.stores import ObjectOptions


def read_content(place: str, path: str, options: ObjectOptions) -> bytes:
    """Returns the content of a file, unpacked where it is gzipped.

    Args:
        place: what messages begin with: the flag that names it.
        path: here or in an object store.
        options: how object stores are reached.

    Raises:
        UsageError: There is no such file, or it can't be read.
    """
    shown = redact_url(path)
    check_file(place, path)
    try:
        data = files.read_file(path, options)
        return gzip.decompress(data) if data.startswith(GZIP_MAGIC) else data
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise UsageError(f"{place}: {shown} is broken gzip: download it again") from None
    except IsADirectoryError:
        raise UsageError(f"{place}: {shown} is a folder: name a file in it") from None
    except FileNotFoundError:
        raise UsageError(f"{place}: {shown}: no such file: check the path") from None
    except OSError as error:
        raise UsageError(f"{place}: {shown} can't be read: {error.strerror}") from None
    except ValueError:  # it has a null byte, or half a surrogate pair
        raise UsageError(f"{place}: {shown!r} is no path: check it") from None
    except StorageError as error:
        raise UsageError(f"{place}: {error}") from None


def read_text(place: str, path: str, options: ObjectOptions) -> str:
    """Returns the text of a file: see `read_content`.

    Raises:
        UsageError: There is no such file, or it isn't UTF-8.
    """
    try:
        return read_content(place, path, options).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(
            f"{place}: {redact_url(path)} isn't text in UTF-8: save it as such, or name another"
        ) from None


def read_lines(place: str, path: str, options: ObjectOptions) -> list[tuple[int, str]]:
    """Returns the lines of a file that aren't blank, stripped, each with its number from 1."""
    return numbered_lines(read_text(place, path, options))


def numbered_lines(text: str) -> list[tuple[int, str]]:
    """Returns the lines of a text that aren't blank, stripped, each with its number from 1."""
    lines = enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), 1)
    return [(number, line.strip()) for number, line in lines if line.strip()]


def split_fields(place: str, text: str) -> list[str]:
    """Returns the fields of a line of CSV, stripped; lines of a text in TOML become one.

    Raises:
        UsageError: It is none.
    """
    try:
        rows = list(csv.reader([" ".join(text.splitlines())], skipinitialspace=True))
    except csv.Error as error:
        raise UsageError(f"{place}: {text[:80]!r} is no line of CSV: {error}") from None
    return [field.strip() for row in rows for field in row]


def quote_field(text: str) -> str:
    """Returns a text as `split_fields` reads it as one field."""
    return '"{}"'.format(text.replace('"', '""')) if '"' in text or "," in text else text
