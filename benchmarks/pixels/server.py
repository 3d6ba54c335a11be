"""A cheap HTTP server of pictures: `python -m benchmarks.pixels.server FOLDER`.

It answers from memory, with keep-alive, in some 50 µs of a core, which it takes from the programs
compared: all of them alike. It prints its port once it listens.
"""

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

_HEAD = "HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n"
_MISSING = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


class Server:
    """A server in a process of its own.

    Attributes:
        url: of its root, without a slash at the end.
    """

    def __init__(self, url: str, process: psutil.Process) -> None:
        self.url = url
        self._process = process

    @property
    def cpu_seconds(self) -> float:
        """What the server has taken so far."""
        return sum(self._process.cpu_times()[:2])


@contextlib.contextmanager
def serve(folder: Path) -> Iterator[Server]:
    """Serves the files below a folder on the loopback interface."""
    command = (sys.executable, "-m", "benchmarks.pixels.server", str(folder))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            port = int(process.stdout.readline())
            yield Server(f"http://127.0.0.1:{port}", psutil.Process(process.pid))
        finally:
            process.terminate()


class _Connection(asyncio.Protocol):
    """Answers one request after the other.

    Args:
        answers: path to the whole answer.
    """

    def __init__(self, answers: dict[bytes, bytes]) -> None:
        self._answers = answers
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        *requests, self._received = (self._received + data).split(b"\r\n\r\n")
        for request in requests:
            path = request.split(b" ", 2)[1]
            self._transport.write(self._answers.get(path, _MISSING))
            if b"\r\nConnection: close" in request:
                self._transport.close()


async def _serve(folder: Path) -> None:
    answers = {
        f"/{path.relative_to(folder)}".encode(): _answer(path.read_bytes())
        for path in folder.rglob("*.jpg")
    }
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(answers), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def _answer(data: bytes) -> bytes:
    return _HEAD.format(len(data)).encode() + data


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1])))
