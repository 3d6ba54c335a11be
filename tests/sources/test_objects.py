"""Pictures from S3 and Google Cloud Storage, emulated, and from servers that misbehave."""

import http.server
import json
import re
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest

from tests.emulators import GcsServer, ObjectServer, S3Server, forget_credentials
from tests.serving import served
from transforms.dataset.failures import PixelError, Reason
from transforms.sources.objects import ObjectFetcher
from transforms.storage import stores
from transforms.storage.stores import ObjectOptions

BUCKET = "pictures"
#: As the objects lie in both stores: in both layouts, and some further down.
OBJECTS = MappingProxyType(
    {
        "train/0000000000000001.jpg": b"in a split's folder",
        "0000000000000002.jpg": b"flat",
        "train/0000000000000003.jpg": b"both, and this one first",
        "0000000000000003.jpg": b"not this one",
        "some where/v7/0000000000000004.jpg": b"below a prefix",
        "mirror/train-pictures/0000000000000005_o.jpg": b"by template",
        "large.jpg": bytes(1_000_001),
        **{f"many/train/{i:016x}.jpg": f"{i} ".encode() * (1 + i % 50) for i in range(0, 300, 3)},
        **{f"many/{i:016x}.jpg": f"{i} ".encode() * (1 + i % 50) for i in range(1, 300, 3)},
    }
)
QUICK = {
    "connect_timeout": 1.0,
    "read_timeout": 0.5,
    "timeout": 1.0,
    "retry": replace(ObjectOptions.retry, retries=1),
}
Opener = Callable[..., ObjectFetcher]


@pytest.fixture(autouse=True)
def _no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    forget_credentials(monkeypatch, tmp_path)


def _fill(server: ObjectServer) -> None:
    server.make_bucket(BUCKET)
    for key, data in OBJECTS.items():
        server.put(BUCKET, key, data)


@pytest.fixture(scope="module")
def filled_s3(s3_server: S3Server) -> S3Server:
    _fill(s3_server)
    s3_server.put(BUCKET, "empty.jpg", b"")
    s3_server.put(BUCKET, "private.jpg", b"private", public=False)
    return s3_server


@pytest.fixture(scope="module")
def filled_gcs(gcs_server: GcsServer) -> GcsServer:
    _fill(gcs_server)
    return gcs_server


@pytest.fixture(params=["s3", "gs"])
def scheme(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def opened(
    scheme: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Opener]:
    """Opens a path of the store that is emulated, or of another server's."""
    fetchers: list[ObjectFetcher] = []

    def open_(path: str = BUCKET, url: str | None = None, **options: object) -> ObjectFetcher:
        filled = "filled_s3" if scheme == "s3" else "filled_gcs"
        url = url or request.getfixturevalue(filled).url
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", url)
        settings = ObjectOptions(s3_endpoint_url=url, **options)
        fetchers.append(ObjectFetcher(f"{scheme}://{path}", settings))
        return fetchers[-1]

    yield open_
    for fetcher in fetchers:
        fetcher.close()


def _failure(answer: bytes | PixelError) -> tuple[Reason, str]:
    assert isinstance(answer, PixelError)
    return answer.reason, answer.detail


def test_both_layouts_are_found_and_the_first_wins(opened: Opener) -> None:
    fetcher = opened()
    keys = [fetcher.candidates("train", f"{i:016x}") for i in (1, 2, 3)]
    assert keys[0] == ("train/0000000000000001.jpg", "0000000000000001.jpg")
    assert list(fetcher.fetch(keys)) == [
        b"in a split's folder",
        b"flat",
        b"both, and this one first",
    ]
    assert list(fetcher.fetch([])) == []


@pytest.mark.parametrize("end", ["", "/"])
def test_a_prefix_goes_before_every_key(opened: Opener, end: str) -> None:
    fetcher = opened(f"{BUCKET}/some where/v7{end}")
    answer, other = fetcher.fetch([fetcher.candidates("test", f"{i:016x}") for i in (4, 1)])
    assert answer == b"below a prefix"
    assert "some where/v7/test/0000000000000001.jpg" in _failure(other)[1]


def test_a_template_names_the_one_place(opened: Opener) -> None:
    fetcher = opened(BUCKET + "/mirror/{split}-pictures/{image_id}_o.jpg")
    keys = [fetcher.candidates("train", f"{i:016x}") for i in (5, 1)]
    assert keys[0] == ("mirror/train-pictures/0000000000000005_o.jpg",)
    found, other = fetcher.fetch(keys)
    assert found == b"by template"
    assert _failure(other)[0] is Reason.MISSING


def test_what_is_absent_is_missing_and_says_what_was_tried(opened: Opener) -> None:
    fetcher = opened()
    (answer,) = fetcher.fetch([fetcher.candidates("train", "00000000000000ff")])
    reason, detail = _failure(answer)
    assert reason is Reason.MISSING
    assert "://pictures has no train/00000000000000ff.jpg, 00000000000000ff.jpg" in detail


def test_an_absent_bucket_is_missing(opened: Opener, scheme: str) -> None:
    (answer,) = opened("absent").fetch([["train/a.jpg", "a.jpg"]])
    reason, detail = _failure(answer)
    assert reason is Reason.MISSING
    assert f"{scheme}://absent" in detail


def test_too_large_is_known_before_the_body_is_read(opened: Opener) -> None:
    (answer,) = opened(max_bytes=1_000_000).fetch(["large.jpg"])
    assert _failure(answer) == (Reason.TOO_LARGE, "1000001 bytes; the limit is 1000000")
    assert list(opened(max_bytes=1_000_001).fetch(["large.jpg"])) == [bytes(1_000_001)]


@pytest.mark.parametrize("key", ["a//b.jpg", "../b.jpg"])
def test_a_key_that_cannot_be_asked_for_fails_alone(opened: Opener, key: str) -> None:
    bad, good = opened().fetch([key, "0000000000000002.jpg"])
    assert _failure(bad)[0] is Reason.UNSAFE_PATH
    assert good == b"flat"


def test_300_at_once_come_in_order(opened: Opener) -> None:
    fetcher = opened(f"{BUCKET}/many")
    answers = list(fetcher.fetch([fetcher.candidates("train", f"{i:016x}") for i in range(300)]))
    assert len(answers) == 300
    for i, answer in enumerate(answers):
        if i % 3 == 2:
            assert f"{i:016x}" in _failure(answer)[1]
        else:
            assert answer == f"{i} ".encode() * (1 + i % 50)


def test_an_empty_object_is_found(filled_s3: S3Server) -> None:
    options = ObjectOptions(s3_endpoint_url=filled_s3.url)
    with closing(ObjectFetcher(f"s3://{BUCKET}", options)) as fetcher:
        assert list(fetcher.fetch(["empty.jpg"])) == [b""]


def _open_private(url: str) -> list[bytes | PixelError]:
    with closing(ObjectFetcher(f"s3://{BUCKET}", ObjectOptions(s3_endpoint_url=url))) as fetcher:
        return list(fetcher.fetch(["private.jpg", ["private.jpg", "0000000000000002.jpg"]]))


def test_without_credentials_what_is_private_is_denied(filled_s3: S3Server) -> None:
    denied, found = _open_private(filled_s3.url)
    assert _failure(denied) == (Reason.HTTP_STATUS, "HTTP 403: s3://pictures denies access")
    assert found == b"flat"


def test_credentials_of_the_environment_are_used(
    filled_s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    assert _open_private(filled_s3.url) == [b"private", b"private"]


@pytest.mark.parametrize("profile", [None, "mine"])
def test_credentials_of_a_profile_are_used(
    filled_s3: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, profile: str | None
) -> None:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws/credentials").write_text(
        f"[{profile or 'default'}]\naws_access_key_id = a\naws_secret_access_key = %b\n"
    )
    if profile:
        monkeypatch.setenv("AWS_PROFILE", profile)
    assert _open_private(filled_s3.url) == [b"private", b"private"]


def test_a_profile_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "absent")
    with pytest.raises(ValueError, match=r"s3://bucket: .* profile \(absent\) could not be found"):
        ObjectFetcher("s3://bucket", ObjectOptions(s3_endpoint_url="http://127.0.0.1:1"))


def test_google_credentials_that_cannot_be_read_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere.json")
    with pytest.raises(ValueError, match=r"gs://bucket: .*/nowhere\.json"):
        ObjectFetcher("gs://bucket")


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("http://bucket/a", "not of the form"),
        ("s3://", "not of the form"),
        ("gs:///a", "not of the form"),
        ("s3://b/{split}/a.jpg", "{image_id} is missing"),
        ("gs://b/{image_id}.{ext}", "{ext} is neither"),
    ],
)
def test_uris_that_are_none_are_refused(uri: str, words: str) -> None:
    with pytest.raises(ValueError, match=words.replace("{", r"\{").replace("}", r"\}")):
        ObjectFetcher(uri)


_LENGTHS = {"drips": 999, "short": 999}
#: What a machine of Amazon's has for its role, whose name is "some".
_ROLE = json.dumps(
    {
        "AccessKeyId": "someone",
        "SecretAccessKey": "secret",
        "Token": "token",
        "Expiration": "2099-01-01T00:00:00Z",
    }
).encode()
_DEEDS = (
    *("301", "400", "401", "403", "404", "429", "503", "drips", "silent", "short", "endless"),
    *("heals", "signed-is-denied", "machine", "machine-without-role"),
)


class _Misbehaving(http.server.BaseHTTPRequestHandler):
    """Does what a part of the path says, and notes the requests."""

    protocol_version = "HTTP/1.1"
    server: "_Server"

    def log_message(self, *args: object) -> None:
        pass

    def do_PUT(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers.get("Authorization", "")))
        path = urllib.parse.unquote(self.path)
        deed = next((part for part in path.split("/") if part in _DEEDS), "")
        if deed == "machine-without-role":
            deed = "404" if self.path.endswith(("security-credentials/", "email")) else "machine"
        if deed == "heals" and len(self.server.asked) == 1:
            deed = "503"
        if deed == "signed-is-denied" and self.headers.get("Authorization"):
            deed = "403"
        if deed == "silent":
            self.server.ended.wait(30)
            return
        asked = re.fullmatch(r"bytes=(\d+)-.*", self.headers.get("Range", ""))
        status = int(deed) if deed.isdigit() else 206 if asked else 200
        self.send_response(status)
        self.send_header("Last-Modified", "Sun, 22 Nov 2026 22:38:31 GMT")
        self.send_header("ETag", '"x"')
        self.send_header("Metadata-Flavor", "Google")
        self.send_header("Connection", "close")
        body = _ROLE if path.endswith("security-credentials/some") else b"some"
        if deed != "endless":
            start = int(asked[1]) if asked else 0
            self.send_header("Content-Length", str(_LENGTHS.get(deed, len(body)) - start))
            if asked:
                self.send_header("Content-Range", f"bytes {start}-998/999")
        self.end_headers()
        try:
            self.wfile.write(body)
            while deed == "drips" and not self.server.ended.wait(0.1):
                self.wfile.write(b".")
        except OSError:
            pass


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Misbehaving)
        self.asked: list[tuple[str, str]] = []
        self.ended = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}"


@pytest.fixture
def misbehaving() -> Iterator[_Server]:
    with served(_Server()) as server:
        yield server
        server.ended.set()


@pytest.mark.parametrize(
    ("deed", "reason", "words", "requests"),
    [
        ("401", Reason.HTTP_STATUS, "HTTP 401: .*denies access", 1),
        ("403", Reason.HTTP_STATUS, "HTTP 403: .*denies access", 1),
        ("400", Reason.HTTP_STATUS, "HTTP 400", 1),
        ("503", Reason.HTTP_STATUS, "HTTP 503", 2),
        ("429", Reason.HTTP_STATUS, "HTTP 429", 2),
        ("301", Reason.HTTP_STATUS, "without LOCATION", 1),
        ("drips", Reason.TIMEOUT, "no whole answer in time", 2),
        ("silent", Reason.TIMEOUT, "no whole answer in time", 2),
        ("short", Reason.TRUNCATED, "broke off", 2),
        ("endless", Reason.HTTP_STATUS, "Content-Length", 1),
    ],
)
def test_misbehaving_servers_cost_a_bounded_time(
    opened: Opener, misbehaving: _Server, deed: str, reason: Reason, words: str, requests: int
) -> None:
    started = time.monotonic()
    answers = list(opened("bucket/p", url=misbehaving.url, **QUICK).fetch([deed] * 8))
    assert time.monotonic() - started < 5
    for answer in answers:
        failure = _failure(answer)
        assert failure[0] is reason
        assert re.search(words, failure[1])
    assert len(misbehaving.asked) == 8 * requests
    assert len({_failure(answer) for answer in answers}) == 1


def test_what_passes_is_tried_again(opened: Opener, misbehaving: _Server) -> None:
    assert list(opened("bucket", url=misbehaving.url).fetch(["heals"])) == [b"some"]
    assert len(misbehaving.asked) == 2


def test_a_dead_endpoint_costs_a_bounded_time(opened: Opener) -> None:
    started = time.monotonic()
    answers = list(opened("bucket", url="http://127.0.0.1:9", **QUICK).fetch([["a", "b"]] * 64))
    assert time.monotonic() - started < 5
    assert {_failure(answer) for answer in answers} == {
        (Reason.HTTP_STATUS, "no sound answer: no connection")
    }


def test_a_public_bucket_that_denies_the_credentials_is_read_without(
    misbehaving: _Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with closing(
        ObjectFetcher("s3://b", ObjectOptions(s3_endpoint_url=misbehaving.url))
    ) as fetcher:
        assert list(fetcher.fetch(["signed-is-denied"])) == [b"some"]
    assert [bool(authorization) for _, authorization in misbehaving.asked] == [True, False]


@pytest.fixture
def count_on_machine(
    misbehaving: _Server, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, str], int]:
    """Counts the ways to ask a bucket of a cloud whose metadata service acts in some way."""
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # Amazon isn't asked for a region
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")

    def count(scheme: str, deed: str) -> int:
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"{misbehaving.url}/{deed}/")
        monkeypatch.setenv("GCE_METADATA_HOST", f"{misbehaving.url.removeprefix('http://')}/{deed}")
        return len(stores.open_bucket(scheme, "bucket", ObjectOptions(connect_timeout=0.5)))

    return count


@pytest.mark.parametrize("scheme", ["s3", "gs"])
def test_a_machine_s_own_credentials_are_used_where_it_has_some(
    count_on_machine: Callable[[str, str], int], misbehaving: _Server, scheme: str
) -> None:
    assert count_on_machine(scheme, "machine") == 2
    assert count_on_machine(scheme, "404") == 1
    assert count_on_machine(scheme, "machine-without-role") == 1
    misbehaving.asked.clear()
    started = time.monotonic()
    assert count_on_machine(scheme, "silent") == 1
    assert time.monotonic() - started < 5
    assert misbehaving.asked
