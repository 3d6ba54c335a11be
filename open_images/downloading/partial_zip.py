"""A zip on a server, of which only the directory and some ranges are downloaded."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from open_images.downloading.client import (
    Answer,
    Client,
    DownloadError,
    MissingError,
    PassingError,
)
from open_images.downloading.plan import Item
from transforms.sources.members import Member
from transforms.storage.claims import ArchiveError
from transforms.storage.zips import find_directory

#: What is asked for first: the end of a zip, where its directory is, or what says where that is.
TAIL_BYTES = 128 << 10
#: Bytes that are asked for at once, about.
_RANGE_BYTES = 4 << 20
#: Ranges that are no further apart are asked for as one, which takes no longer than to ask twice.
GAP_BYTES = 64 << 10
#: What a member has before its data at most: its header, name and extra fields.
_HEADER_BYTES = 30 + 2 * 0xFFFF


class NoRangesError(Exception):
    """The server answers with whole files alone."""


class PartialZip:
    """A zip on a server, and a local file that gets ranges of it at the places that they have.

    Attributes:
        path: the local file, as long as the zip.
        received: bytes that were downloaded.
        directory: the place where the zip's directory starts, once it is open.
    """

    def __init__(self, item: Item, client: Client, path: Path) -> None:
        """Prepares the local file.

        Args:
            item: the zip.
            client: asks for it.
            path: of the local file, which isn't there yet.
        """
        self.path = path
        self.received = self.directory = 0
        self._item, self._client = item, client
        self._url = self._validator = ""
        self._size = self._tail = 0
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)

    def open(self) -> None:
        """Downloads the directory.

        Raises:
            NoRangesError: The server has the zip, but answers no ranges.
            DownloadError: It can't be had, or isn't as it is published.
            StoppedError: The user wants no more.
        """
        errors = []
        for url in self._item.urls:
            self._url = url
            try:
                start, stop = self._client.persevere(self._ask_for_tail, lambda: 0)
                break
            except MissingError as error:
                errors.append(error)
        else:
            raise errors[0]
        self.fetch(stop, self._size)
        self._tail = start
        try:
            with open(self.path, "rb") as file:
                self.directory = find_directory(file).start
        except ArchiveError as error:
            raise DownloadError(f"{self._url}: {error}") from None
        self.fetch(self.directory, self._size)

    def close(self) -> None:
        """Removes the local file."""
        os.close(self._descriptor)
        self.path.unlink(missing_ok=True)

    def fetch(self, start: int, stop: int) -> None:
        """Downloads the bytes from `start` to `stop`, but for the end of the zip that is there.

        Raises:
            DownloadError: They can't be had, or the zip has changed meanwhile.
            StoppedError: The user wants no more.
        """
        at, stop = start, min(stop, self._tail)

        def attempt() -> None:
            nonlocal at
            if at >= stop:
                return
            headers = {"Range": f"bytes={at}-{stop - 1}"}
            if self._validator:
                headers["If-Range"] = self._validator
            with self._client.get(self._url, headers) as answer:
                if (answer.status, answer.range_start, answer.total) != (206, at, self._size):
                    raise DownloadError(f"{self._url} has changed: run the same command again")
                for place in self._write(answer, at, stop):
                    at = place
            if at < stop:
                raise PassingError(f"the connection ended {stop - at} bytes early")

        self._client.persevere(attempt, lambda: at)

    def _ask_for_tail(self) -> tuple[int, int]:
        """Asks for the end of the zip, and learns how long that is.

        Returns:
            Where it begins, and up to where it came before the connection ended.
        """
        with self._client.get(self._url, {"Range": f"bytes=-{TAIL_BYTES}"}) as answer:
            if answer.status == 200:
                raise NoRangesError
            size, start = answer.total, answer.range_start
            if size is None or start is None:
                raise DownloadError(f"{self._url}: the server doesn't say which bytes it sends")
            if self._item.size not in (None, size):
                published = f"not the {self._item.size} published"
                raise DownloadError(f"{self._url} has {size} bytes, {published}")
            self._size = self._tail = size
            self._validator = answer.validator
            os.ftruncate(self._descriptor, size)
            at = start
            with contextlib.suppress(PassingError):
                for place in self._write(answer, start, size):
                    at = place
        return start, at

    def _write(self, answer: Answer, at: int, stop: int) -> Iterator[int]:
        """Writes what an answer has up to `stop`, and yields the place behind each chunk."""
        for chunk in answer.chunks:
            self.received += len(chunk)
            chunk = chunk[: stop - at]
            at += os.pwrite(self._descriptor, chunk, at)
            yield at


class Span(NamedTuple):
    """A range of a zip that holds members, in the order of their places."""

    start: int
    stop: int
    members: list[Member]


def plan_spans(members: Sequence[Member], offsets: np.ndarray, end: int) -> list[Span]:
    """Returns the ranges that hold some members of a zip, with few bytes of others.

    Args:
        members: some.
        offsets: those of all members.
        end: where the directory starts.
    """
    bounds = np.append(np.unique(offsets[offsets < end]), end)
    spans: list[Span] = []
    for member in sorted(members, key=lambda each: each.address.offset):
        start = min(member.address.offset, end)
        following = int(bounds[min(np.searchsorted(bounds, start, "right"), len(bounds) - 1)])
        stop = min(following, start + _HEADER_BYTES + member.address.size)
        last = spans[-1] if spans else None
        if last and start - last.stop <= GAP_BYTES and stop - last.start <= _RANGE_BYTES:
            last.members.append(member)
            spans[-1] = last._replace(stop=stop)
        else:
            spans.append(Span(start, stop, [member]))
    return spans
