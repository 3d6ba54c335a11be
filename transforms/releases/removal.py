"""Removes old versions, so that nobody sees half of one.

A version goes in two steps: it is hidden, by one rename on a file system and by deleting its
manifest in an object store, and then its files are deleted. `latest` and the pins are read again in
between, since somebody may have changed them: then the version is shown again.
"""

import os
import uuid

from transforms.releases import card
from transforms.releases.output import MANIFEST, LatestError, Output
from transforms.storage import files, objects
from transforms.storage.objects import is_remote


def old_versions(output: Output, keep: int) -> list[str]:
    """Returns the versions to remove, the oldest first.

    Args:
        output: where they are published.
        keep: how many of the newest to keep, beside the latest and those that are pinned.

    Raises:
        LatestError: One can't tell which version readers see.
    """
    names = output.published()
    latest = output.published_latest()
    kept = {*names[max(len(names) - keep, 0) :], *output.pinned(), latest}
    return [name for name in names if name not in kept]


def remove(output: Output, name: str, work: str) -> bool:
    """Removes a version.

    Args:
        output: where it is published.
        name: of the version.
        work: a folder of the output's file system, which is cleared away later if this process
            dies; not needed for an object store.

    Returns:
        Whether it is gone: not if it has become the latest, or was pinned, or went by itself.

    Raises:
        StorageError: The object store can't be read, or deleted from.
        OSError: A folder can't be changed.
    """
    folder = output.folder(name)
    if is_remote(folder):
        return _remove_objects(output, name, folder)
    hidden = os.path.join(work, uuid.uuid4().hex)
    try:
        os.rename(folder, hidden)
    except FileNotFoundError:
        return False
    if _wanted(output, name):
        os.rename(hidden, folder)
        return False
    files.sync(os.path.dirname(folder))
    files.delete_folder(hidden)
    return True


def _remove_objects(output: Output, name: str, folder: str) -> bool:
    path = os.path.join(folder, MANIFEST)
    try:
        manifest = files.read_file(path, output.options)
    except objects.AbsentError:
        return False
    files.delete_file(path, output.options)
    if _wanted(output, name):
        objects.upload(path, manifest, output.options)
        return False
    files.delete_folder(folder, output.options)
    return True


def _wanted(output: Output, name: str) -> bool:
    try:
        is_latest = output.latest() == name
    except LatestError:  # it may have been this one
        return True
    if is_latest or name in output.pinned():
        return True
    found = card.read(output.path, output.options)
    return found is not None and card.version_of(found) == name
