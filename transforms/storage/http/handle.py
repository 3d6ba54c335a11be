"""One request over HTTP at a time, by libcurl."""

import functools
import math
import os
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Any

import certifi

from transforms.storage.http.libcurl import pycurl

USER_AGENT = "open-images-beam (dataset builder)"

#: Says why an address may not be connected to, or None if it may.
Refusal = Callable[[str], str | None]

PASSING_STATUSES = frozenset((408, 425, 429, 500, 502, 503, 504))
#: Codes of errors after which a request may be answered if it is repeated.
PASSING_ERRORS = frozenset(
    (
        pycurl.E_COULDNT_RESOLVE_HOST,
        pycurl.E_COULDNT_CONNECT,
        pycurl.E_SSL_CONNECT_ERROR,
        pycurl.E_OPERATION_TIMEDOUT,
        pycurl.E_GOT_NOTHING,
        pycurl.E_SEND_ERROR,
        pycurl.E_RECV_ERROR,
        pycurl.E_PARTIAL_FILE,
        pycurl.E_HTTP2,
        92,  # a stream of HTTP/2 that was reset; pycurl has no name for it
    )
)
#: Bytes per second; a slower transfer counts as one that stands still.
SLOWEST = 1000


class Handle:
    """A handle of libcurl, which asks for one URL after another.

    Args:
        connect_seconds: until a connection is there, with its name resolved and TLS agreed.
        stall_seconds: without a flow of bytes, or of an answer.
        take_body: gets each chunk of a body; returns `REFUSED` to break it off.
        refusal: is asked about each address at the moment of connecting to it, so that no answer
            of a name server, and no redirect, gets round it. None if any address will do, and the
            proxies that the environment names.

    Attributes:
        curl: for what a caller needs beside.
        status: of the answer; 0 if there is none.
        headers: of the answer, by their names in lower case.
        refused: why an address wasn't connected to; None if all were.
    """

    #: What `take_body` returns for a body that isn't wanted.
    REFUSED = -1

    def __init__(
        self,
        connect_seconds: float,
        stall_seconds: float,
        take_body: Callable[[bytes], int | None],
        refusal: Refusal | None = None,
    ) -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.refused: str | None = None
        self._refusal = refusal
        self.curl = curl = pycurl.Curl()
        curl.setopt(pycurl.NOSIGNAL, 1)
        curl.setopt(pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)
        curl.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_2TLS)
        curl.setopt(pycurl.PIPEWAIT, 1)  # join an HTTP/2 connection rather than open another
        curl.setopt(pycurl.CAINFO, _certificates())
        curl.setopt(pycurl.USERAGENT, USER_AGENT)
        curl.setopt(pycurl.BUFFERSIZE, 1 << 17)
        curl.setopt(pycurl.CONNECTTIMEOUT_MS, int(connect_seconds * 1000))
        curl.setopt(pycurl.LOW_SPEED_LIMIT, SLOWEST)
        curl.setopt(pycurl.LOW_SPEED_TIME, math.ceil(stall_seconds))
        if netrc := os.environ.get("NETRC"):  # else it is ~/.netrc
            curl.setopt(pycurl.NETRC_FILE, netrc)
        curl.setopt(pycurl.HEADERFUNCTION, self._take_header)
        curl.setopt(pycurl.WRITEFUNCTION, take_body)
        if refusal is not None:
            curl.setopt(pycurl.OPENSOCKETFUNCTION, self._open_socket)
            curl.setopt(pycurl.PROXY, "")  # a proxy would resolve names by itself, unchecked

    def prepare(
        self, url: str, seconds: float = 0, headers: Sequence[str] = (), uses_netrc: bool = False
    ) -> None:
        """Sets what is asked next, and forgets the last answer.

        Args:
            url: http or https.
            seconds: in which the whole answer must be there; 0 if it may take any time.
            headers: of the request, as `Name: value`.
            uses_netrc: whether the netrc file may have a password for the host.
        """
        self.status, self.headers, self.refused = 0, {}, None
        curl = self.curl
        curl.setopt(pycurl.URL, url)
        curl.setopt(pycurl.NETRC, pycurl.NETRC_OPTIONAL if uses_netrc else pycurl.NETRC_IGNORED)
        curl.setopt(pycurl.TIMEOUT_MS, math.ceil(seconds * 1000))
        curl.setopt(pycurl.HTTPHEADER, ["Accept-Encoding: identity", *headers])

    def header(self, name: bytes) -> str:
        """Returns a header of the answer by its name in lower case; empty without one."""
        return self.headers.get(name, b"").decode("latin-1")

    def _take_header(self, line: bytes) -> None:
        if line.startswith(b"HTTP/"):  # of the answer, or of an interim one before it
            self.status = int(line.split(maxsplit=2)[1])
            self.headers = {}
        else:
            name, _, value = line.partition(b":")
            self.headers[name.lower()] = value.strip()

    def _open_socket(self, purpose: int, address: Any) -> Any:
        family, kind, protocol, (ip, *_) = address
        why = self._refusal(ip) if self._refusal else None
        if why is not None:
            self.refused = why
            return pycurl.SOCKET_BAD
        return socket.socket(family, kind, protocol)


@functools.cache
def _certificates() -> str:
    """Returns the file of trusted certificates: the system's, or SSL_CERT_FILE, or Mozilla's."""
    return ssl.get_default_verify_paths().cafile or certifi.where()
