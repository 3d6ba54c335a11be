"""A real HTTP server on loopback, which misbehaves on demand: the path says how."""

import asyncio
import contextlib
import gzip
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from email.utils import formatdate
from time import time
from urllib.parse import unquote

Writer = asyncio.StreamWriter


def picture(name: str, size: int = 20_000) -> bytes:
    """The bytes that `/picture/<name>` has."""
    return random.Random(name).randbytes(size)


def head(status: int, length: int | None, **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} Whatever", "Content-Type: image/jpeg"]
    lines += [] if length is None else [f"Content-Length: {length}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


class Server:
    """Serves until closed, and keeps count.

    Attributes:
        url: `http://127.0.0.1:port`.
        asked: how often each path was asked for.
        agents: the User-Agent headers that were seen.
        most_at_once: requests that were being answered at the same time.
        connections: that were opened.
    """

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.agents: set[str] = set()
        self.most_at_once = self.connections = self._at_once = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        start = asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=256)
        server = asyncio.run_coroutine_threadsafe(start, self._loop).result()
        self.port = server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        async def cancel() -> None:
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(cancel(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: Writer) -> None:
        self.connections += 1
        with contextlib.suppress(
            ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError
        ):
            while True:
                lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
                assert headers["accept-encoding"] == "identity"
                self.agents.add(headers["user-agent"])
                path = unquote(lines[0].split(" ")[1])
                self.asked[path] += 1
                self._at_once += 1
                self.most_at_once = max(self.most_at_once, self._at_once)
                try:
                    _, behaviour, *rest = path.split("/", 2)
                    await BEHAVIOURS[behaviour](self, writer, "".join(rest))
                    await writer.drain()
                finally:
                    self._at_once -= 1
                if writer.is_closing():
                    break
        writer.close()


Behaviour = Callable[[Server, Writer, str], Awaitable[None]]
BEHAVIOURS: dict[str, Behaviour] = {}


def behaviour(function: Behaviour) -> Behaviour:
    BEHAVIOURS[function.__name__.rstrip("_").replace("_", "-")] = function
    return function


def reset(writer: Writer) -> None:
    """Closes with RST instead of FIN."""
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.close()


async def send_forever(writer: Writer, chunk: bytes, seconds: float) -> None:
    while not writer.is_closing():
        writer.write(chunk)
        await writer.drain()
        await asyncio.sleep(seconds)


@behaviour
async def picture_(server: Server, writer: Writer, rest: str) -> None:
    """Takes the longer, the sooner it was asked, so that answers come out of order."""
    await asyncio.sleep(0.05 / (1 + int(rest) % 5) if rest.isdigit() else 0)
    data = picture(rest)
    writer.write(head(200, len(data)) + data)


@behaviour
async def early_hints(server: Server, writer: Writer, rest: str) -> None:
    writer.write(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n")
    await picture_(server, writer, rest)


@behaviour
async def chunked_cut(server: Server, writer: Writer, rest: str) -> None:
    writer.write(head(200, None, Transfer_Encoding="chunked") + b"ffff\r\n1234")
    writer.close()


@behaviour
async def status(server: Server, writer: Writer, rest: str) -> None:
    """`/status/503`: with a page of HTML."""
    page = b"<html><body>It isn't here.</body></html>" * 20
    writer.write(head(int(rest), len(page)) + page)


@behaviour
async def busy(server: Server, writer: Writer, rest: str) -> None:
    """`/busy/429,1`: that status and Retry-After once, then the picture; `date`: a second off."""
    code, after = rest.split(",")
    if server.asked[f"/busy/{rest}"] > 1:
        await picture_(server, writer, rest)
    else:
        after = formatdate(time() + 2, usegmt=True) if after == "date" else after
        writer.write(head(int(code), 4, Retry_After=after) + b"busy")


@behaviour
async def flaky(server: Server, writer: Writer, rest: str) -> None:
    """Fails in three ways, then has the picture."""
    tries = server.asked[f"/flaky/{rest}"]
    if tries == 1:
        reset(writer)
    elif tries == 2:
        await short(server, writer, rest)
    elif tries == 3:
        writer.write(head(502, 0))
    else:
        await picture_(server, writer, rest)


@behaviour
async def drip(server: Server, writer: Writer, rest: str) -> None:
    """`/drip/1`: so many bytes, 20 times a second."""
    writer.write(head(200, 1_000_000))
    await send_forever(writer, bytes(int(rest)), 0.05)


@behaviour
async def stall(server: Server, writer: Writer, rest: str) -> None:
    await asyncio.sleep(60)


@behaviour
async def reset_(server: Server, writer: Writer, rest: str) -> None:
    """`/reset/middle`, or `/reset/start`: before any answer."""
    if rest == "middle":
        writer.write(head(200, 200_000) + bytes(100_000))
        await writer.drain()
        await asyncio.sleep(0.1)
    reset(writer)


@behaviour
async def short(server: Server, writer: Writer, rest: str) -> None:
    writer.write(head(200, 20_000) + bytes(10_000))
    writer.close()


@behaviour
async def long(server: Server, writer: Writer, rest: str) -> None:
    writer.write(head(200, 20_000) + picture(rest) + bytes(5_000))


@behaviour
async def declared(server: Server, writer: Writer, rest: str) -> None:
    """`/declared/10000000000`: a Content-Length that is never kept."""
    writer.write(head(200, int(rest)) + bytes(1000))
    await asyncio.sleep(30)


@behaviour
async def endless(server: Server, writer: Writer, rest: str) -> None:
    """`/endless/200`: a body without an end, with that status."""
    writer.write(head(int(rest), None))
    await send_forever(writer, bytes(1 << 16), 0)


@behaviour
async def endless_headers(server: Server, writer: Writer, rest: str) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    await send_forever(writer, b"X-More: " + b"x" * 1000 + b"\r\n", 0)


@behaviour
async def garbage(server: Server, writer: Writer, rest: str) -> None:
    writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
    writer.close()


@behaviour
async def to(server: Server, writer: Writer, rest: str) -> None:
    """`/to/<url>`: redirects there."""
    writer.write(head(302, 5, Location=rest) + b"there")


@behaviour
async def loop(server: Server, writer: Writer, rest: str) -> None:
    writer.write(head(301, 0, Location="/loop/again"))


@behaviour
async def bomb(server: Server, writer: Writer, rest: str) -> None:
    """A gigabyte, were it decompressed."""
    data = gzip.compress(bytes(1 << 20)) * 1024
    writer.write(head(200, len(data), Content_Encoding="gzip") + data)


@contextlib.contextmanager
def serve() -> Iterator[Server]:
    server = Server()
    try:
        yield server
    finally:
        server.close()
