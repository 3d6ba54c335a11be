"""Folders of this machine: walked, matched by globs and removed, however deep they are."""

import contextlib
import errno
import fnmatch
import os
import re
import uuid
from collections import deque
from collections.abc import Iterator
from operator import attrgetter
from typing import NamedTuple

from transforms.storage.regular import closing

MAGIC = re.compile(r"[*?[]")

#: Opens a folder, and no link to one.
FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

#: The trouble of a pipe, socket or device.
NO_FILE = "not a regular file"
#: The trouble of a link that leads in circles.
LOOP = "a link to a folder that it lies in: not followed"

_NOWHERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


class Entry(NamedTuple):
    """A file below a folder of this machine.

    Attributes:
        name: its path below the folder, with `/`.
        path: its whole path.
        entry: the entry of `os.scandir`, for its status.
        trouble: why it can't be read: a link that can't be followed, or no regular file; or empty.
    """

    name: str
    path: str
    entry: os.DirEntry
    trouble: str = ""

    def status(self) -> os.stat_result | None:
        """Returns the status of the file, or of a link that can't be followed.

        None if the file has vanished since its folder was listed.
        """
        try:  # there may be millions: `contextlib.suppress` takes as long as the status
            return self.entry.stat(follow_symlinks=not self.trouble)
        except FileNotFoundError:
            return None


class Folder(NamedTuple):
    """A folder that is walked.

    Attributes:
        inside: its path below the top, with `/` behind.
        path: its whole path.
    """

    inside: str
    path: str


def walk_linked(folder: str) -> Iterator[Entry]:
    """Yields the files below a local folder at any depth, in an order that depends on names alone.

    Links to files and folders are followed, wherever they lead. Each folder is entered once,
    without a link if possible, and linked folders come last.

    Raises:
        OSError: A folder can't be read.
    """
    for _, entries in walk_folders(folder):
        yield from entries


def walk_folders(top: str) -> Iterator[tuple[Folder, list[Entry]]]:
    """Yields the folders at and below a folder, as `walk_linked` does, each with its files.

    Raises:
        OSError: A folder can't be read.
    """
    entered: set[tuple[int, int]] = set()
    links = deque([Folder("", top)])
    while links:
        folders = [links.popleft()]
        while folders:
            folder = folders.pop()
            try:
                status = os.stat(folder.path)
                if (status.st_dev, status.st_ino) in entered:
                    continue
                entered.add((status.st_dev, status.st_ino))
                with os.scandir(folder.path) as found:
                    entries = sorted(found, key=attrgetter("name"))
            except FileNotFoundError:
                if folder.inside:  # it has vanished since the folder above was listed
                    continue
                raise
            files: list[Entry] = []
            below: list[Folder] = []
            for entry in entries:
                name = folder.inside + entry.name
                if entry.is_file(follow_symlinks=False):  # nearly all
                    files.append(Entry(name, entry.path, entry))
                elif entry.is_dir(follow_symlinks=False):
                    below.append(Folder(f"{name}/", entry.path))
                else:
                    trouble = _link_trouble(entry.path) if entry.is_symlink() else NO_FILE
                    if os.path.isdir(entry.path) and not trouble:
                        links.append(Folder(f"{name}/", entry.path))
                    else:
                        files.append(Entry(name, entry.path, entry, trouble))
            yield folder, files
            folders += reversed(below)


def _link_trouble(link: str) -> str:
    """Returns why a link can't be followed; empty where it leads to a file or folder.

    Raises:
        OSError: Where it leads can't be told, since a folder on the way can't be read.
    """
    try:
        os.stat(link)
    except OSError as error:
        if error.errno not in _NOWHERE:
            raise
        with contextlib.suppress(OSError):
            return f"a link that leads nowhere, to {os.readlink(link)!a}"
        return "a link that leads nowhere"
    if os.path.isdir(link):
        return LOOP if _is_loop(link) else ""
    return "" if os.path.isfile(link) else NO_FILE


def _is_loop(link: str) -> bool:
    """Returns whether a link leads to a folder above itself."""
    target = os.path.join(os.path.realpath(link), "")
    return os.path.join(os.path.realpath(os.path.dirname(link)), "").startswith(target)


def match(pattern: str) -> list[str]:
    """Returns the paths that a glob matches, sorted: as `glob.glob` does, but for three things.

    `**` enters each folder once, so that links in circles end; a folder that can't be read is an
    error; and folders may be nested to any depth.

    Raises:
        OSError: A folder can't be read.
    """
    found = ["/" if pattern.startswith("/") else ""]
    parts = [part for part in pattern.split("/") if part]
    for at, part in enumerate(parts):
        is_last = at == len(parts) - 1
        if part == "**":
            found = [below for path in found for below in _all_below(path, is_last)]
        elif MAGIC.search(part):
            found = [below for path in found for below in _matching(path, part)]
        else:
            found = [path + part for path in found]
        if not is_last:
            found = [os.path.join(path, "") for path in found]
    if not pattern.endswith("/"):
        return sorted({path.rstrip("/") or "/" for path in found if _is_there(path)})
    return sorted({os.path.join(path, "") for path in found if os.path.isdir(path)})


def _is_there(path: str) -> bool:
    """Returns whether there is a file, folder or link; raises OSError where that can't be told."""
    with _suppress_nowhere():
        os.lstat(path)
        return True
    return False


@contextlib.contextmanager
def _suppress_nowhere() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _NOWHERE:
            raise


def _matching(folder: str, part: str) -> list[str]:
    """Returns what in a folder has a name that matches; nothing where it is no folder."""
    names: list[str] = []
    with _suppress_nowhere():
        names = fnmatch.filter(os.listdir(folder or "."), part)
    return [folder + name for name in names if part.startswith(".") or not name.startswith(".")]


def _all_below(folder: str, with_files: bool) -> Iterator[str]:
    """Yields a folder and those below it, with `/` behind, and their files; none that is hidden."""
    if not os.path.isdir(folder or "."):
        return
    for (inside, _), files in walk_folders(folder or "."):
        if inside.startswith(".") or "/." in inside:
            continue
        yield folder + inside
        if with_files:
            names = ((file.name, file.name.rpartition("/")[2]) for file in files)
            yield from (folder + path for path, name in names if not name.startswith("."))


def remove(folder: str) -> None:
    """Removes a folder with all that is in it, however deep; of a link, the link alone.

    Links in it are never followed, not even those that another user puts there meanwhile. What
    can't be removed stays.
    """
    try:
        top = os.open(folder, FOLDER_FLAGS)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(folder)
        return
    with closing(top):
        # What is in a folder goes up to the top first: no path is long, and nothing is nested.
        pending = _empty(top, top)
        while pending:
            name = pending.pop()
            with contextlib.suppress(OSError):
                with closing(os.open(name, FOLDER_FLAGS, dir_fd=top)) as descriptor:
                    pending += _empty(descriptor, top)
                os.rmdir(name, dir_fd=top)
    with contextlib.suppress(OSError):
        os.rmdir(folder)


def _empty(folder: int, top: int) -> list[str]:
    """Removes the files of an open folder, and moves its folders up to an open one.

    Returns:
        The names of those folders there.
    """
    with os.scandir(folder) as found:
        entries = list(found)
    moved = []
    for entry in entries:
        with contextlib.suppress(OSError):
            if not entry.is_dir(follow_symlinks=False):
                os.unlink(entry.name, dir_fd=folder)
            elif folder == top:
                moved.append(entry.name)
            else:
                name = uuid.uuid4().hex
                try:
                    os.rename(entry.name, name, src_dir_fd=folder, dst_dir_fd=top)
                    moved.append(name)
                except OSError:  # it isn't to be written to, or is another file system
                    os.rmdir(entry.name, dir_fd=folder)
    return moved
