"""Files and folders, by path on this machine or by URI in an object store, in the same few ways.

Local paths are used as they are, so that they cost what they always did.
"""

import contextlib
import io
import os
import re
import tempfile
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from transforms.storage import folders, objects
from transforms.storage.objects import AbsentError, Status, is_remote
from transforms.storage.regular import IrregularError, closing, open_regular, open_unlinked
from transforms.storage.stamps import PlannedFile, stamp_of
from transforms.storage.stores import ObjectOptions
from transforms.storage.streams import ObjectWriter, open_object

DEFAULTS = ObjectOptions()
_BUFFER_BYTES = 1 << 20
_AHEAD_BYTES = 1 << 20  # Linux may fetch no more at a time
# Of a file that is kept, what is written together: pictures one by one take Linux a quarter longer.
_GATHERED_BYTES = 1 << 20
_EAGER_BYTES = 8 << 20


def open_file(
    path: str,
    options: ObjectOptions = DEFAULTS,
    buffer_size: int = _BUFFER_BYTES,
    size: int | None = None,
    stamp: str = "",
) -> io.BufferedReader:
    """Opens a file to read and seek in.

    With a stamp, opening, reading or closing raises ChangedError unless the file still has it.

    Args:
        path: a local path or a URI.
        options: how object stores are reached.
        buffer_size: of an object; bytes that a request asks for at least.
        size: of an object, where it is known, which saves a request.
        stamp: of the file, as of `status_of`.

    Raises:
        ChangedError: It has another stamp, or is gone.
        OSError: It is a pipe, socket or device, or can't be opened.
        StorageError: The object can't be read.
    """
    if is_remote(path):
        return open_object(path, options, buffer_size, size, stamp)
    if stamp:
        return io.BufferedReader(PlannedFile(path, stamp))
    return open(path, "rb", opener=open_regular)


def read_ahead(path: str, start: int, stop: int) -> None:
    """Has the system fetch what will soon be read of a file, while other things are done.

    Of an object nothing is fetched.
    """
    if is_remote(path) or not hasattr(os, "posix_fadvise"):
        return
    with closing(open_regular(path)) as descriptor:
        for at in range(start, stop, _AHEAD_BYTES):
            size = min(_AHEAD_BYTES, stop - at)
            os.posix_fadvise(descriptor, at, size, os.POSIX_FADV_WILLNEED)


def create_file(path: str, options: ObjectOptions = DEFAULTS) -> BinaryIO | ObjectWriter:
    """Opens a file to write; an object appears when it is closed."""
    return ObjectWriter(path, options) if is_remote(path) else open(path, "wb")


def create_lasting_file(path: str, options: ObjectOptions = DEFAULTS) -> BinaryIO | ObjectWriter:
    """Opens a file to write that is to be kept: it goes to the disk while others are written."""
    if is_remote(path):
        return ObjectWriter(path, options)
    return io.BufferedWriter(_EagerFile(path), _GATHERED_BYTES)


class _EagerFile(io.FileIO):
    """A file to write whose bytes are on their way to the disk soon after they were written.

    Else they would stay in memory until it is full of them, or until `fsync`, which then takes as
    long as the disk needs for all of them, while nothing else is done.
    """

    def __init__(self, path: str) -> None:
        """Opens the file, replacing any that is there."""
        super().__init__(path, "wb")
        self._written = self._started = 0

    def write(self, data: Any, /) -> int:
        """Writes bytes; returns how many, which are fewer where the disk gets full."""
        written = super().write(data)
        self._written += written
        if self._written - self._started >= _EAGER_BYTES:
            self._start()
        return written

    def close(self) -> None:
        if not self.closed:
            self._start()
        super().close()

    def _start(self) -> None:
        if hasattr(os, "posix_fadvise"):  # Linux and the BSDs
            # Linux starts writing out what is said not to be needed, and keeps it meanwhile.
            size = self._written - self._started
            os.posix_fadvise(self.fileno(), self._started, size, os.POSIX_FADV_DONTNEED)
        self._started = self._written


def read_at(file: BinaryIO, place: int, size: int) -> bytes:
    """Returns so many bytes of an open file from a place on; fewer at its end."""
    file.seek(place)
    return file.read(size)


def read_file(path: str, options: ObjectOptions = DEFAULTS) -> bytes:
    """Returns the content of a small file; links are followed."""
    with open_file(path, options) as file:
        return file.read()


def read_unlinked(path: str, options: ObjectOptions = DEFAULTS, limit: int | None = None) -> bytes:
    """Returns the content of a file that anybody may have put there, or of an object.

    Args:
        path: a local path or a URI.
        options: how object stores are reached.
        limit: the most bytes that it may have.

    Raises:
        IrregularError: It is a link, folder, pipe, socket or device, or has too many bytes.
        OSError: It isn't there, or can't be read.
        StorageError: The object store can't be read.
    """
    with (
        open_file(path, options) if is_remote(path) else open(path, "rb", opener=open_unlinked)
    ) as file:
        data = file.read() if limit is None else file.read(limit + 1)
    if limit is not None and len(data) > limit:
        raise IrregularError(f"it has more than {limit:,} bytes")
    return data


def write_file(path: str, data: bytes, scratch: str, options: ObjectOptions = DEFAULTS) -> None:
    """Writes a small file so that a reader sees all of it or the old one, even after a power cut.

    Args:
        path: the file.
        data: its content.
        scratch: a folder of the same file system, where what a killed process leaves is no harm;
            not needed for an object.
        options: how object stores are reached.
    """
    if is_remote(path):
        objects.upload(path, data, options)
        return
    attempt = os.path.join(scratch, uuid.uuid4().hex)
    with open(attempt, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(attempt, path)
    sync(os.path.dirname(path))


def sync(path: str) -> None:
    """Makes the content of a local file, or what was renamed in a local folder, last."""
    if not is_remote(path):
        with closing(os.open(path, os.O_RDONLY)) as descriptor:
            os.fsync(descriptor)


def vanish(folder: str, in_background: bool = False) -> None:
    """Removes a local folder, so that nobody who still writes there gets anything out of it.

    Args:
        folder: it need not be there.
        in_background: returns once it isn't found any more. What isn't removed when this process
            ends lies beside it then, by a name that begins with its own and a dot.
    """
    gone = f"{folder}.{uuid.uuid4().hex}"
    with contextlib.suppress(OSError):
        os.rename(folder, gone)
    if in_background:
        threading.Thread(target=folders.remove, args=(gone,), daemon=True).start()
    else:
        folders.remove(gone)


def move_folder_away(path: str, scratch: str) -> None:
    """Moves a local folder that is where a file belongs, for no rename replaces it.

    Args:
        path: where the file is to be; a file or link there is left.
        scratch: a folder of the same file system, which is cleared away later.
    """
    if os.path.isdir(path) and not os.path.islink(path):
        os.rename(path, os.path.join(scratch, uuid.uuid4().hex))


@contextlib.contextmanager
def staged(target: str, scratch: str | None, options: ObjectOptions = DEFAULTS) -> Iterator[str]:
    """Yields a local path to write a large file at, which becomes `target` without an error.

    The file isn't flushed.

    Args:
        target: the file; what is there is replaced.
        scratch: a local folder for what is to be uploaded; None for the system's.
        options: how object stores are reached.
    """
    if is_remote(target):
        with tempfile.TemporaryDirectory(dir=scratch) as folder:
            attempt = os.path.join(folder, "attempt")
            yield attempt
            objects.upload(target, Path(attempt), options)
        return
    os.makedirs(os.path.dirname(target), exist_ok=True)
    attempt = f"{target}.{uuid.uuid4().hex}"
    try:
        yield attempt
        os.replace(attempt, target)
    finally:
        with contextlib.suppress(FileNotFoundError):
            # Where a retry finds a link to the same file, replacing it by another does nothing.
            os.remove(attempt)


def status_of(path: str, options: ObjectOptions = DEFAULTS) -> Status:
    """Size and version of a file: what `stamp_of` says, or an object's ETag."""
    if is_remote(path):
        return objects.status(path, options)
    status = os.stat(path)
    return Status(path, status.st_size, stamp_of(status), status.st_mtime)


def is_folder(path: str, options: ObjectOptions = DEFAULTS) -> bool:
    """Returns whether a path is a folder, or a prefix with objects below it."""
    if not is_remote(path):
        return os.path.isdir(path)
    bucket, key = objects.locate(path, options)
    return next(bucket.list(key), None) is not None


def walk(folder: str, options: ObjectOptions = DEFAULTS) -> Iterator[Status]:
    """Yields the objects below a prefix at any depth, in the order of their keys."""
    bucket, prefix = objects.locate(folder, options)
    return bucket.list(prefix)


def list_files(folder: str, options: ObjectOptions = DEFAULTS) -> list[str]:
    """Returns the paths of all files below a folder at any depth, in order; links are followed.

    None where there is no such folder.
    """
    if is_remote(folder):
        return sorted(entry.path for entry in walk(folder, options))
    found = folders.walk_linked(folder) if os.path.isdir(folder) else ()
    return sorted(entry.path for entry in found if not entry.trouble)


def expand(pattern: str, options: ObjectOptions = DEFAULTS) -> list[tuple[str, bool]]:
    """The paths that a path means, and whether each is a folder: itself, or what it matches as a
    glob, which in an object store are objects alone; in order."""
    if not is_remote(pattern):
        found = [pattern] if os.path.exists(pattern) else folders.match(pattern)
        return [(path, os.path.isdir(path)) for path in found]
    if is_folder(pattern, options):
        return [(pattern.rstrip("/"), True)]
    with contextlib.suppress(AbsentError):
        objects.status(pattern, options)
        return [(pattern, False)]
    magic = folders.MAGIC.search(pattern)
    if not magic:
        return []
    above = pattern[: magic.start()].rpartition("/")[0]
    wanted = re.compile(translate_glob(pattern))
    return [(path, False) for path in list_files(above, options) if wanted.fullmatch(path)]


def translate_glob(pattern: str) -> str:
    """Returns a glob as a regular expression: `*` and `?` stay within a name, `**/` is any folders.

    >>> import re
    >>> bool(re.fullmatch(translate_glob("a/**/*.csv"), "a/b/c/d.csv"))
    True
    """
    pieces = {"**/": "(?:[^/]+/)*", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    found = re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]/]+\])", pattern)
    return "".join(
        pieces.get(piece) or (piece.replace("[!", "[^") if i % 2 else re.escape(piece))
        for i, piece in enumerate(found)
    )


def delete_file(path: str, options: ObjectOptions = DEFAULTS) -> None:
    """Removes a file, if it is there."""
    with contextlib.suppress(FileNotFoundError, AbsentError):
        if is_remote(path):
            objects.delete(path, options)
        else:
            os.remove(path)


def delete_folder(folder: str, options: ObjectOptions = DEFAULTS) -> None:
    """Removes a folder with all that is in it, if it is there."""
    if is_remote(folder):
        objects.delete_below(folder, options)
    else:
        folders.remove(folder)
