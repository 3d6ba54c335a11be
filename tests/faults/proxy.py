"""A proxy before an object store, which can refuse or delay what passes."""

import http.client
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

_HOP = ("connection", "transfer-encoding", "keep-alive")
#: Statuses and codes with which a store says what is wrong.
DENIED, FULL = (403, "AccessDenied"), (507, "InsufficientStorage")


class Proxy(ThreadingHTTPServer):
    """Passes requests on; those that write fail while a file is there.

    Args:
        url: of the store.
        flag: the file.
    """

    daemon_threads = True

    def __init__(self, url: str, flag: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target = urlsplit(url)
        self.flag = flag
        self.refusal = DENIED
        self.delay = 0.0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        time.sleep(self.server.delay)
        if self.command in ("PUT", "POST", "DELETE") and self.server.flag.exists():
            status, code = self.server.refusal
            self._answer(status, {}, f"<Error><Code>{code}</Code></Error>".encode())
            return
        connection = http.client.HTTPConnection(self.server.target.netloc)
        try:
            connection.request(self.command, self.path, body, dict(self.headers))
            answer = connection.getresponse()
            self._answer(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            connection.close()

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response_only(status)
        length = {"Content-Length": str(len(body))}
        for name, value in (length | headers).items():
            if name.lower() not in _HOP:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _pass_on  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass
