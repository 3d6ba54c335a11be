"""One request over HTTP by libcurl, and what its answer means."""

import functools
import os
import socket
import ssl
from collections.abc import Callable
from typing import Any, NamedTuple

import certifi
import pycurl

from transforms.dataset.failures import PixelError, Reason
from transforms.sources.budget import Room
from transforms.sources.retry import PassingError, seconds_asked

#: Says why an address may not be connected to, or None if it may.
Refusal = Callable[[str], str | None]

_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_GONE = frozenset((404, 410))
_PASSING_STATUSES = frozenset((429, 500, 502, 503, 504))
_PASSING_ERRORS = frozenset(
    (
        pycurl.E_COULDNT_RESOLVE_HOST,
        pycurl.E_COULDNT_CONNECT,
        pycurl.E_SSL_CONNECT_ERROR,
        pycurl.E_GOT_NOTHING,
        pycurl.E_SEND_ERROR,
        pycurl.E_RECV_ERROR,
        pycurl.E_PARTIAL_FILE,
        pycurl.E_HTTP2,
        92,  # a stream of HTTP/2 that was reset; pycurl has no name for it
    )
)
#: Bytes of an error's page that are read, so that its connection can serve the next request.
_PAGE_BYTES = 1 << 16
_REFUSED = -1
#: Bytes per second; slower than this for `read_seconds` is a stall.
_SLOWEST = 1000


class Redirect(NamedTuple):
    """An answer that names another URL, perhaps a relative one."""

    url: str


class LargerError(Exception):
    """The body is larger than its room, which can't be made larger for now."""


class Transfer:
    """A handle of libcurl, which asks for one URL after another; connections belong to its `multi`.

    Args:
        connect_seconds: until a connection is there, with its name resolved and TLS agreed.
        read_seconds: without a flow of bytes, or of an answer.
        max_bytes: of a picture.
        refusal: is asked about each address at the moment of connecting to it, so that no answer
            of a name server, and no redirect, gets round it. None if any address will do.
        user_agent: the header's text.
    """

    def __init__(
        self,
        connect_seconds: float,
        read_seconds: int,
        max_bytes: int,
        refusal: Refusal | None,
        user_agent: str,
    ) -> None:
        self._max_bytes = max_bytes
        self._refusal = refusal
        self._curl = curl = pycurl.Curl()
        curl.setopt(pycurl.NOSIGNAL, 1)
        curl.setopt(pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)
        curl.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_2TLS)
        curl.setopt(pycurl.PIPEWAIT, 1)  # join an HTTP/2 connection rather than open another
        curl.setopt(pycurl.CAINFO, _certificates())
        curl.setopt(pycurl.USERAGENT, user_agent)
        curl.setopt(pycurl.HTTPHEADER, ["Accept-Encoding: identity"])
        curl.setopt(pycurl.BUFFERSIZE, 1 << 17)
        curl.setopt(pycurl.MAXFILESIZE_LARGE, max_bytes)  # as Content-Length; `_take_body` counts
        curl.setopt(pycurl.CONNECTTIMEOUT_MS, int(connect_seconds * 1000))
        curl.setopt(pycurl.LOW_SPEED_LIMIT, _SLOWEST)
        curl.setopt(pycurl.LOW_SPEED_TIME, read_seconds)
        if netrc := os.environ.get("NETRC"):  # else it is ~/.netrc
            curl.setopt(pycurl.NETRC_FILE, netrc)
        curl.setopt(pycurl.HEADERFUNCTION, self._take_header)
        curl.setopt(pycurl.WRITEFUNCTION, self._take_body)
        if refusal is not None:
            curl.setopt(pycurl.OPENSOCKETFUNCTION, self._open_socket)
            curl.setopt(pycurl.PROXY, "")  # a proxy would resolve names by itself, unchecked

    async def ask(
        self,
        multi: pycurl.AsyncCurlMulti,
        url: str,
        seconds: float,
        room: Room,
        logs_in: bool = False,
    ) -> bytes | Redirect:
        """The bytes that a URL has, or where it redirects to.

        Args:
            multi: the connections.
            url: http or https.
            seconds: in which the whole answer must be there.
            room: for a picture; made larger where that turns out to be needed.
            logs_in: whether the netrc file may have a password for the host.

        Raises:
            LargerError: there is no room for the picture; once `room` can be claimed, there is.
            PassingError: http_status (429, 500, 502, 503, 504, or no answer at all), timeout,
                truncated: what a later attempt may not meet again.
            PixelError: missing, http_status (any other, or no sound answer), too_large,
                blocked_address, not_image (compressed for transport, though not asked to be).
        """
        self._status = 0
        self._headers: dict[bytes, bytes] = {}
        self._chunks: list[bytes] = []
        self._received = 0
        self._within = -1  # bytes of a body up to which nothing is to be looked at
        self._room = room
        self._has_room = True
        self._refused: str | None = None
        self._curl.setopt(pycurl.URL, url)
        self._curl.setopt(pycurl.NETRC, pycurl.NETRC_OPTIONAL if logs_in else pycurl.NETRC_IGNORED)
        self._curl.setopt(pycurl.TIMEOUT_MS, max(1, int(seconds * 1000)))
        error: pycurl.error | None = None
        try:
            await multi.perform(self._curl)
        except pycurl.error as caught:
            error = caught
        try:
            return self._judge(error)
        finally:
            self._chunks = []

    def close(self) -> None:
        """Gives the handle back."""
        self._curl.close()

    def _judge(self, error: pycurl.error | None) -> bytes | Redirect:
        """What an answer means: its status, where there is one, tells more than a broken body."""
        status = self._status
        if status in _REDIRECTS and b"location" in self._headers:
            return Redirect(self._headers[b"location"].decode("utf-8", "replace"))
        if status in _GONE:
            raise PixelError(Reason.MISSING, str(status))
        if status in _PASSING_STATUSES:
            after = seconds_asked(self._headers.get(b"retry-after", b"").decode("latin-1"))
            raise PassingError(Reason.HTTP_STATUS, str(status), after)
        if status not in (0, 200):
            raise PixelError(Reason.HTTP_STATUS, str(status))
        if not self._has_room:
            raise LargerError
        if error is not None:
            raise self._broken(error)
        encoding = self._headers.get(b"content-encoding", b"identity").lower()
        if encoding != b"identity":
            detail = f"compressed for transport, unasked: {encoding.decode('latin-1')}"
            raise PixelError(Reason.NOT_IMAGE, detail)
        return b"".join(self._chunks)

    def _broken(self, error: pycurl.error) -> PixelError:
        if self._refused is not None and not self._status:
            return PixelError(Reason.BLOCKED_ADDRESS, self._refused)
        code, message = error.args[0], str(error.args[-1])
        length = self._headers.get(b"content-length", b"unknown").decode("latin-1")
        if code == pycurl.E_FILESIZE_EXCEEDED or self._received > self._max_bytes:
            detail = f"more than {self._max_bytes} bytes; Content-Length: {length}"
            return PixelError(Reason.TOO_LARGE, detail)
        if code == pycurl.E_OPERATION_TIMEDOUT:
            return PassingError(Reason.TIMEOUT, message)
        if code not in _PASSING_ERRORS:
            return PixelError(Reason.HTTP_STATUS, f"no sound answer: {message}")
        if self._received or code == pycurl.E_PARTIAL_FILE:
            detail = f"{self._received} bytes; Content-Length: {length}; {message}"
            return PassingError(Reason.TRUNCATED, detail)
        return PassingError(Reason.HTTP_STATUS, f"no sound answer: {message}")

    def _take_header(self, line: bytes) -> None:
        if line.startswith(b"HTTP/"):  # of the answer, or of an interim one before it
            self._status = int(line.split(maxsplit=2)[1])
            self._headers = {}
        else:
            name, _, value = line.partition(b":")
            self._headers[name.lower()] = value.strip()

    def _take_body(self, chunk: bytes) -> int | None:
        """Keeps a chunk of a picture, 16 KiB at most; refuses it where the body gets too large."""
        self._received += len(chunk)
        if self._received > self._within:
            if self._status != 200:
                return _REFUSED if self._received > _PAGE_BYTES else None
            if not self._make_room():
                return _REFUSED
        self._chunks.append(chunk)
        return None

    def _make_room(self) -> bool:
        """Whether there is room for what was received, and may be."""
        if self._received <= self._max_bytes and self._received > self._room.size:
            length = self._headers.get(b"content-length", b"")
            size = max(self._received, int(length) if length.isdigit() else 2 * self._received)
            self._has_room = self._room.resize(min(size, self._max_bytes))
        self._within = min(self._room.size, self._max_bytes)
        return self._has_room and self._received <= self._within

    def _open_socket(self, purpose: int, address: Any) -> Any:
        family, kind, protocol, (ip, *_) = address
        why = self._refusal(ip) if self._refusal else None
        if why is not None:
            self._refused = why
            return pycurl.SOCKET_BAD
        return socket.socket(family, kind, protocol)


@functools.cache
def _certificates() -> str:
    """The file of trusted certificates: the system's, or SSL_CERT_FILE, or Mozilla's."""
    return ssl.get_default_verify_paths().cafile or certifi.where()
