"""Ports for servers that are about to start."""

import contextlib
import random
import socket

#: Below those that systems give to connections, which might take one before its server starts.
_RANGE = range(20_000, 32_768)
_ADDRESS = "127.0.0.1"


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody listens on now, all different."""
    found: list[int] = []
    while len(found) < count:
        port = random.choice(_RANGE)
        with contextlib.suppress(OSError), socket.socket() as attempt:
            attempt.bind((_ADDRESS, port))
            if port not in found:
                found.append(port)
    return found
