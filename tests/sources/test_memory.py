"""The memory of a worker, whatever the sizes of pictures."""

import http.server
import struct
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future
from pathlib import Path

import pytest

from benchmarks.memory import measure, write_corpus
from tests.examples.imaging.pictures import chunk, jpeg, png
from transforms.examples.imaging.decode import MAX_PNG_PIXELS
from transforms.examples.imaging.encode import MAX_ENCODED_BYTES
from transforms.sources.budget import ByteBudget, Room, in_order

GIB = 1 << 30
MIB = 1 << 20
BODIES, BODY_BYTES = 64, 40 * MIB

#: Fetches pictures from a source, keeps none, and tells how many there were and the peak in KiB.
FETCH = """
import re, sys
import pyarrow as pa
from transforms.dataset.elements import Source
from transforms.examples.imaging.process import ImageSpec
from transforms.examples.pictures import fetch_pictures
from transforms.sources.limits import HttpOptions
from transforms.sources.sources import open_sources
from transforms.storage.stores import ObjectOptions

medium, path, url, count = sys.argv[1:]
texts = ("image_id", "split", "original_url", "original_md5", "thumbnail_300k_url")
images = pa.table({name: ["x"] * int(count) for name in texts})
for name in ("rotation", "original_size", "pictures"):
    images = images.append_column(name, pa.nulls(int(count)))
sources = open_sources(
    [Source(0, "pictures", path, 0, medium=medium)],
    HttpOptions(allow_private_hosts=True),
    ObjectOptions(s3_endpoint_url=url),
)
fetched = 0
for piece in fetch_pictures(images, sources, verify=True, spec=ImageSpec()):
    assert not piece.failures, piece.failures
    fetched += len(piece.images)
peak = re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]
print(fetched, peak)
"""


class Handler(http.server.BaseHTTPRequestHandler):
    """Has a picture of `BODY_BYTES` at every path: a JPEG with zeros behind it."""

    protocol_version = "HTTP/1.1"
    start = jpeg()

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(BODY_BYTES))
        self.send_header("ETag", '"x"')
        self.send_header("Last-Modified", "Sun, 22 Nov 2026 22:38:31 GMT")
        self.end_headers()
        try:
            self.wfile.write(self.start)
            rest = BODY_BYTES - len(self.start)
            while rest:
                rest -= self.wfile.write(bytes(min(rest, MIB)))
        except OSError:
            self.close_connection = True  # the client has no room for it


@pytest.fixture
def url() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=[0.05])
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("medium", ["http", "s3"])
def test_many_large_bodies_at_once(url: str, medium: str) -> None:
    path = f"{url}/{{split}}/{{image_id}}.jpg" if medium == "http" else "s3://bucket/folder"
    command = [sys.executable, "-c", FETCH, medium, path, url, str(BODIES)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    fetched, peak = map(int, ran.stdout.split())
    assert fetched == BODIES
    assert peak * 1024 < 512 * MIB  # of 2.5 GiB


def flat_interlaced_png(side: int) -> bytes:
    """Black RGB pixels; decoding takes as much memory as with any others."""
    rows = sum(
        -((top - side) // down) * (1 + 3 * -((left - side) // across))
        for left, top, across, down in (
            *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4)),
            *((0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)),
        )
    )
    packer = zlib.compressobj(1)
    data = b"".join(packer.compress(bytes(min(MIB, rows - at))) for at in range(0, rows, MIB))
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 1)
    return png(chunk(b"IHDR", header), chunk(b"IDAT", data + packer.flush()), chunk(b"IEND"))


def test_a_png_of_the_most_pixels_turned(tmp_path: Path) -> None:
    side = int(MAX_PNG_PIXELS**0.5)
    write_corpus(tmp_path, flat_interlaced_png(side))
    peak, failures = measure(tmp_path, ("--apply_rotation", "--image_encoding", "jpeg"))
    assert failures == {}
    assert peak * MIB < GIB


def test_a_picture_of_the_most_bytes(tmp_path: Path) -> None:
    write_corpus(tmp_path, jpeg().ljust(MAX_ENCODED_BYTES, b"\0"))
    peak, failures = measure(tmp_path, ())
    assert failures == {}
    assert peak * MIB < GIB


def test_whose_turn_it_is_never_waits() -> None:
    budget = ByteBudget(100)
    first, second = budget.claim(0, 1000), budget.claim(1, 10)
    assert first.done()
    assert not second.done()
    budget.begin(1)
    assert second.done()


def test_claims_are_granted_in_turn_as_far_as_they_fit() -> None:
    budget = ByteBudget(100)
    claims = [budget.claim(number, size) for number, size in enumerate((60, 30, 50, 10))]
    assert [claim.done() for claim in claims] == [True, True, False, True]
    assert not budget.try_claim(3, 11)
    assert budget.try_claim(1, 0)
    assert budget.try_claim(3, 40)
    budget.begin(1)
    assert claims[2].done()
    assert not Room(budget, 4, 0).resize(11)
    assert Room(budget, 4, 0).resize(10)


def test_answers_come_in_order_and_not_too_many_are_under_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[Future[int]] = []

    def start(number: int) -> Future[int]:
        started.append(Future())
        if number % 3 == 0:  # what comes late holds up what is there
            for late, future in enumerate(started):
                if not future.done():
                    future.set_result(late)
        return started[-1]

    budget = ByteBudget(100)
    monkeypatch.setattr("transforms.sources.budget.ANSWERS_AHEAD", 4)
    answers = in_order(10, start, Future.result, budget)
    assert [next(answers) for _ in range(6)] == list(range(6))
    assert len(started) == 9
    waiting = budget.claim(9, 1000)
    answers.close()
    assert started[7].cancelled()
    with pytest.raises(CancelledError):
        waiting.result()
    with pytest.raises(CancelledError):
        budget.claim(9, 1).result()
