"""The images that `--image_ids` lists, by themselves or in files."""

import json
import os
import re
from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa

from open_images.building.named_files import numbered_lines, read_text, split_fields
from transforms.dataset.keys import read_image_ids
from transforms.errors import UsageError
from transforms.kinds.parsing.table import fold
from transforms.storage import files
from transforms.storage.objects import is_remote
from transforms.storage.stores import ObjectOptions

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
        plain = [_SPLIT_ID.sub("", each) for each in ids]
        _, keys, valid = read_image_ids(pa.array(plain, pa.string()))
        if not valid.all():
            at = int(np.argmin(valid))
            if not places[at]:
                raise UsageError(
                    f"{_FLAG}: {text[:80]!r} is neither a file nor an ImageID of 16 hex digits: "
                    "check it"
                )
            raise UsageError(
                f"{_FLAG}: {text}, {places[at]}: {ids[at][:80]!r} is no ImageID of 16 hex digits: "
                f"{_FORMS}"
            )
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
        rows = _read_rows(path, numbered_lines(text))
        places, ids = [f"line {number}" for number, _ in rows], [each for _, each in rows]
    if not ids:
        raise UsageError(f"{_FLAG}: {path} lists no image: {_FORMS}")
    return places, ids


def _read_json(path: str, text: str) -> list[str]:
    try:
        document = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise UsageError(f"{_FLAG}: {path} is no JSON: {error}: {_FORMS}") from None
    if not isinstance(document, list):
        raise UsageError(f"{_FLAG}: {path} holds no JSON list: {_FORMS}")
    return [str(each) for each in document]


def _read_rows(path: str, lines: Sequence[tuple[int, str]]) -> list[tuple[int, str]]:
    """Returns the ImageIDs in the lines of a list or of a CSV, with the numbers of the lines."""
    if not lines:
        return []
    number, first = lines[0]
    if "," not in first and fold(first) != "imageid":
        return [*lines]
    header = [fold(name) for name in split_fields(f"{_FLAG}: {path}, line {number}", first)]
    if "imageid" not in header:
        raise UsageError(
            f"{_FLAG}: {path}, line {number}: the header has no column ImageID: {_FORMS}"
        )
    at = header.index("imageid")
    rows = []
    for number, line in lines[1:]:
        place = f"{_FLAG}: {path}, line {number}"
        fields = line.split(",") if '"' not in line else split_fields(place, line)
        if len(fields) <= at:
            raise UsageError(f"{place}: lacks the column ImageID: mend the line, or drop it")
        rows.append((number, fields[at].strip()))
    return rows
