"""Members of folders, tars and zips in object stores: listed and read as on this machine."""

import io
import random
import tarfile
import threading
import zipfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from tests.emulators import GcsServer, S3Server
from transforms.dataset.failures import PixelError, Reason
from transforms.sources import ranges
from transforms.sources.listing import MASKS, PICTURES, kind_of, list_members
from transforms.sources.members import Address, MemberReader, address_of
from transforms.sources.ranges import Range, RangeFetcher
from transforms.sources.unpack import unpack
from transforms.storage.stores import ObjectOptions

BUCKET = "members"
COUNT = 100
CHANCE = random.Random(5)
PICTURES_BY_NAME = {f"{i:016x}.jpg": CHANCE.randbytes(CHANCE.randrange(3000)) for i in range(COUNT)}


def to_tar(mode: str) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as tar:
        for name, data in PICTURES_BY_NAME.items():
            info = tarfile.TarInfo(f"train/{name}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return file.getvalue()


def to_zip(method: int, extra: bytes = b"") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in PICTURES_BY_NAME.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = method
            info.extra = extra
            archive.writestr(info, data)
    return file.getvalue()


CONTAINERS = {
    "pictures.tar": to_tar("w:"),
    "stored.zip": to_zip(zipfile.ZIP_STORED),
    "deflated.zip": to_zip(zipfile.ZIP_DEFLATED),
    # Longer than what is asked for beyond a member.
    "extra.zip": to_zip(zipfile.ZIP_DEFLATED, b"\xff\xff\xd0\x07" + bytes(2000)),
}


@pytest.fixture(scope="module")
def servers(s3_server: S3Server, gcs_server: GcsServer) -> dict[str, S3Server | GcsServer]:
    servers = {"s3": s3_server, "gs": gcs_server}
    for server in servers.values():
        server.make_bucket(BUCKET)
        for name, data in CONTAINERS.items():
            server.put(BUCKET, name, data)
        for name, data in PICTURES_BY_NAME.items():
            server.put(BUCKET, f"folder/train/{name}", data)
        server.put(BUCKET, "folder/readme.md", b"")
        server.put(BUCKET, "packed.tar.gz", to_tar("w:gz"))
    return servers


@pytest.fixture
def options(servers: dict, store_options: ObjectOptions) -> ObjectOptions:
    """How the servers are reached that hold these."""
    return store_options


@pytest.fixture(params=["s3", "gs"])
def bucket(request: pytest.FixtureRequest) -> str:
    return f"{request.param}://{BUCKET}"


def members_of(uri: str, options: ObjectOptions) -> list[dict]:
    return [
        row for listed in list_members(uri, PICTURES, options) for row in listed.table.to_pylist()
    ]


@pytest.mark.parametrize("expected", [True, False])
@pytest.mark.parametrize("name", [*CONTAINERS, "folder"])
def test_members_are_listed_and_read(
    bucket: str, options: ObjectOptions, name: str, expected: bool
):
    uri = f"{bucket}/{name}"
    assert kind_of(uri, options) == name.rpartition(".")[2]
    members = members_of(uri, options)
    assert [member["image_id"] for member in members] == [n[:16] for n in sorted(PICTURES_BY_NAME)]
    with closing(MemberReader(options=options)) as reader:
        if expected:
            reader.expect(map(address_of, members))
        for member in members:
            assert reader.read(address_of(member)) == PICTURES_BY_NAME[member["image_id"] + ".jpg"]


def test_other_names_are_skipped(bucket: str, options: ObjectOptions):
    (listed,) = list_members(f"{bucket}/folder", MASKS, options)
    assert (len(listed.table), listed.skipped, listed.failures) == (0, COUNT + 1, [])


def test_an_archive_is_read_through_in_few_requests(
    bucket: str, options: ObjectOptions, monkeypatch: pytest.MonkeyPatch
):
    asked = []
    read_range = ranges.read_range

    def note(*wanted: object) -> bytes:
        asked.append(wanted)
        return read_range(*wanted)

    monkeypatch.setattr("transforms.storage.streams.read_range", note)
    assert len(members_of(f"{bucket}/pictures.tar", options)) == COUNT
    assert len(asked) < 10


def test_a_tar_gz_is_unpacked_into_the_store(bucket: str, options: ObjectOptions, tmp_path: Path):
    for folder in (f"{bucket}/work", str(tmp_path)):
        path, damage = unpack(f"{bucket}/packed.tar.gz", folder, options)
        assert damage is None
        assert path.startswith(f"{folder}/")
        with closing(MemberReader(options=options)) as reader:
            for member in members_of(path, options):
                data = reader.read(address_of(member))
                assert data == PICTURES_BY_NAME[member["image_id"] + ".jpg"]


def failure(read: Callable[..., bytes], *arguments: object) -> PixelError:
    with pytest.raises(PixelError) as caught:
        read(*arguments)
    return caught.value


def test_what_cannot_be_read_has_its_reason(bucket: str, options: ObjectOptions):
    size = len(CONTAINERS["pictures.tar"])
    with closing(MemberReader(options=options)) as reader:
        gone = failure(reader.read, Address(f"{bucket}/gone.tar", 0, 10))
        assert (gone.reason, f"{bucket}/gone.tar" in gone.detail) == (Reason.MISSING, True)
        cut = failure(reader.read, Address(f"{bucket}/pictures.tar", size - 10, 20))
        assert cut.reason is Reason.TRUNCATED
        wrong = failure(reader.read, Address(f"{bucket}/stored.zip", 5, 20, 0, 1))
        assert wrong.reason is Reason.CORRUPT
        assert reader.read(Address(f"{bucket}/gone.tar", 0, 0)) == b""
    elsewhere = ObjectOptions(
        s3_endpoint_url="http://127.0.0.1:9", retry=replace(ObjectOptions.retry, retries=0)
    )
    with closing(MemberReader(options=elsewhere)) as reader:
        refused = failure(reader.read, Address("s3://members/pictures.tar", 0, 10))
        assert (refused.reason, "no connection" in refused.detail) == (Reason.HTTP_STATUS, True)


class Asked:
    """Notes the ranges that are asked for, and lets nobody have one before it is told to."""

    def __init__(self) -> None:
        self.ranges: list[tuple[int, int]] = []
        self.open = threading.Event()

    def __call__(self, uri: str, start: int, length: int, *_: object) -> bytes:
        self.ranges.append((start, length))
        assert self.open.wait(10)
        return b"%d" % start


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    asked = Asked()
    monkeypatch.setattr(ranges, "read_range", asked)
    return asked


def test_only_so_much_is_fetched_ahead(asked: Asked, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ranges, "_AHEAD", 8)
    asked.open.set()
    fetcher = RangeFetcher(ObjectOptions())
    expected = iter(range(100))
    fetcher.expect(Range("s3://b/k", i, 1) for i in expected)
    assert next(expected) == 8  # of these, no more were taken
    for i in (*range(8), *range(9, 100)):
        assert fetcher.fetch(Range("s3://b/k", i, 1)) == b"%d" % i
    assert sorted(asked.ranges) == [(i, 1) for i in range(100) if i != 8]
    expected = iter(range(100))
    fetcher.expect(Range("s3://b/k", i, 20 << 20) for i in expected)
    assert next(expected) == 2
    fetcher.close()


def test_many_are_under_way_at_once(asked: Asked):
    fetcher = RangeFetcher(ObjectOptions(max_concurrent=16))
    fetcher.expect(Range("s3://b/k", i, 1) for i in range(16))
    while len(asked.ranges) < 16:
        threading.Event().wait(0.01)
    asked.open.set()
    assert fetcher.fetch(Range("s3://b/k", 0, 1)) == b"0"
    fetcher.close()


def test_what_is_left_out_or_comes_unexpected_is_no_harm(asked: Asked):
    asked.open.set()
    fetcher = RangeFetcher(ObjectOptions())
    fetcher.expect(Range("s3://b/k", i, 1) for i in range(200))
    for i in (0, 500, 63, 64, 3, 128, 190, 199):
        assert fetcher.fetch(Range("s3://b/k", i, 1)) == b"%d" % i
    fetcher.expect([Range("s3://b/k", 7, 1)] * 3)
    assert [fetcher.fetch(Range("s3://b/k", 7, 1)) for _ in range(3)] == [b"7"] * 3
    fetcher.close()
    assert fetcher.fetch(Range("s3://b/k", 1, 1)) == b"1"
