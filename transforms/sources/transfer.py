"""One picture over HTTP, and what its answer means."""

from transforms.dataset.failures import PixelError, Reason
from transforms.sources.budget import Room
from transforms.sources.limits import HttpOptions
from transforms.storage.http.handle import PASSING_ERRORS, PASSING_STATUSES, Handle, Refusal
from transforms.storage.http.libcurl import pycurl
from transforms.storage.retry import seconds_asked

_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_GONE = frozenset((404, 410))
#: Bytes of an error's page that are read, so that its connection can serve the next request.
_PAGE_BYTES = 1 << 16


class PassingError(PixelError):
    """A failure that a later attempt may not meet again.

    Attributes:
        after: seconds after which the server wants to be asked again; None if it didn't say.
    """

    def __init__(self, reason: Reason, detail: str, after: float | None = None) -> None:
        super().__init__(reason, detail)
        self.after = after


class LargerError(Exception):
    """The body is larger than its room, which can't be made larger for now."""


class Transfer:
    """Asks for one picture after another.

    Args:
        multi: the connections.
        options: timeouts, and the limit of a picture's bytes.
        refusal: of a `Handle`.
    """

    def __init__(
        self, multi: pycurl.AsyncCurlMulti, options: HttpOptions, refusal: Refusal | None
    ) -> None:
        self._multi = multi
        self._max_bytes = options.max_bytes
        self._handle = Handle(
            options.connect_seconds, options.read_seconds, self._take_body, refusal
        )
        # What Content-Length announces; `_take_body` counts.
        self._handle.curl.setopt(pycurl.MAXFILESIZE_LARGE, self._max_bytes)

    async def ask(self, url: str, seconds: float, room: Room, uses_netrc: bool) -> bytes | str:
        """Returns the bytes that a URL has, or the URL it redirects to, perhaps a relative one.

        Args:
            url: http or https.
            seconds: in which the whole answer must be there.
            room: for a picture; made larger where that turns out to be needed.
            uses_netrc: whether the netrc file may have a password for the host.

        Raises:
            LargerError: there is no room for the picture; once `room` can be claimed, there is.
            PassingError: http_status (408, 425, 429, 500, 502, 503, 504, or no answer at all),
                timeout, truncated.
            PixelError: missing, http_status (any other, or no sound answer), too_large,
                blocked_address, not_image (compressed for transport, though not asked to be).
        """
        self._chunks: list[bytes] = []
        self._received = 0
        self._within = -1  # bytes of a body up to which nothing is to be looked at
        self._room = room
        self._has_room = True
        self._handle.prepare(url, max(seconds, 0.001), uses_netrc=uses_netrc)
        error: pycurl.error | None = None
        try:
            await self._multi.perform(self._handle.curl)
        except pycurl.error as caught:
            error = caught
        try:
            return self._judge(error)
        finally:
            self._chunks = []

    def close(self) -> None:
        """Gives the handle back."""
        self._handle.curl.close()

    def _judge(self, error: pycurl.error | None) -> bytes | str:
        """Returns the picture, or where a redirect leads; a status tells more than a broken body.

        Raises:
            PixelError: There is no picture.
            PassingError: Another attempt may have it.
        """
        handle = self._handle
        status = handle.status
        if status in _REDIRECTS and b"location" in handle.headers:
            return handle.headers[b"location"].decode("utf-8", "replace")
        if status in _GONE:
            raise PixelError(Reason.MISSING, str(status))
        if status in PASSING_STATUSES:
            after = seconds_asked(handle.header(b"retry-after"))
            raise PassingError(Reason.HTTP_STATUS, str(status), after)
        if status not in (0, 200):
            raise PixelError(Reason.HTTP_STATUS, str(status))
        if not self._has_room:
            raise LargerError
        if error is not None:
            raise self._broken(error)
        encoding = handle.header(b"content-encoding").lower()
        if encoding not in ("", "identity"):
            raise PixelError(Reason.NOT_IMAGE, f"compressed for transport, unasked: {encoding}")
        return b"".join(self._chunks)

    def _broken(self, error: pycurl.error) -> PixelError:
        if self._handle.refused is not None and not self._handle.status:
            return PixelError(Reason.BLOCKED_ADDRESS, self._handle.refused)
        code, message = error.args[0], str(error.args[-1])
        length = self._handle.header(b"content-length") or "unknown"
        if code == pycurl.E_FILESIZE_EXCEEDED or self._received > self._max_bytes:
            detail = f"more than {self._max_bytes} bytes; Content-Length: {length}"
            return PixelError(Reason.TOO_LARGE, detail)
        if code == pycurl.E_OPERATION_TIMEDOUT:
            return PassingError(Reason.TIMEOUT, message)
        if code not in PASSING_ERRORS:
            return PixelError(Reason.HTTP_STATUS, f"no sound answer: {message}")
        if self._received or code == pycurl.E_PARTIAL_FILE:
            detail = f"{self._received} bytes; Content-Length: {length}; {message}"
            return PassingError(Reason.TRUNCATED, detail)
        return PassingError(Reason.HTTP_STATUS, f"no sound answer: {message}")

    def _take_body(self, chunk: bytes) -> int | None:
        """Keeps a chunk of a picture, 16 KiB at most; refuses it where the body gets too large."""
        self._received += len(chunk)
        if self._received > self._within:
            if self._handle.status != 200:
                return Handle.REFUSED if self._received > _PAGE_BYTES else None
            if not self._make_room():
                return Handle.REFUSED
        self._chunks.append(chunk)
        return None

    def _make_room(self) -> bool:
        """Returns whether there is room for what was received, and may be."""
        if self._received <= self._max_bytes and self._received > self._room.size:
            length = self._handle.headers.get(b"content-length", b"")
            size = max(self._received, int(length) if length.isdigit() else 2 * self._received)
            self._has_room = self._room.resize(min(size, self._max_bytes))
        self._within = min(self._room.size, self._max_bytes)
        return self._has_room and self._received <= self._within
