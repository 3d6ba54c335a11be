"""Walking a folder of pictures or masks."""

import os
import posixpath
import stat
from collections.abc import Iterator

import xxhash

from transforms.failures import Reason
from transforms.pixels.members import Member
from transforms.storage.files import DEFAULTS, walk
from transforms.storage.objects import is_remote
from transforms.storage.stores import ObjectOptions


def walk_folder(path: str, options: ObjectOptions = DEFAULTS) -> Iterator[Member]:
    """Its files, at any depth, in an order that depends on their names alone, with absolute paths.

    In an object store that is the order of their keys.

    A link to a file is followed only where it stays within the folder. A linked folder isn't
    entered: refused when it lies outside, and otherwise walked at its own place.
    """
    if is_remote(path):
        for entry in walk(path, options):
            name = posixpath.relpath(entry.path, path)
            stamp = xxhash.xxh3_64_intdigest(str(entry.version).encode()) >> 1  # 63 bits
            yield Member(name, entry.path, 0, entry.size, stamp=stamp)
        return
    root = os.path.realpath(path)
    for folder, folders, files, descriptor in os.fwalk(root):
        folders.sort()
        inside = os.path.relpath(folder, root).replace(os.sep, "/")
        prefix = "" if inside == "." else inside + "/"
        for name in folders:
            full = os.path.join(folder, name)
            if os.path.islink(full) and not _is_within(root, full):
                yield Member(prefix + name, full, 0, 0, refusal=_outside(full))
        full = os.path.join(folder, "")
        for name in sorted(files):
            status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            yield _file(root, prefix + name, full + name, status)


def _file(root: str, name: str, full: str, status: os.stat_result) -> Member:
    refusal = None
    if stat.S_ISLNK(status.st_mode):
        if not _is_within(root, full):
            refusal = _outside(full)
        elif not os.path.isfile(full):
            refusal = (Reason.UNSAFE_PATH, "a link that doesn't lead to a file")
        else:
            status = os.stat(full)
    elif not stat.S_ISREG(status.st_mode):
        refusal = (Reason.UNSAFE_PATH, "not a regular file")
    return Member(name, full, 0, status.st_size, refusal=refusal, stamp=status.st_mtime_ns)


def _is_within(root: str, link: str) -> bool:
    return os.path.realpath(link).startswith(os.path.join(root, ""))


def _outside(link: str) -> tuple[Reason, str]:
    return Reason.UNSAFE_PATH, f"a link that leaves the folder, to {os.path.realpath(link)!a}"
