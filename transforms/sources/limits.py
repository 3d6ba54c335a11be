"""How pictures are fetched over HTTP: what a build's plan holds, and needs no HTTP client."""

from dataclasses import dataclass

from transforms.storage.retry import Retry

_RETRY = Retry(retries=4, total_seconds=120, first_wait=0.5, longest_wait=60)


@dataclass(frozen=True)
class HttpOptions:
    """How pictures are fetched.

    Attributes:
        max_per_host: requests at once to one host.
        max_requests: requests at once, to all.
        connect_seconds: for a connection, with its name resolved and TLS agreed.
        read_seconds: after which a transfer that (nearly) stands still is given up.
        retry: of a picture, with all its redirects, where a failure is one that may pass.
        max_bytes: of a picture.
        max_redirects: for one picture.
        allow_private_hosts: whether loopback, private, link-local and other special addresses may
            be connected to, and the proxies that the environment names.
    """

    max_per_host: int = 32
    max_requests: int = 64
    connect_seconds: float = 10
    read_seconds: int = 20
    retry: Retry = _RETRY
    max_bytes: int = 64 << 20
    max_redirects: int = 5
    allow_private_hosts: bool = False
