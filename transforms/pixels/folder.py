"""Walking a folder of pictures or masks."""

import os
import posixpath
from collections.abc import Iterator

import xxhash

from transforms.failures import Reason
from transforms.pixels.members import Member
from transforms.storage.files import DEFAULTS, LOOP, NO_FILE, Entry, walk, walk_linked
from transforms.storage.objects import is_remote
from transforms.storage.stores import ObjectOptions


def walk_folder(path: str, options: ObjectOptions = DEFAULTS) -> Iterator[Member]:
    """Its files, at any depth, in an order that depends on their names alone, with absolute paths.

    In an object store that is the order of their keys. Links are followed, wherever they lead; each
    folder is entered once.
    """
    if is_remote(path):
        for entry in walk(path, options):
            name = posixpath.relpath(entry.path, path)
            stamp = xxhash.xxh3_64_intdigest(str(entry.version).encode()) >> 1  # 63 bits
            yield Member(name, entry.path, 0, entry.size, stamp=stamp)
        return
    for entry in walk_linked(os.path.realpath(path)):
        if entry.trouble != LOOP:  # its files are listed without the link
            yield _member(entry)


def _member(entry: Entry) -> Member:
    reason = Reason.UNSAFE_PATH if entry.trouble == NO_FILE else Reason.MISSING
    refusal = (reason, entry.trouble) if entry.trouble else None
    status = entry.entry.stat(follow_symlinks=not entry.trouble)
    return Member(
        entry.name, entry.path, 0, status.st_size, refusal=refusal, stamp=status.st_mtime_ns
    )
