"""HTTP as the downloads need it: streamed, with what can pass told from what can't."""

import base64
import email.utils
import random
import re
import threading
import time
import urllib.request
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import TypeVar
from urllib.parse import urlsplit

import urllib3
from urllib3.exceptions import (
    DecodeError,
    HTTPError,
    LocationValueError,
    MaxRetryError,
    ResponseError,
    SSLError,
)

from transforms.redaction import redact

ATTEMPTS = 6  # in a row without a byte of progress
BACKOFF_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 120.0

_CHUNK = 1 << 20
_SLOWEST = 1024  # bytes a second
_CONNECT_SECONDS = 20.0
_PASSING = {408, 425, 429, 500, 502, 503, 504}
_HEADERS = {"User-Agent": "open-images-beam", "Accept-Encoding": "identity"}
_ONLY_REDIRECTS = urllib3.Retry(
    total=None, connect=0, read=0, status=0, other=0, redirect=5, respect_retry_after_header=False
)
_T = TypeVar("_T")


class DownloadError(Exception):
    """A file can't be had; the message is one line."""

    def __init__(self, message: str) -> None:
        super().__init__(redact(message))


class MissingError(DownloadError):
    """The server says that there is no such file, or not for us."""

    def __init__(self, url: str, status: int) -> None:
        super().__init__(f"{url}: HTTP status {status}")
        self.status = status


class PassingError(Exception):
    """What may be better on another try, by the server's word not before `wait` seconds."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


class StoppedError(Exception):
    """The user has interrupted the download."""


class Answer:
    """A response whose body is still to be read."""

    def __init__(self, response: urllib3.BaseHTTPResponse, client: "Client") -> None:
        self._response, self._client = response, client
        self.status = response.status
        headers = response.headers
        found = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", headers.get("Content-Range", ""))
        self.range_start = int(found[1]) if found and found[1] else None
        length = headers.get("Content-Length", "")
        if self.status == 200:
            self.total = int(length) if length.isdigit() else None
        else:
            self.total = int(found[2]) if found and found[2].isdigit() else None
        # A weak ETag says that files mean the same, not that they are the same bytes.
        etag = headers.get("ETag", "")
        strong = etag if etag.startswith('"') else ""
        self.validator = strong or headers.get("Last-Modified", "")
        md5 = re.search(r"\bmd5=([\w+/]{22}==)", headers.get("X-Goog-Hash", ""))
        self.checksum = f"md5:{base64.b64decode(md5[1]).hex()}" if md5 else ""

    def chunks(self) -> Iterator[bytes]:
        """The body as it comes.

        Raises:
            PassingError: The connection breaks, or has become too slow.
            StoppedError: The user wants no more.
        """
        started, received = time.monotonic(), 0
        while True:
            if self._client.stop.is_set():
                raise StoppedError
            chunk = self._response.read1(_CHUNK)
            if not chunk:
                return
            yield chunk
            received += len(chunk)
            passed = time.monotonic() - started
            if passed > self._client.timeout:
                if received < _SLOWEST * passed:
                    raise PassingError(f"only {received} bytes in {passed:.0f} s")
                started, received = time.monotonic(), 0


class Client:
    """Connections that threads share, and the patience with servers.

    Attributes:
        timeout: seconds without a byte, or with hardly any, after which a connection is given up.
        stop: set when the user wants no more.
    """

    def __init__(self, num_connections: int, timeout: float, stop: threading.Event) -> None:
        self.timeout, self.stop = timeout, stop
        self._num_connections = num_connections
        self._pools: dict[str | None, urllib3.PoolManager] = {}
        self._lock = threading.Lock()

    @contextmanager
    def get(self, url: str, headers: dict[str, str] | None = None) -> Generator[Answer, None, None]:
        """Asks for a URL; only statuses 200, 206 and 416 come back.

        Raises:
            DownloadError: There is no use in trying again.
            PassingError: There is.
        """
        try:
            response = self._pool(url).request(
                "GET",
                url,
                headers={**_HEADERS, **(headers or {})},
                timeout=urllib3.Timeout(min(self.timeout, _CONNECT_SECONDS), self.timeout),
                retries=_ONLY_REDIRECTS,
                preload_content=False,
                decode_content=False,
            )
            try:
                _check_status(url, response)
                yield Answer(response, self)
            finally:
                response.close()  # the connection too, unless the body was read to its end
        except (LocationValueError, DecodeError) as error:
            raise DownloadError(f"{url}: {error}") from None
        except MaxRetryError as error:
            if isinstance(error.reason, ResponseError):
                raise DownloadError(f"{url}: {error.reason}") from None
            if isinstance(error.reason, SSLError) and "CERTIFICATE" in str(error.reason):
                raise DownloadError(f"{url}: {error.reason}") from None
            raise PassingError(_short(error.reason)) from None
        except HTTPError as error:
            raise PassingError(_short(error)) from None

    def persevere(self, attempt: Callable[[], _T], progress: Callable[[], int]) -> _T:
        """Calls `attempt` until it is through, waiting longer and longer in between.

        Args:
            attempt: raises `PassingError` where another try makes sense.
            progress: a number that grows as bytes arrive; each growth renews the patience.

        Raises:
            DownloadError: It makes no sense any more; the reason alone, without the URL.
            StoppedError: The user wants no more.
        """
        failures, before = 0, progress()
        while True:
            try:
                return attempt()
            except PassingError as error:
                now = progress()
                failures = 1 if now > before else failures + 1
                before = now
                if failures >= ATTEMPTS:
                    raise DownloadError(f"{error} ({ATTEMPTS} times in a row)") from None
                wait = BACKOFF_SECONDS * 2 ** (failures - 1) * random.uniform(0.5, 1.5)
                wait = min(max(wait, error.wait or 0), LONGEST_WAIT_SECONDS)
                if self.stop.wait(wait):
                    raise StoppedError from None

    def _pool(self, url: str) -> urllib3.PoolManager:
        """The pool for a URL: straight, or by the proxy that the environment names for it."""
        parts = urlsplit(url)
        proxy = urllib.request.getproxies().get(parts.scheme)
        if proxy and urllib.request.proxy_bypass(parts.hostname or ""):
            proxy = None
        with self._lock:
            if proxy not in self._pools:
                self._pools[proxy] = self._new_pool(proxy)
            return self._pools[proxy]

    def _new_pool(self, proxy: str | None) -> urllib3.PoolManager:
        if not proxy:
            return urllib3.PoolManager(maxsize=self._num_connections)
        user = urllib3.util.parse_url(proxy).auth
        headers = urllib3.make_headers(proxy_basic_auth=user) if user else None
        return urllib3.ProxyManager(proxy, maxsize=self._num_connections, proxy_headers=headers)


def _check_status(url: str, response: urllib3.BaseHTTPResponse) -> None:
    status = response.status
    if status in (200, 206, 416):
        return
    if status in (403, 404, 410):
        raise MissingError(url, status)
    if status in _PASSING:
        raise PassingError(f"HTTP status {status}", _retry_after(response))
    raise DownloadError(f"{url}: HTTP status {status}")


def _retry_after(response: urllib3.BaseHTTPResponse) -> float | None:
    """What a server asks us to wait: seconds, or until a date."""
    value = response.headers.get("Retry-After", "").strip()
    if value.isdigit():
        return float(value)
    date = email.utils.parsedate_tz(value)
    return max(email.utils.mktime_tz(date) - time.time(), 0) if date else None


def _short(error: object) -> str:
    """What went wrong on the wire, without the names of objects."""
    text = re.sub(r"^\S*Connection\S*\(.*?\): |<[^>]*>:? ?", "", str(error))
    return text.strip("()' ") or type(error).__name__
