"""Walking a folder of pictures or masks."""

import os
import posixpath
from collections.abc import Iterator

from transforms.dataset.failures import Reason
from transforms.sources.members import Member
from transforms.storage.files import DEFAULTS, walk
from transforms.storage.folders import LOOP, NO_FILE, Entry, walk_linked
from transforms.storage.objects import is_remote
from transforms.storage.stamps import number_of, stamp_of
from transforms.storage.stores import ObjectOptions


def walk_folder(path: str, options: ObjectOptions = DEFAULTS) -> Iterator[Member]:
    """Its files, at any depth, in an order that depends on their names alone, with absolute paths.

    In an object store that is the order of their keys. Links are followed, wherever they lead; each
    folder is entered once. A file that vanishes while its folder is listed isn't there.
    """
    if is_remote(path):
        for entry in walk(path, options):
            name = posixpath.relpath(entry.path, path)
            yield Member(name, entry.path, 0, entry.size, stamp=number_of(entry.stamp))
        return
    for entry in walk_linked(os.path.realpath(path)):
        if entry.trouble == LOOP:  # its files are listed without the link
            continue
        if status := entry.status():
            stamp = number_of(stamp_of(status))
            yield Member(
                entry.name, entry.path, 0, status.st_size, refusal=_refusal(entry), stamp=stamp
            )


def _refusal(entry: Entry) -> tuple[Reason, str] | None:
    reason = Reason.UNSAFE_PATH if entry.trouble == NO_FILE else Reason.MISSING
    return (reason, entry.trouble) if entry.trouble else None
