"""Checks of what lies around the versions: `latest`, the pins and the dataset card."""

import hashlib
import os
from collections.abc import Iterator

from transforms.dataset.naming import MANIFEST
from transforms.releases import card
from transforms.releases.manifest import Manifest, ManifestError
from transforms.releases.output import ENTRIES, LatestError, Output, is_name, list_names
from transforms.storage import files
from transforms.storage.objects import is_remote
from transforms.storage.regular import IrregularError, irregular_kind

_PIN_BYTES = 512
_CARD_REMEDY = "delete it, and the next build writes it anew"


def check_pointer(output: Output, name: str) -> Iterator[str]:
    """Yields a line where `latest` isn't, byte for byte, as a build writes it for this version.

    Raises:
        OSError: It can't be read.
        StorageError: The object store can't be read.
    """
    try:
        data = files.read_unlinked(output.latest_path, output.options, len(name) + 2)
    except IrregularError as error:
        raise LatestError(output.path, str(error)) from None
    if data != f"{name}\n".encode():
        yield "latest: isn't as a build writes it, the version's name and a line break"


def check_pins(output: Output) -> Iterator[str]:
    """Yields a line for each pin that is damaged, or of a version that isn't there.

    Raises:
        OSError: One can't be read.
        StorageError: The object store can't be read.
    """
    pins = os.path.dirname(output.pin_path(""))
    if not is_remote(pins) and os.path.lexists(pins) and not os.path.isdir(pins):
        yield f"pins: is {irregular_kind(pins) or 'a file'}, not a folder: no version is pinned"
    for name in sorted(output.pinned()):
        if not is_name(name) or not output.is_published(name):
            yield f"pins/{name}: there is no such version: was it lost, or the pin renamed?"
            continue
        try:
            data = files.read_unlinked(output.pin_path(name), output.options, _PIN_BYTES)
        except IrregularError as error:
            yield f"pins/{name}: isn't as it was written: {error}"
            continue
        if data != f"{name}\n".encode():
            yield f"pins/{name}: isn't as it was written: unpin and pin the version again"


def find_strangers(output: Output) -> Iterator[str]:
    """Yields a line for each file or folder beside the versions that no program of ours has made.

    They are no problem: no reader goes by them, and systems leave files such as `.DS_Store`.

    Raises:
        OSError: The output can't be read.
        StorageError: The object store can't be read.
    """
    for name in list_names(output.path, output.options):
        if name not in ENTRIES:
            yield f"{name}: isn't of this output"


def check_versions(output: Output, checked: str) -> Iterator[str]:
    """Yields a line for each file or folder among the versions that is none.

    Args:
        output: where versions are published.
        checked: the name of the version that is looked at by itself.

    Raises:
        OSError: The output can't be read.
    """
    if is_remote(output.path):  # where a version being published or removed lacks its manifest
        return
    for name in list_names(os.path.join(output.path, "versions"), output.options):
        if name != checked and not output.is_published(name):
            yield f"versions/{name}: isn't a version, for it has no {MANIFEST}"


def check_card(output: Output, name: str, manifest: Manifest) -> tuple[str, str]:
    """Compares the dataset card with the latest version.

    Args:
        output: where it is published.
        name: the version that `latest` names.
        manifest: its manifest.

    Returns:
        A problem and a note; each a line, or empty.

    Raises:
        StorageError: The object store can't be read.
    """
    path = os.path.join(output.path, card.NAME)
    if not is_remote(path) and os.path.lexists(path) and (kind := irregular_kind(path)):
        return "", f"{card.NAME}: is {kind}, so isn't checked"
    found = card.read(output.path, output.options)
    if found is None:
        return "", f"{card.NAME}: is missing: datasets.load_dataset goes by it, so build again"
    expected = card.render(name, manifest.splits)
    if found == expected or _has_checksum(found, manifest):
        return "", ""
    other = card.version_of(found)
    if other is None:
        if expected.startswith(found) or card.was_card(found):
            return f"{card.NAME}: isn't as it was written: {_CARD_REMEDY}", ""
        return "", f"{card.NAME}: is somebody's own, so isn't checked"
    if other != name and _is_card_of(found, output, other):
        return "", f"{card.NAME}: is that of {other}: the next build writes that of the latest"
    return f"{card.NAME}: isn't as it was written: the next build writes it anew", ""


def _has_checksum(found: bytes, manifest: Manifest) -> bool:
    """Returns whether a card is the one that the build wrote, of whatever release."""
    return manifest.card is not None and hashlib.sha256(found).hexdigest() == manifest.card.sha256


def _is_card_of(found: bytes, output: Output, name: str) -> bool:
    """Returns whether a card is as the build of another published version wrote it."""
    if not output.is_published(name):
        return False
    try:
        manifest = output.manifest(name)
    except ManifestError:
        return False
    return found == card.render(name, manifest.splits) or _has_checksum(found, manifest)
