"""How pictures are fetched over HTTP: what a build's plan holds, and needs no HTTP client."""

from dataclasses import dataclass


@dataclass(frozen=True)
class HttpOptions:
    """How pictures are fetched.

    Attributes:
        max_per_host: requests at once to one host.
        max_requests: requests at once, to all.
        connect_seconds: for a connection, with its name resolved and TLS agreed.
        read_seconds: after which a transfer that (nearly) stands still is given up.
        total_seconds: for a picture with all its redirects, attempts and waits.
        retries: attempts after the first, where the failure is one that may pass.
        first_wait: seconds; the longest wait before the first retry. It doubles with each.
        longest_wait: seconds; no wait is longer, whatever Retry-After says.
        max_bytes: of a picture.
        max_redirects: for one picture.
        allow_private_hosts: whether loopback, private, link-local and other special addresses may
            be connected to, and the proxies that the environment names.
    """

    max_per_host: int = 32
    max_requests: int = 64
    connect_seconds: float = 10
    read_seconds: int = 20
    total_seconds: float = 120
    retries: int = 4
    first_wait: float = 0.5
    longest_wait: float = 60
    max_bytes: int = 64 << 20
    max_redirects: int = 5
    allow_private_hosts: bool = False
