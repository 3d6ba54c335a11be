"""Selection files: flags as TOML, or as the manifest of a version records them."""

import dataclasses
import hashlib
import os
import re
import tomllib
from collections.abc import Mapping
from typing import Any, TypeVar

from open_images.building.named_files import quote_field, read_content, split_fields
from open_images.building.selection_flags import SelectionFlags
from open_images.values import did_you_mean
from transforms.dataset.naming import IMAGE_IDS
from transforms.errors import UsageError
from transforms.redaction import redact_url
from transforms.releases.manifest import Manifest, ManifestError
from transforms.storage import files
from transforms.storage.stores import ObjectOptions

_FLAG = "--selection"
_Flags = TypeVar("_Flags", bound=SelectionFlags)
_NAMES = tuple(
    field.name for field in dataclasses.fields(SelectionFlags) if field.name != "selection"
)
#: With its split before it or without.
_IMAGE_ID = re.compile(r"(\w+/)?[0-9a-fA-F]{16}")
#: Flags that exclude each other: where one is given, the file's other one is ignored.
_NUMBERING = ("classes_from", "label_map")


def with_selection_file(flags: _Flags, options: ObjectOptions = files.DEFAULTS) -> _Flags:
    """Returns flags with those of their selection file, unless they are given by themselves.

    Args:
        flags: any that have those of a selection.
        options: how object stores are reached.

    Raises:
        UsageError: There is no such file, or it isn't one.
    """
    if flags.selection is None:
        return flags
    fields = {field.name: field for field in dataclasses.fields(flags)}
    path, shown = flags.selection, redact_url(flags.selection)
    content = read_content(_FLAG, path, options)
    if content.lstrip().startswith(b"{"):
        found = _read_manifest(path, content, options)
    else:
        found = _read_toml(path, content)
    values = {}
    for name in (name for name in found if name in fields):  # a program may have no splits
        try:
            values[name] = fields[name].metadata["convert"](found[name])
        except (UsageError, TypeError) as error:
            cause = f"{found[name]!r} is of the wrong type" if type(error) is TypeError else error
            place = f"{_FLAG} {shown}{_line_of(name, content)}"
            raise UsageError(f"{place}: {name}: {cause}: mend it there") from None
    given = {name for name in values if getattr(flags, name) not in (None, ())}
    if any(getattr(flags, name) is not None for name in _NUMBERING):
        given.update(_NUMBERING)
    kept = {name: value for name, value in values.items() if name not in given}
    return dataclasses.replace(flags, **kept)


def _read_toml(path: str, content: bytes) -> dict[str, Any]:
    """Returns the flags of a TOML file; paths in it are relative to its folder.

    Raises:
        UsageError: It isn't one.
    """
    shown, names = redact_url(path), (*_NAMES, "splits")
    try:
        document = tomllib.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise UsageError(f"{_FLAG} {shown} isn't text in UTF-8: save it as such") from None
    except (ValueError, RecursionError) as error:  # or a number is too long
        raise UsageError(
            f"{_FLAG} {shown} is no TOML: {error}: write FLAG = VALUE lines, such as "
            "classes = ['Cat', 'Dog']"
        ) from None
    for name in document:
        if name not in names:
            hint = did_you_mean(name, names) or f": use {', '.join(names)}"
            raise UsageError(
                f"{_FLAG} {shown}{_line_of(name, content)}: {name!r} is no flag of a selection"
                f"{hint}"
            )
    folder = os.path.dirname(path)
    for name, rebase in (("classes", _rebase_classes), ("image_ids", _rebase_image_ids)):
        if isinstance(value := document.get(name), str | list):
            texts = [value] if isinstance(value, str) else value
            document[name] = rebase(folder, [str(text) for text in texts])
    if isinstance(document.get("label_map"), str):
        document["label_map"] = os.path.join(folder, document["label_map"])
    return document


def _rebase_classes(folder: str, texts: list[str]) -> list[str]:
    """Returns terms of `--classes` with the paths of files below a folder."""
    terms = [term for text in texts for term in split_fields(f"{_FLAG}: classes", text)]
    rebased = []
    for term in terms:
        sign, at, path = term.partition("@")
        is_file = at and sign.strip() in ("", "!")
        rebased.append(f"{sign}@{os.path.join(folder, path)}" if is_file else term)
    return [quote_field(each) for each in rebased]


def _rebase_image_ids(folder: str, texts: list[str]) -> list[str]:
    """Returns ImageIDs as they are, and the paths of files below a folder."""
    return [text if _IMAGE_ID.fullmatch(text) else os.path.join(folder, text) for text in texts]


def _line_of(name: str, content: bytes) -> str:
    """Returns the line of a TOML file that sets a key, as messages name it."""
    lines = content.decode(errors="replace").splitlines()
    key = re.compile(rf"\s*[\"']?{re.escape(name)}[\"']?\s*=|\s*\[+\s*{re.escape(name)}\s*\]")
    number = next((i for i, line in enumerate(lines, 1) if key.match(line)), 0)
    return f", line {number}" if number else ""


def _read_manifest(path: str, content: bytes, options: ObjectOptions) -> dict[str, Any]:
    """Returns the flags that select what a version has, by its manifest.

    Raises:
        UsageError: It isn't a manifest, or the version holds everything.
    """
    shown = redact_url(path)
    try:
        selection = Manifest.decode(content).selection
    except ManifestError as error:
        raise UsageError(
            f"{_FLAG} {shown}: {error}: name a TOML file, or the manifest.json of a version"
        ) from None
    if selection is None:
        raise UsageError(
            f"{_FLAG} {shown}: that version was built without a selection: leave --selection out"
        )
    try:
        flags = {name: selection[name] for name in selection if selection[name] is not None}
        if "classes" in flags:
            flags["classes"] = ["|".join(term) for term in flags["classes"]]
        if "image_ids" in flags:
            flags["image_ids"] = [_find_list(path, flags["image_ids"], options)]
    except (TypeError, KeyError, AttributeError) as error:
        raise UsageError(
            f"{_FLAG} {shown}: its selection isn't as a build writes it ({error!r}): name another"
        ) from None
    return flags


def _find_list(path: str, listed: Mapping[str, Any], options: ObjectOptions) -> str:
    """Returns the path of the list of images that a manifest describes, which lies beside it.

    Raises:
        UsageError: It isn't there, or has changed.
    """
    place, name = f"{_FLAG} {redact_url(path)}", IMAGE_IDS
    beside = os.path.join(os.path.dirname(path), name)
    if hashlib.sha256(read_content(place, beside, options)).hexdigest() != listed["sha256"]:
        raise UsageError(f"{place}: {name} beside it has changed: name another version's manifest")
    return beside
