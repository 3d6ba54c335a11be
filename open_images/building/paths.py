"""Paths, globs and folders of inputs, local or in an object store, for all flags that take them."""

import os
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

from transforms.dataset.elements import LISTED, Source
from transforms.errors import UsageError
from transforms.redaction import redact_url
from transforms.storage import files
from transforms.storage.folders import walk_linked
from transforms.storage.objects import StorageError, is_remote, normal
from transforms.storage.regular import describe_other
from transforms.storage.stores import ObjectOptions

#: Forms of places whose members are listed.
CONTAINERS = ("folder", "tar", "zip")
#: All forms that `--images FORM=PATH` takes.
PICTURE_KINDS = (*CONTAINERS, "http")
#: Files that are looked at together.
AT_ONCE = 16

#: What a shell's `<(…)` and `< file` are called.
_OF_PROCESS = re.compile(r"/dev/(fd/|stdin$)|/proc/(self|\d+)/fd/")

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def unreadable(error: OSError) -> UsageError:
    """Returns the error for an input that can't be read."""
    problem = f"{error.filename} can't be read: {error.strerror}"
    return UsageError(f"{problem}: check the path and who may read it")


class File(NamedTuple):
    """A file in a folder that was named.

    Attributes:
        name: its path below the folder, with `/`.
        path: its whole path.
        trouble: why it can't be read; or empty.
    """

    name: str
    path: str
    trouble: str = ""


class Claimed:
    """Files that some flags name, by themselves or by a folder above them."""

    def __init__(self, sources: Iterable[Source] = (), paths: Iterable[str] = ()) -> None:
        listed = [source.path for source in sources if source.medium in LISTED]
        self._paths = {_real(path) for path in (*listed, *paths)}

    def holds(self, path: str) -> bool:
        """Returns whether a file is one of these, or lies below one."""
        real = _real(path)
        while real not in self._paths:
            above = posixpath.dirname(real)
            if above == real or not self._paths:
                return False
            real = above
        return True


def _real(path: str) -> str:
    return normal(path) if is_remote(path) else os.path.realpath(path)


def expand(flag: str, path: str, options: ObjectOptions) -> list[tuple[str, bool]]:
    """Returns the paths that an argument or its glob means, and whether each is a
    folder.

    Raises:
        UsageError: There is nothing, or something that is neither a file nor a folder.
        OSError: A folder can't be read.
    """
    if "://" in path and not is_remote(path):
        raise UsageError(f"{flag} {redact_url(path)}: use a local path, s3://… or gs://…")
    try:
        found = files.expand(path, options)
    except StorageError as error:
        raise UsageError(f"{flag} {redact_url(path)}: {error}") from None
    if not found:
        raise UsageError(f"{flag} {redact_url(path)}: no such file or folder: check the path")
    for each_path, _ in found:
        check_file(flag, each_path)
    return found


def check_file(flag: str, path: str) -> None:
    """Checks that a path is no pipe, socket or device, and no descriptor of a process.

    Raises:
        UsageError: It is.
    """
    if is_remote(path) or not os.path.exists(path):
        return
    what = describe_other(os.stat(path).st_mode)
    if not what and _OF_PROCESS.match(path):
        what = "known to one process alone"
    if what:
        raise UsageError(
            f"{flag} {path}: it is {what}, and inputs are read several times and by several "
            "processes: save it as a file and name that"
        )


def files_below(folder: str, options: ObjectOptions) -> Iterator[File]:
    """Yields the files below a folder at any depth; links are followed (see `folders.walk_linked`).

    Raises:
        OSError, StorageError: A folder can't be read.
    """
    if is_remote(folder):
        for entry in files.walk(folder, options):
            yield File(posixpath.relpath(entry.path, folder), entry.path)
    else:
        for name, path, _, trouble in walk_linked(folder):
            yield File(name, path, trouble)


def each(
    function: Callable[[_Item], _Result], items: Iterable[_Item], at_once: int = AT_ONCE
) -> Iterator[_Result]:
    """Calls a function for each of some files; yields results in order.

    Several calls run at a time, since object stores take a while to answer.
    """
    with ThreadPoolExecutor(at_once) as threads:
        yield from threads.map(function, items)
