"""HTTP for downloads: streamed, and errors that may pass apart from others."""

import base64
import itertools
import math
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar

from transforms.redaction import redact
from transforms.storage.endpoints import quoted
from transforms.storage.http.handle import PASSING_ERRORS, PASSING_STATUSES, SLOWEST, Handle
from transforms.storage.http.libcurl import pycurl
from transforms.storage.retry import Attempts, Retry, seconds_asked

#: After so many failures without a byte of progress between them a file is given up.
RETRY = Retry(retries=5, total_seconds=math.inf, first_wait=2, longest_wait=120)

_CONNECT_SECONDS = 20.0
_MAX_REDIRECTS = 5
#: How often it is looked whether the user has interrupted.
_POLL_SECONDS = 0.2
_T = TypeVar("_T")


class DownloadError(Exception):
    """A file can't be had; the message is one line."""

    def __init__(self, message: str) -> None:
        super().__init__(redact(message))


class MissingError(DownloadError):
    """The server says that there is no such file, or not for us."""


class PassingError(Exception):
    """What may be better on another try, by the server's word not before `wait` seconds."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


class StoppedError(Exception):
    """The user has interrupted the download."""


class Answer:
    """A response whose body is still to be read.

    Attributes:
        status: of HTTP.
        range_start: where the body begins in the file, if the server says so.
        total: bytes of the file; None if the server doesn't say so.
        validator: a strong ETag, or the date of the file; empty if there is neither.
        checksum: the MD5 that Google Cloud Storage sends along, with its algorithm; or empty.
        chunks: the body as it comes, which may raise PassingError and StoppedError.
    """

    def __init__(self, handle: Handle, chunks: Iterator[bytes]) -> None:
        self.status = handle.status
        self.chunks = chunks
        content_range = handle.header(b"content-range")
        found = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", content_range)
        self.range_start = int(found[1]) if found and found[1] else None
        length = handle.header(b"content-length")
        total = length if self.status == 200 else found[2] if found else ""
        self.total = int(total) if total.isdigit() else None
        # A weak ETag says that files mean the same, not that they are the same bytes.
        etag = handle.header(b"etag")
        strong = etag if etag.startswith('"') else ""
        self.validator = strong or handle.header(b"last-modified")
        md5 = re.search(r"\bmd5=([\w+/]{22}==)", handle.header(b"x-goog-hash"))
        self.checksum = f"md5:{base64.b64decode(md5[1]).hex()}" if md5 else ""


class _Connection:
    """A thread's connections, which serve one request after another."""

    def __init__(self, timeout: float, stop: threading.Event) -> None:
        self._timeout, self._stop = timeout, stop
        self._chunks: list[bytes] = []
        self._handle = Handle(min(timeout, _CONNECT_SECONDS), timeout, self._chunks.append)
        self._handle.curl.setopt(pycurl.FOLLOWLOCATION, 1)
        self._handle.curl.setopt(pycurl.MAXREDIRS, _MAX_REDIRECTS)
        self._multi = pycurl.CurlMulti()

    @contextmanager
    def ask(self, url: str, headers: dict[str, str]) -> Iterator[Answer]:
        """Asks for a URL, and yields the answer; the end of the context breaks its body off."""
        handle, chunks = self._handle, self._receive(url)
        handle.prepare(quoted(url), headers=[f"{name}: {value}" for name, value in headers.items()])
        self._chunks.clear()
        self._multi.add_handle(handle.curl)
        try:
            first = next(chunks, b"")  # by which the headers are there
            _check_status(url, handle)
            yield Answer(handle, itertools.chain([first], chunks))
        finally:
            self._multi.remove_handle(handle.curl)

    def _receive(self, url: str) -> Iterator[bytes]:
        """Yields the body of the answer as it comes; the headers come before its first chunk."""
        running = 1
        since, received = time.monotonic(), 0
        while running:
            if self._stop.is_set():
                raise StoppedError
            passed = time.monotonic() - since
            if passed > self._timeout:
                if received < SLOWEST * passed:
                    raise PassingError(f"only {received} bytes in {passed:.0f} s")
                since, received = time.monotonic(), 0
            _, running = self._multi.perform()
            if running and not self._chunks:
                self._multi.select(_POLL_SECONDS)
            if self._chunks:
                body = b"".join(self._chunks)  # pieces of 16 KiB at most
                self._chunks.clear()
                received += len(body)
                yield body
        for _, code, message in self._multi.info_read()[2]:
            errno = self._handle.curl.getinfo(pycurl.OS_ERRNO)
            cause = f" ({os.strerror(errno)})" if code == pycurl.E_COULDNT_CONNECT and errno else ""
            if code in PASSING_ERRORS:
                raise PassingError(f"{message}{cause}")
            raise DownloadError(f"{url}: {message}")


class Client:
    """Connections, and the patience with servers; threads can share one.

    Attributes:
        stop: set when the user wants no more.
    """

    def __init__(self, timeout: float, stop: threading.Event, retry: Retry = RETRY) -> None:
        """Connects to nobody yet.

        Args:
            timeout: seconds with hardly a byte after which a connection is given up.
            stop: set when the user wants no more.
            retry: how often a server is asked again, if no byte has come meanwhile.
        """
        self.stop = stop
        self._timeout, self._retry = timeout, retry
        self._of_thread = threading.local()

    def get(self, url: str, headers: dict[str, str]) -> AbstractContextManager[Answer]:
        """Asks for a URL; only statuses 200, 206 and 416 come back.

        Raises:
            DownloadError: There is no use in trying again.
            PassingError: There is.
            StoppedError: The user wants no more.
        """
        if not hasattr(self._of_thread, "connection"):
            self._of_thread.connection = _Connection(self._timeout, self.stop)
        return self._of_thread.connection.ask(url, headers)

    def persevere(self, attempt: Callable[[], _T], progress: Callable[[], int]) -> _T:
        """Calls `attempt` until it is through, waiting longer and longer in between.

        Args:
            attempt: raises `PassingError` where another try makes sense.
            progress: a number that grows as bytes arrive; each growth renews the patience.

        Raises:
            DownloadError: It makes no sense any more; the reason alone, without the URL.
            StoppedError: The user wants no more.
        """
        attempts, before = Attempts(self._retry), progress()
        while True:
            try:
                return attempt()
            except PassingError as error:
                if progress() > before:
                    attempts, before = Attempts(self._retry), progress()
                wait = attempts.wait(error.wait)
                if wait is None:
                    raise DownloadError(f"{error} ({attempts.failed} times in a row)") from None
                if self.stop.wait(wait):
                    raise StoppedError from None


def _check_status(url: str, handle: Handle) -> None:
    status = handle.status
    if status in (200, 206, 416):
        return
    if status in (403, 404, 410):
        raise MissingError(f"{url}: HTTP status {status}")
    if status in PASSING_STATUSES:
        raise PassingError(f"HTTP status {status}", seconds_asked(handle.header(b"retry-after")))
    raise DownloadError(f"{url}: HTTP status {status}")
