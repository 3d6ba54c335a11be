"""The images that `--image_ids` lists, by themselves or in files."""

import csv
import io
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa

from open_images.building.named_files import numbered_lines, read_text
from transforms.dataset.keys import read_image_ids
from transforms.errors import UsageError
from transforms.kinds.parsing.table import fold
from transforms.storage import files
from transforms.storage.objects import is_remote
from transforms.storage.stores import ObjectOptions
from transforms.wording import clean

_FLAG = "--image_ids"
_SPLIT_ID = re.compile(r"^\s*(?:train|validation|val|test)/")
_FORMS = "write SPLIT/ID or ID a line, a CSV with a column ImageID, or a JSON list"


def read_keys(given: Iterable[str], options: ObjectOptions = files.DEFAULTS) -> np.ndarray:
    """Returns the keys of listed images, sorted, each once.

    Args:
        given: ImageIDs, with their split before them or without, or files of them.
        options: how object stores are reached.

    Raises:
        UsageError: A file can't be read, or holds something else.
    """
    found = []
    for text in given:
        if is_remote(text) or os.path.exists(text):
            places, ids = _read_file(text, options)
        else:
            places, ids = [""], [text]
        # Bytes of a command line that are no UTF-8 are in no ImageID.
        plain = [_SPLIT_ID.sub("", each).encode(errors="replace").decode() for each in ids]
        _, keys, valid = read_image_ids(pa.array(plain, pa.string()))
        if not valid.all():
            at = int(np.argmin(valid))
            wrong, form = clean(ids[at], 300), "an ImageID of 16 hex digits"
            if not places[at]:
                raise UsageError(
                    f"{_FLAG}: {wrong!r} is neither a file nor {form}: check it, and repeat the "
                    "flag for each"
                )
            place = f"{_FLAG}: {text}, {places[at]}"
            raise UsageError(f"{place}: {wrong!r} isn't {form}: {_FORMS}")
        found.append(keys)
    return np.unique(np.concatenate(found))


def _read_file(path: str, options: ObjectOptions) -> tuple[Sequence[str], list[str]]:
    """Returns where each ImageID of a file stands, and the ImageIDs.

    Raises:
        UsageError: It can't be read, or has none.
    """
    text = read_text(_FLAG, path, options)
    if text.lstrip().startswith(("[", "{")):
        ids = _read_json(path, text)
        places = [f"entry {number}" for number in range(1, len(ids) + 1)]
    else:
        rows = _read_rows(path, text)
        places, ids = [f"line {number}" for number, _ in rows], [each for _, each in rows]
    if not ids:
        raise UsageError(f"{_FLAG}: {path} lists no image: {_FORMS}")
    return places, ids


def _read_json(path: str, text: str) -> list[str]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:  # or a number is too long
        raise UsageError(f"{_FLAG}: {path} is no JSON: {error}: {_FORMS}") from None
    if not isinstance(document, list):
        raise UsageError(f"{_FLAG}: {path} holds no JSON list: {_FORMS}")
    return [str(each) for each in document]


def _read_rows(path: str, text: str) -> list[tuple[int, str]]:
    """Returns the ImageIDs in a list or a CSV, with the numbers of their lines.

    Raises:
        UsageError: It is neither.
    """
    lines = numbered_lines(text)
    if not lines or ("," not in lines[0][1] and fold(lines[0][1]) != "imageid"):
        return lines
    rows = _read_csv(path, text)
    first = next(rows, None)
    if first is None:
        return []
    at = _find_column(f"{_FLAG}: {path}, line {first[0]}", first[1])
    found = []
    for line, row in rows:
        if len(row) <= at:
            raise UsageError(
                f"{_FLAG}: {path}, line {line}: lacks the column ImageID: mend the line, or drop it"
            )
        found.append((line, row[at].strip()))
    return found


def _read_csv(path: str, text: str) -> Iterator[tuple[int, list[str]]]:
    """Yields the rows of a CSV that aren't blank, each with the number of its first line.

    Raises:
        UsageError: It is none.
    """
    reader = csv.reader(io.StringIO(text, newline=""))
    line = 1
    try:
        for row in reader:  # which may have line breaks in quotes
            if any(map(str.strip, row)):
                yield line, row
            line = reader.line_num + 1
    except csv.Error as error:
        raise UsageError(f"{_FLAG}: {path}, line {line}: no CSV: {error}: mend it") from None


def _find_column(place: str, header: Sequence[str]) -> int:
    names = [fold(name) for name in header]
    if "imageid" not in names:
        raise UsageError(f"{place}: the header has no column ImageID: {_FORMS}")
    return names.index("imageid")
