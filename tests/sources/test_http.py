"""Fetching over HTTP from a real server on loopback, which misbehaves on demand."""

import base64
import hashlib
import pickle
import socket
import threading
import time
from asyncio import CancelledError
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import psutil
import pytest

from tests.sources.http_server import Server, picture, serve
from transforms.dataset.failures import PixelError, Reason
from transforms.sources import addresses
from transforms.sources.http import HttpFetcher, Request
from transforms.sources.limits import HttpOptions
from transforms.storage.http.handle import USER_AGENT
from transforms.storage.retry import Retry

OPTIONS = HttpOptions(
    connect_seconds=2,
    read_seconds=1,
    retry=Retry(retries=1, total_seconds=5, first_wait=0.05, longest_wait=3),
    max_bytes=1 << 20,
)


def only_the_tests(address: str) -> str | None:
    """Allows 127.0.0.1, where the server of the tests listens, and else what is public."""
    return None if address == "127.0.0.1" else addresses.refusal(address)


def fetcher_of(retry: dict[str, float] | None = None, **changes: object) -> HttpFetcher:
    changes["retry"] = replace(OPTIONS.retry, **(retry or {}))
    return HttpFetcher(replace(OPTIONS, **changes), only_the_tests)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve() as server:
        yield server


@pytest.fixture(scope="module")
def fetcher() -> Iterator[HttpFetcher]:
    fetcher = fetcher_of()
    yield fetcher
    fetcher.close()


def fetch_one(fetcher: HttpFetcher, url: str, **known: object) -> bytes | PixelError:
    (answer,) = fetcher.fetch([Request(url, **known)])
    return answer


def connections_to(server: Server) -> int:
    connections = psutil.Process().net_connections("tcp4")
    return sum(bool(c.raddr) and c.raddr.port == server.port for c in connections)


def reason_of(answer: bytes | PixelError) -> Reason | None:
    return answer.reason if isinstance(answer, PixelError) else None


@pytest.mark.parametrize(
    "path",
    [
        "picture/a",
        "picture/spaces and ü",
        "early-hints/b",
        "long/d",
        "to//picture/e",
        "to/../picture/f",
        "flaky/g",
    ],
)
def test_gets_the_very_bytes(server: Server, path: str) -> None:
    name = path.rsplit("/", 1)[1]
    fetcher = fetcher_of({"retries": 3})
    assert fetch_one(fetcher, f"{server.url}/{path}") == picture(name)
    assert fetch_one(fetcher, f"{server.url}/picture/next") == picture("next")
    fetcher.close()
    assert server.agents == {USER_AGENT}


#: Path, reason, a part of the detail, how often it is asked, seconds that it may take.
BAD = [
    ("status/404", Reason.MISSING, "404", 1, 1),
    ("status/410", Reason.MISSING, "410", 1, 1),
    ("status/403", Reason.HTTP_STATUS, "403", 1, 1),
    ("status/400", Reason.HTTP_STATUS, "400", 1, 1),
    ("status/206", Reason.HTTP_STATUS, "206", 1, 1),
    ("status/304", Reason.HTTP_STATUS, "304", 1, 1),
    ("status/302", Reason.HTTP_STATUS, "302", 1, 1),
    ("status/503", Reason.HTTP_STATUS, "503 (2 attempts)", 2, 1),
    ("status/500", Reason.HTTP_STATUS, "500 (2 attempts)", 2, 1),
    ("status/429", Reason.HTTP_STATUS, "429 (2 attempts)", 2, 1),
    ("drip/1", Reason.TIMEOUT, "", 2, 5.5),
    ("stall/", Reason.TIMEOUT, "", 2, 5.5),
    ("reset/start", Reason.HTTP_STATUS, "no sound answer", 2, 1),
    ("reset/middle", Reason.TRUNCATED, "Content-Length: 200000", 2, 1),
    ("short/", Reason.TRUNCATED, "10000 bytes; Content-Length: 20000", 2, 1),
    ("chunked-cut/", Reason.TRUNCATED, "4 bytes; Content-Length: unknown", 2, 1),
    ("garbage/", Reason.HTTP_STATUS, "no sound answer", 1, 1),
    ("declared/10000000000", Reason.TOO_LARGE, "Content-Length: 10000000000", 1, 1),
    ("declared/1048577", Reason.TOO_LARGE, "Content-Length: 1048577", 1, 1),
    ("endless/200", Reason.TOO_LARGE, "more than 1048576 bytes", 1, 2),
    ("endless/404", Reason.MISSING, "404", 1, 2),
    ("endless-headers/", Reason.HTTP_STATUS, "no sound answer", 2, 2),
    ("bomb/", Reason.TOO_LARGE, "", 1, 2),
    ("loop/again", Reason.HTTP_STATUS, "more than 5 redirects", 6, 1),
    ("to/https://s.example/pw/images/en-us/photo_unavailable.png", Reason.MISSING, "photo_", 1, 1),
    ("to//photo_unavailable_l.png", Reason.MISSING, "photo_unavailable_l.png", 1, 1),
    ("to/file:///etc/passwd", Reason.BLOCKED_ADDRESS, "file:", 1, 1),
    ("to/gopher://127.0.0.1:70/x", Reason.BLOCKED_ADDRESS, "gopher:", 1, 1),
    ("to/http://[::1", Reason.BLOCKED_ADDRESS, "[::1", 1, 1),
    ("to/http://169.254.169.254/latest/meta-data", Reason.BLOCKED_ADDRESS, "link-local", 1, 1),
    ("to/http://10.0.0.1/", Reason.BLOCKED_ADDRESS, "10.0.0.1 is private", 1, 1),
    ("to/http://127.0.0.2/", Reason.BLOCKED_ADDRESS, "127.0.0.2 is loopback", 1, 1),
    ("to/http://2130706434/", Reason.BLOCKED_ADDRESS, "127.0.0.2 is loopback", 1, 1),
    ("to/http://0x7f.2/", Reason.BLOCKED_ADDRESS, "127.0.0.2 is loopback", 1, 1),
    ("to/http://[::ffff:127.0.0.2]/", Reason.BLOCKED_ADDRESS, "is loopback", 1, 1),
    ("to/http://0.0.0.0/", Reason.BLOCKED_ADDRESS, "0.0.0.0 is unspecified", 1, 1),
]


@pytest.mark.parametrize(("path", "reason", "detail", "asked", "seconds"), BAD)
def test_each_misbehaviour_has_its_reason(
    server: Server,
    fetcher: HttpFetcher,
    path: str,
    reason: Reason,
    detail: str,
    asked: int,
    seconds: float,
) -> None:
    before, start = server.asked.total(), time.monotonic()
    answer = fetch_one(fetcher, f"{server.url}/{path}")
    took = time.monotonic() - start
    assert reason_of(answer) == reason, answer
    assert detail in answer.detail
    assert server.asked.total() - before == asked
    assert took < seconds + 1.5  # for a busy machine


def test_a_body_compressed_for_transport_is_refused(server: Server) -> None:
    fetcher = fetcher_of(max_bytes=64 << 20)
    answer = fetch_one(fetcher, f"{server.url}/bomb/")
    assert reason_of(answer) == Reason.NOT_IMAGE
    assert "gzip" in answer.detail
    fetcher.close()


def test_an_error_s_page_is_not_read_to_its_end(server: Server) -> None:
    fetcher = fetcher_of(max_bytes=1 << 40)
    start = time.monotonic()
    assert reason_of(fetch_one(fetcher, f"{server.url}/endless/404")) == Reason.MISSING
    assert time.monotonic() - start < 2
    fetcher.close()


@pytest.mark.parametrize("busy", ["429,1", "503,1", "429,date"])
def test_waits_as_long_as_the_server_asks(server: Server, fetcher: HttpFetcher, busy: str) -> None:
    start = time.monotonic()
    assert fetch_one(fetcher, f"{server.url}/busy/{busy}") == picture(busy)
    assert 0.9 < time.monotonic() - start < 4


def test_a_wait_is_capped_and_not_begun_when_it_ends_too_late(server: Server) -> None:
    for total, longest, reason in ((5, 0.5, None), (2, 60, Reason.HTTP_STATUS)):
        server.asked.clear()
        fetcher = fetcher_of({"total_seconds": total, "longest_wait": longest})
        start = time.monotonic()
        answer = fetch_one(fetcher, f"{server.url}/busy/503,3600")
        assert reason_of(answer) == reason
        assert time.monotonic() - start < 1.5
        fetcher.close()


def test_a_steady_drip_ends_in_time(server: Server) -> None:
    fetcher = fetcher_of({"total_seconds": 1.5})
    start = time.monotonic()
    assert reason_of(fetch_one(fetcher, f"{server.url}/drip/500")) == Reason.TIMEOUT
    assert 1.4 < time.monotonic() - start < 3
    fetcher.close()


def test_too_many_requests_holds_back_the_others_of_that_host() -> None:
    with serve() as server, ThreadPoolExecutor(1) as thread:
        fetcher = fetcher_of(max_per_host=1)
        requests = [Request(f"{server.url}/{path}") for path in ("busy/429,1", "picture/other")]
        answers = thread.submit(list, fetcher.fetch(requests))
        while not server.asked:
            time.sleep(0.01)
        time.sleep(0.6)
        assert len(server.asked) == 1
        assert answers.result() == [picture("429,1"), picture("other")]
        fetcher.close()


def test_size_and_md5_are_checked(server: Server, fetcher: HttpFetcher) -> None:
    data = picture("known")
    md5 = base64.b64encode(hashlib.md5(data).digest()).decode()
    url = f"{server.url}/picture/known"
    assert fetch_one(fetcher, url, size=len(data), md5=md5) == data
    assert reason_of(fetch_one(fetcher, url, size=len(data) + 1)) == Reason.SIZE_MISMATCH
    other = base64.b64encode(hashlib.md5(b"").digest()).decode()
    assert reason_of(fetch_one(fetcher, url, md5=other)) == Reason.MD5_MISMATCH


def test_many_at_once_in_order_and_within_the_limit_of_a_host(fetcher: HttpFetcher) -> None:
    with serve() as server:
        fetcher = fetcher_of(max_per_host=8)
        names = [str(i) for i in range(200)]
        requests = [Request(f"{server.url}/picture/{name}") for name in names]
        requests[50] = Request(f"{server.url}/status/404")
        answers = list(fetcher.fetch(requests))
        assert reason_of(answers.pop(50)) == Reason.MISSING
        assert answers == [picture(name) for name in names if name != "50"]
        assert list(fetcher.fetch(requests[:20])) == [picture(name) for name in names[:20]]
        assert server.most_at_once == 8
        assert server.connections == 8  # reused, also after a 404 and by the second call
        fetcher.close()


def test_an_overall_limit() -> None:
    with serve() as server:
        fetcher = fetcher_of(max_per_host=8, max_requests=5)
        hosts = [server.url, server.url.replace("127.0.0.1", "localhost")]
        requests = [Request(f"{hosts[i % 2]}/picture/{i}") for i in range(60)]
        assert list(fetcher.fetch(requests)) == [picture(str(i)) for i in range(60)]
        assert server.most_at_once == 5
        fetcher.close()


def test_private_hosts_only_when_allowed(server: Server) -> None:
    for allowed in (False, True):
        fetcher = HttpFetcher(HttpOptions(allow_private_hosts=allowed))
        for host in ("127.0.0.1", "localhost"):
            answer = fetch_one(fetcher, f"http://{host}:{server.port}/picture/private")
            assert reason_of(answer) == (None if allowed else Reason.BLOCKED_ADDRESS)
        fetcher.close()


def test_the_address_that_is_connected_to_is_the_one_that_is_checked(server: Server) -> None:
    """Each connection is checked, not a name once: a name may be rebound between two answers."""
    checked: list[str] = []

    def refuse_the_second(address: str) -> str | None:
        checked.append(address)
        return None if len(checked) == 1 else "rebound"

    fetcher = HttpFetcher(OPTIONS, refuse_the_second)
    url = f"http://127.0.0.1:{server.port}"
    assert fetch_one(fetcher, f"{url}/short/").detail == "rebound"  # its retry connects anew
    assert checked == ["127.0.0.1", "127.0.0.1"]
    fetcher.close()


def test_proxies_of_the_environment_dont_get_round_the_check(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", server.url)
    fetcher = fetcher_of()
    answer = fetch_one(fetcher, "http://10.0.0.1/picture/proxied")
    assert reason_of(answer) == Reason.BLOCKED_ADDRESS
    fetcher.close()


@pytest.mark.parametrize(
    "url", ["", "picture.jpg", "file:///etc/passwd", "ftp://a.example/b", "http://", "//host/x"]
)
def test_only_http_is_asked(fetcher: HttpFetcher, url: str) -> None:
    assert reason_of(fetch_one(fetcher, url)) == Reason.BLOCKED_ADDRESS


def test_a_closed_port_and_a_name_that_isnt_there(fetcher: HttpFetcher) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        answer = fetch_one(fetcher, f"http://127.0.0.1:{free.getsockname()[1]}/")
    assert reason_of(answer) == Reason.HTTP_STATUS
    assert "no sound answer" in answer.detail
    answer = fetch_one(fetcher, "http://nowhere.invalid/")
    assert reason_of(answer) in (Reason.HTTP_STATUS, Reason.TIMEOUT)  # if name servers are slow


def test_http_2_is_offered() -> None:
    """The greeting of TLS names both protocols, HTTP/2 first."""
    greetings: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet() -> None:
            connection, _ = listener.accept()
            with connection:
                greetings.append(connection.recv(1 << 14))

        thread = threading.Thread(target=greet)
        thread.start()
        fetcher = fetcher_of({"retries": 0})
        answer = fetch_one(fetcher, f"https://127.0.0.1:{listener.getsockname()[1]}/")
        thread.join()
        fetcher.close()
    assert reason_of(answer) == Reason.HTTP_STATUS
    assert b"\x02h2\x08http/1.1" in greetings[0]


def test_closing_gives_everything_back_and_ends_what_is_under_way() -> None:
    with serve() as server:
        threads = threading.active_count()
        fetcher = fetcher_of()
        list(fetcher.fetch([Request(f"{server.url}/picture/{i}") for i in range(20)]))
        urls = [f"{server.url}/picture/0", *[f"{server.url}/stall/"] * 40]
        pending = fetcher.fetch([Request(url) for url in urls])
        assert next(pending) == picture("0")
        time.sleep(0.2)
        assert connections_to(server) == 32
        fetcher.close()
        fetcher.close()
        with pytest.raises(CancelledError):
            next(pending)
        assert threading.active_count() == threads
        assert connections_to(server) == 0


def test_options_can_be_pickled() -> None:
    assert pickle.loads(pickle.dumps(OPTIONS)) == OPTIONS
