"""What object stores refuse, and what isn't one, is told in one line with the remedy."""

import http.server
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.emulators import forget_credentials
from tests.serving import served
from transforms.storage import files, objects
from transforms.storage.objects import DeniedError, StorageError
from transforms.storage.stores import ObjectOptions

DOINGS: dict[str, Callable[[str, ObjectOptions], object]] = {
    "read": lambda uri, options: files.open_file(uri, options),
    "list": lambda uri, options: files.list_files(uri, options),
    "write": lambda uri, options: objects.upload(uri, b"data", options),
    "stream": lambda uri, options: files.create_file(uri, options).close(),
}


class _Answering(http.server.BaseHTTPRequestHandler):
    """Answers each request alike."""

    server: "_Server"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(self.server.body)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_PUT(self) -> None:
        self.do_GET()


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    status = 200
    body = b"<html>Hello</html>"

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answering)
        self.url = f"http://127.0.0.1:{self.server_port}"


@pytest.fixture
def server() -> Iterator[_Server]:
    with served(_Server()) as server:
        yield server


@pytest.fixture(params=["s3", "gs"])
def uri(request: pytest.FixtureRequest) -> str:
    """Of another bucket for each test: buckets are opened once a process."""
    return f"{request.param}://bucket-{uuid.uuid4()}/some/key"


@pytest.fixture
def options(server: _Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ObjectOptions:
    """Of a server without credentials."""
    forget_credentials(monkeypatch, tmp_path)
    monkeypatch.setenv("GOOGLE_BASE_URL", server.url)
    return ObjectOptions(s3_endpoint_url=server.url).hasty()


@pytest.fixture
def with_credentials(
    options: ObjectOptions, server: _Server, monkeypatch: pytest.MonkeyPatch
) -> ObjectOptions:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
    return options


def failure(doing: str, uri: str, options: ObjectOptions) -> StorageError:
    with pytest.raises(StorageError) as caught:
        DOINGS[doing](uri, options)
    assert len(str(caught.value).splitlines()) == 1
    return caught.value


@pytest.mark.parametrize("doing", DOINGS)
@pytest.mark.parametrize("status", [401, 403])
def test_without_credentials(
    server: _Server, uri: str, options: ObjectOptions, doing: str, status: int
):
    server.status = status
    error = failure(doing, uri, options)
    remedy = {"s3": "AWS_ACCESS_KEY_ID", "gs": "GOOGLE_APPLICATION_CREDENTIALS"}[uri[:2]]
    assert isinstance(error, DeniedError)
    assert "bucket" in str(error)
    assert f"no credentials: set {remedy}" in str(error)


@pytest.mark.parametrize("doing", DOINGS)
@pytest.mark.parametrize("code", [b"", b"<Error><Code>SignatureDoesNotMatch</Code></Error>"])
def test_with_credentials_that_are_denied(
    server: _Server, uri: str, with_credentials: ObjectOptions, doing: str, code: bytes
):
    server.status, server.body = 403, code
    error = failure(doing, uri, with_credentials)
    assert isinstance(error, DeniedError)
    assert "denied to these credentials" in str(error)
    assert ("SignatureDoesNotMatch" in str(error)) == (bool(code) and doing != "read")


@pytest.mark.parametrize(
    ("status", "words"),
    [(400, "HTTP 400"), (503, "HTTP 503"), (301, "no answer of an object store: check ")],
)
@pytest.mark.parametrize("doing", DOINGS)
def test_other_answers(
    server: _Server,
    uri: str,
    with_credentials: ObjectOptions,
    doing: str,
    status: int,
    words: str,
):
    server.status = status
    assert words in str(failure(doing, uri, with_credentials))


@pytest.mark.parametrize("doing", ["write", "stream"])
def test_a_server_that_is_no_object_store(
    uri: str, with_credentials: ObjectOptions, server: _Server, doing: str
):
    error = failure(doing, uri, with_credentials)
    place = server.url if uri.startswith("s3") else "the network"
    assert f"no answer of an object store: check {place}" in str(error)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("AWS_ENDPOINT_URL", "user:secret@127.0.0.1:1"),
        ("AWS_ENDPOINT_URL_S3", "http://[::1"),
        ("AWS_ENDPOINT_URL", ""),
        ("STORAGE_EMULATOR_HOST", "user:secret@host:port"),
    ],
)
def test_an_endpoint_that_is_none(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    forget_credentials(monkeypatch, tmp_path)
    monkeypatch.setenv(variable, value)
    scheme = "gs" if variable.startswith("STORAGE") else "s3"
    with pytest.raises(StorageError, match=f"^{variable}: .* is no ") as raised:
        files.read_file(
            f"{scheme}://bucket/endpoint-{len(value)}",
            ObjectOptions(retry=replace(ObjectOptions.retry, retries=0)),
        )
    assert "secret" not in str(raised.value)
