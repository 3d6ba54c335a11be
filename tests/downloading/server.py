"""An HTTP server on loopback that serves files by name and misbehaves on demand."""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.serving import served

Behaviour = Callable[["Handler", bytes], None]


class Server(ThreadingHTTPServer):
    """Files by path, and what to do instead of serving them, once each, first to last.

    Attributes:
        files: content by path.
        behaviours: by path, for the next requests; after them the file is served as it should be.
        requests: the headers of every request, by path.
        released: set at the end, for behaviours that wait.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.behaviours: dict[str, list[Behaviour]] = defaultdict(list)
        self.requests: dict[str, list[dict[str, str]]] = defaultdict(list)
        self.released = threading.Event()
        self.lock = threading.Lock()

    def handle_error(self, *_: object) -> None:
        """A client that hangs up is nothing to report."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def ranges(self, path: str) -> list[str | None]:
        """The Range headers that came for a path."""
        return [headers.get("range") for headers in self.requests[path]]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        with self.server.lock:
            headers = {name.lower(): value for name, value in self.headers.items()}
            self.server.requests[self.path].append(headers)
            waiting = self.server.behaviours[self.path]
            behaviour = waiting.pop(0) if waiting else serve
        content = self.server.files.get(self.path)
        if content is None and behaviour is serve:
            self.answer(404, b"<html>no such file</html>", {"Content-Type": "text/html"})
        else:
            behaviour(self, content or b"")

    def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        try:
            self.wfile.write(body)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


def etag(content: bytes) -> str:
    return f'"{hash(content):x}"'


def serve(handler: Handler, content: bytes) -> None:
    """Serves as HTTP asks for: ranges, unless the file has changed since."""
    headers = {"ETag": etag(content)}
    asked = handler.headers.get("Range")
    if asked and handler.headers.get("If-Range", etag(content)) == etag(content):
        first, _, last = asked.removeprefix("bytes=").partition("-")
        start = int(first) if first else max(0, len(content) - int(last))
        stop = min(int(last) + 1, len(content)) if first and last else len(content)
        if start >= len(content):
            handler.answer(416, b"", {"Content-Range": f"bytes */{len(content)}"})
            return
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(content)}"
        handler.answer(206, content[start:stop], headers)
        return
    handler.answer(200, content, headers)


def drop(after: int) -> Behaviour:
    """Ends the connection after so many bytes of the file."""

    def behave(handler: Handler, content: bytes) -> None:
        headers = {"Content-Length": str(len(content)), "ETag": etag(content)}
        handler.answer(200, content[:after], headers)
        handler.close_connection = True

    return behave


def stall(after: int) -> Behaviour:
    """Sends so many bytes, and then nothing more."""

    def behave(handler: Handler, content: bytes) -> None:
        drop(after)(handler, content)
        handler.wfile.flush()
        handler.server.released.wait(20)

    return behave


def hang(handler: Handler, _: bytes) -> None:
    """Never answers."""
    handler.server.released.wait(60)
    handler.close_connection = True


def drip(handler: Handler, content: bytes) -> None:
    """Sends a byte every now and then, often enough for any read timeout."""
    handler.answer(200, content[:1], {"Content-Length": str(len(content))})
    for byte in content[1:]:
        if handler.server.released.wait(0.05):
            break
        try:
            handler.wfile.write(bytes([byte]))
        except OSError:
            break
    handler.close_connection = True


def ignore_range(handler: Handler, content: bytes) -> None:
    """Always sends all of the file."""
    handler.answer(200, content)


def fail(status: int, **headers: str) -> Behaviour:
    """Answers with a status; `Retry_After` stands for `Retry-After`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler, content: handler.answer(status, b"<html>no</html>", named)


def send(content: bytes, **headers: str) -> Behaviour:
    """Sends another content, as if it were the file."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler, _: handler.answer(200, content, named)


@contextmanager
def running() -> Iterator[Server]:
    """A server for as long as the context lasts."""
    with served(Server()) as server:
        try:
            yield server
        finally:
            server.released.set()
