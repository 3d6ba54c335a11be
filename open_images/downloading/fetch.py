"""One published file: resumed where it broke off, checked, and only then in its place."""

import fcntl
import os
from pathlib import Path
from typing import BinaryIO

from open_images.downloading.client import (
    Answer,
    Client,
    DownloadError,
    MissingError,
    PassingError,
)
from open_images.downloading.parallel import Meter
from open_images.downloading.plan import Item, digest
from transforms.storage import private


def fetch(item: Item, client: Client, meter: Meter) -> None:
    """Downloads a file, unless nobody serves it as the catalogue says that it is.

    Raises:
        DownloadError: It can't be had; the message names it.
        StoppedError: The user wants no more; what has arrived is kept.
    """
    item.path.parent.mkdir(parents=True, exist_ok=True)
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        with open(private.open_file(os.fspath(item.part), flags, 0o666), "ab") as file:
            _lock(file, item.part)
            _Download(item, client, meter, file).run()
    except private.ForeignError as error:
        raise DownloadError(f"{error.strerror}: have that removed") from None
    except DownloadError as error:
        if not item.part_size:
            item.part.unlink(missing_ok=True)
        raise DownloadError(f"{item.path.name}: {error}") from None


def _lock(file: BinaryIO, path: Path) -> None:
    """Keeps other processes off a part, and keeps off what another has just moved to its place."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(file.fileno()), path.stat()):
            return
    except (BlockingIOError, FileNotFoundError):
        pass
    raise DownloadError("another download of it is running")


class _Download:
    """The state of a download: the part, and what is known of the file that it is a part of.

    Which file the part began with is noted beside it, so that one that has changed meanwhile on the
    server is not patched together from two.
    """

    def __init__(self, item: Item, client: Client, meter: Meter, file: BinaryIO) -> None:
        self._item, self._client, self._meter, self._file = item, client, meter, file
        self._note = item.part.with_name(item.part.name + ".etag")
        self._size, self._checksum = item.size, item.checksum
        self._furthest = 0
        self._url = ""

    def run(self) -> None:
        item = self._item
        self._meter.add(self._file.tell())
        is_too_long = item.size is not None and self._file.tell() > item.size
        if is_too_long or not self._may_go_on():
            self._restart()
        resumed = self._file.tell() > 0
        self._receive()
        while self._checksum and digest(item.part, self._checksum) != self._checksum:
            self._restart()
            if not resumed:
                algorithm = self._checksum.partition(":")[0].upper()
                raise DownloadError(f"{self._url} has another {algorithm} than is published")
            resumed = False
            self._receive()
        os.fsync(self._file.fileno())
        os.replace(item.part, item.path)
        self._note.unlink(missing_ok=True)
        if not item.checksum:
            how = "by the server's own MD5 alone" if self._checksum else "by nothing but its length"
            self._meter.log(f"{item.path.name}: of unknown checksum, checked {how}")

    def _receive(self) -> None:
        """Asks the places where the file may be, one after the other, until it is complete."""
        errors = []
        for url in self._item.urls:
            self._url = url
            try:
                return self._client.persevere(self._attempt, lambda: self._furthest)
            except MissingError as error:
                errors.append(error)
        raise errors[0]

    def _attempt(self) -> None:
        start = self._file.tell()
        if start and start == self._size:
            return
        if start and not self._may_go_on():
            self._restart()
            start = 0
        headers = {"Range": f"bytes={start}-"} if start else {}
        if start and (validator := self._validator()):
            headers["If-Range"] = validator
        with self._client.get(self._url, headers) as answer:
            self._learn(answer)
            if answer.status == 416 or (answer.status == 206 and answer.range_start != start):
                if start != self._size:
                    self._restart()
                    raise PassingError("the server has no such range")
                return
            if answer.status == 200:
                self._restart()
                private.write_file(os.fspath(self._note), answer.validator.encode())
            for chunk in answer.chunks:
                self._write(chunk)
        have = self._file.tell()
        if self._size is not None and have < self._size:
            raise PassingError(f"the connection ended after {have} of {self._size} bytes")

    def _learn(self, answer: Answer) -> None:
        """Compares the server's file with the published one, or learns what that is."""
        total = answer.total
        if total is not None and self._item.size is not None and total != self._item.size:
            raise DownloadError(
                f"{self._url} has {total} bytes, not the {self._item.size} published"
            )
        if self._item.size is None and total is not None and total != self._size:
            self._meter.add(0, to_do=total - (self._size or 0))
            self._size = total
        if not self._item.checksum:
            self._checksum = answer.checksum

    def _write(self, chunk: bytes) -> None:
        if self._size is not None and self._file.tell() + len(chunk) > self._size:
            self._restart()
            raise DownloadError(f"{self._url} sends more than the {self._size} bytes it should")
        self._file.write(chunk)
        self._file.flush()
        self._furthest = max(self._furthest, self._file.tell())
        self._meter.add(len(chunk))

    def _restart(self) -> None:
        self._meter.add(-self._file.tell())
        self._file.truncate(0)
        self._file.seek(0)
        self._note.unlink(missing_ok=True)

    def _may_go_on(self) -> bool:
        """Returns whether a checksum or the server would show that the file has changed."""
        return bool(self._checksum or self._validator())

    def _validator(self) -> str:
        """Returns the ETag or date of the file that the part began with."""
        try:
            with open(private.open_file(os.fspath(self._note), os.O_RDONLY)) as file:
                return file.read()
        except FileNotFoundError:
            return ""
