"""Ranges of a zip on a server that sends little at a time, or not what was asked for."""

import io
import random
import threading
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from open_images.downloading.client import RETRY, Client, DownloadError
from open_images.downloading.partial_zip import PartialZip
from open_images.downloading.plan import Item
from tests.downloading import server as servers
from tests.downloading.server import Server

#: Bytes after which connections end.
CUT = 50_000


@pytest.fixture
def content() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for number in range(8):
            archive.writestr(f"{number}.png", random.Random(number).randbytes(100_000))
    return file.getvalue()


def open_partial(server: Server, content: bytes, folder: Path) -> PartialZip:
    server.files["/masks.zip"] = content
    item = Item((server.url + "/masks.zip",), folder / "masks.zip", len(content), "")
    retry = replace(RETRY, retries=3, first_wait=0.001)
    return PartialZip(item, Client(5, threading.Event(), retry), folder / "partial")


def cut(handler: servers.Handler, content: bytes) -> None:
    """Answers a range, and ends the connection early."""
    answer = handler.answer

    def answer_some(status: int, body: bytes, headers: dict[str, str]) -> None:
        answer(status, body[:CUT], {"Content-Length": str(len(body)), **headers})
        handler.close_connection = True

    handler.answer = answer_some  # pyrefly: ignore
    servers.serve(handler, content)


def test_connections_that_end_early(content: bytes, tmp_path: Path):
    """Bytes that have come aren't asked for again, however often a connection ends."""
    with servers.running() as server:
        server.behaviours["/masks.zip"] = 100 * [cut]
        partial = open_partial(server, content, tmp_path)
        partial.open()
        partial.fetch(0, partial.directory)
        assert partial.path.read_bytes() == content
        assert len(content) <= partial.received <= len(content) + 2 * CUT
        partial.close()


@pytest.mark.parametrize(
    "stated",
    ["bytes 7-106/{}", "bytes 0-99/{}", "bytes */{}", "bytes 0-99/*", "", "bytes 0-99/1"],
)
def test_other_ranges_than_those_asked_for(content: bytes, tmp_path: Path, stated: str):
    headers = {"Content-Range": stated.format(len(content))} if stated else {}

    def lie(handler: servers.Handler, content: bytes) -> None:
        handler.answer(206, content[:100], headers)

    with servers.running() as server:
        server.behaviours["/masks.zip"] = [servers.serve, *20 * [lie]]
        partial = open_partial(server, content, tmp_path)
        partial.open()
        with pytest.raises(DownloadError):
            partial.fetch(200_000, partial.directory)
        partial.close()
        server.behaviours["/masks.zip"] = 20 * [lie]
        partial = open_partial(server, content, tmp_path)
        with pytest.raises(DownloadError):
            partial.open()
        partial.close()
