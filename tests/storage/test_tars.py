"""Members of tars: the same as `tarfile` lists, whatever headers claim, in little memory."""

import io
import random
import tarfile
import time
import tracemalloc
from collections.abc import Iterator

import pytest

from tests.examples.imaging import mutations
from transforms.storage.claims import ArchiveError
from transforms.storage.tars import (
    MAX_HEADER_BYTES,
    MAX_NAME_BYTES,
    SPARSE,
    is_tar,
    read_members,
)

KINDS = {tarfile.AREGTYPE: 1, tarfile.DIRTYPE: 1, tarfile.SYMTYPE: 1, tarfile.REGTYPE: 17}
FOLDERS = {"": 8, "./train/": 8, "long" * 20 + "/": 8, "Übung/": 1, "long" * 15 + "/" + "l" * 45: 1}
FORMS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]

Listed = tuple[str, int, int]


def write(rng: random.Random, form: int, **options) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form, **options) as tar:
        for number in range(rng.randrange(1, 12)):
            [folder] = rng.choices(list(FOLDERS), FOLDERS.values())
            info = tarfile.TarInfo(f"{folder}{number:016x}.jpg")
            [info.type] = rng.choices(list(KINDS), KINDS.values())
            info.size = rng.choice((0, 1, 511, 512, 513, 2000)) if info.isreg() else 0
            info.mtime = rng.choice((0, 1_234_567_890))
            info.uid = rng.choice((0, 1000))
            info.uname = rng.choice(("", "", "root", "root", "jürgen"))
            tar.addfile(info, io.BytesIO(rng.randbytes(info.size)))
    return buffer.getvalue()


def listed(data: bytes) -> tuple[list[Listed], ArchiveError | None]:
    """The plain files of a tar, and the error at the end if there is one."""
    found: list[Listed] = []
    try:
        for member in read_members(lambda place, size: data[place : place + size]):
            if not (member.refusal or member.is_folder):
                found.append(member[:3])
    except ArchiveError as error:
        return found, error
    return found, None


def by_tarfile(data: bytes) -> Iterator[Listed]:
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
            for info in tar:
                if info.size < 0 or tar.offset <= info.offset:
                    return
                if info.isreg() and not info.issparse():
                    yield info.name, info.offset_data, info.size
    except (tarfile.TarError, ValueError, OverflowError, RecursionError, MemoryError):
        return


@pytest.mark.parametrize("form", FORMS)
def test_sound_tars_are_listed_as_by_tarfile(form: int) -> None:
    rng = random.Random(form)
    for _ in range(200):
        data = write(rng, form)
        assert is_tar(data)
        assert listed(data) == (list(by_tarfile(data)), None)


@pytest.mark.parametrize("form", FORMS)
def test_mutated_tars_are_listed_as_by_tarfile_or_end_with_an_error(form: int) -> None:
    rng = random.Random(form)
    seeds = [write(rng, form) for _ in range(20)]
    alike = damaged = 0
    for _ in range(600):
        data = mutations.mutate(rng, mutations.TAR, seeds)
        found, error = listed(data)
        others = list(by_tarfile(data))
        # `tarfile` doesn't tell damage from the end, nor gives up where data is cut.
        # Of a name whose length was forged it takes more than that.
        assert error or [places for _, *places in found] == [places for _, *places in others]
        alike += found == others
        damaged += error is not None
    assert alike > 500
    assert 100 < damaged < 590


def test_global_headers_hold_for_all_that_follows() -> None:
    data = write(random.Random(5), tarfile.PAX_FORMAT, pax_headers={"path": "another.jpg"})
    assert listed(data) == (list(by_tarfile(data)), None)
    assert {name for name, _, _ in listed(data)[0]} >= {"another.jpg"}


def edited(header: bytes, edits: dict[int, bytes]) -> bytes:
    """A header with other bytes at some places, and its checksum righted unless that was edited."""
    data = bytearray(header)
    for place, field in edits.items():
        data[place : place + len(field)] = field
    if 148 not in edits:
        data[148:156] = b" " * 8
        data[148:156] = b"%06o\0 " % sum(data)
    return bytes(data)


EDITS = {
    "as it is": ({}, True),
    "bsdtar's blanks": ({100: b"000644 \0", 124: b"00000001000 "}, True),
    "numbers without an end": ({100: b"00000644", 124: b"000000001000"}, True),
    "checksum of six digits and blanks": ({265: b"\0", 148: b"      \0 "}, False),
    "blanks in front": ({100: b"   644 \0", 124: b"       1000 "}, True),
    "underscores": ({124: b"0000_001000\0"}, False),
    "a sign": ({124: b"-0000001000\0"}, False),
    "another number behind": ({124: b"01000\x0001000\0"}, True),
    "base 256": ({124: b"\x80" + (512).to_bytes(11, "big")}, True),
    "no size": ({124: bytes(12)}, True),
    "no octal": ({116: b"0000008\0"}, False),
    "no octal time": ({136: b"yesterday!!\0"}, False),
    "no octal device": ({337: b"0000009\0"}, False),
    "name of 100 bytes": ({0: b"n" * 100}, True),
    "prefix of 155 bytes": ({345: b"p" * 155}, True),
    "nulls in names": ({0: b"a\0b", 345: b"c\0d"}, True),
    "file with a slash": ({0: b"folder/\0"}, True),
    "owner in Latin-1": ({265: b"j\xfcrgen"}, True),
    "another checksum": ({148: b"000001\0 "}, False),
    "an unknown kind with data": ({156: b"Z"}, True),
    "a link with a size": ({156: b"2", 124: b"00000001000\0"}, True),
}


@pytest.mark.parametrize("name", EDITS)
def test_other_headers(name: str) -> None:
    edits, sound = EDITS[name]
    info = tarfile.TarInfo("picture.jpg")
    info.size = 512
    header = info.tobuf(tarfile.USTAR_FORMAT)
    data = header + bytes(512) + edited(header, edits) + bytes(512) + header + bytes(512 + 1024)
    found, error = listed(data)
    assert (error is None) == sound
    if sound:
        assert found == list(by_tarfile(data))
    else:
        assert found == [("picture.jpg", 512, 512)]


def test_signed_checksums() -> None:
    header = tarfile.TarInfo("picture.jpg").tobuf(tarfile.USTAR_FORMAT)
    signed = bytearray(edited(header, {265: b"\xfc\xfc"}))
    signed[148:156] = b"%06o\0 " % (int(signed[148:154], 8) - 2 * 256)
    found, error = listed(header + bytes(signed) + bytes(1024))
    assert (len(found), error) == (2, None)


def extension(kind: bytes, body: bytes, claimed: int | None = None) -> bytes:
    """A header of another kind, which says something of the member after it."""
    info = tarfile.TarInfo("extension")
    info.type, info.size = kind, len(body) if claimed is None else claimed
    return info.tobuf(tarfile.GNU_FORMAT) + body + bytes(-len(body) % 512)


def record(key: str, value: str) -> bytes:
    """A record of a pax header."""
    length = len(key) + len(value) + 3
    length += len(str(length + len(str(length))))
    return f"{length} {key}={value}\n".encode()


MEMBER = tarfile.TarInfo("picture.jpg").tobuf(tarfile.USTAR_FORMAT) + bytes(1024)

#: What is before a member, and a part of the error that it leads to.
CLAIMS = {
    **{f"6 GiB for {kind!r}": (extension(kind, b"x", 6 << 30), "at most") for kind in (b"L", b"K")},
    **{f"6 GiB of {kind!r}": (extension(kind, b"x", 6 << 30), "at most") for kind in (b"x", b"g")},
    "a little too much": (extension(b"x", bytes(MAX_HEADER_BYTES)), "at most 1,048,576"),
    "several headers": (
        b"".join(extension(kind, bytes(400_000)) for kind in (b"L", b"K", b"x")),
        "at most 1,048,576",
    ),
    "endless long links": (extension(b"K", b"x") * 2000, "two headers of kind b'K'"),
    "two names": (extension(b"L", b"a") + extension(b"L", b"b"), "two headers of kind b'L'"),
    "a long name": (extension(b"L", b"n" * (MAX_NAME_BYTES + 1)), "at most 4,096"),
    "a long name by pax": (extension(b"x", record("path", "n" * 5000)), "at most 4,096"),
    "digits, which tarfile takes minutes for": (extension(b"x", b"1" * 1_000_000), "malformed pax"),
    "a record that is longer than its header": (extension(b"x", b"99 path=a\n"), "malformed pax"),
    "a record of no length": (extension(b"x", b"0 path=a\n"), "malformed pax"),
    "a size of 5,000 digits": (extension(b"x", record("size", "9" * 5000)), "impossible size"),
    "a negative size": (extension(b"x", record("size", "-512")), "impossible size"),
    "a size beyond any file": (extension(b"x", record("size", "9" * 19)), "impossible size"),
    "headers that are cut": (extension(b"x", b"", 5000), "unexpected end"),
    "nothing after a header": (extension(b"L", b"name\0") + bytes(1024), "bad header"),
}


@pytest.mark.parametrize("name", CLAIMS)
def test_claims_cost_neither_memory_nor_time(name: str) -> None:
    before, said = CLAIMS[name]
    # As in a sparse file, what is claimed is there.
    there = before + (b"" if name == "headers that are cut" else MEMBER)

    def read(place: int, size: int) -> bytes:
        assert size <= MAX_HEADER_BYTES
        return there[place : place + size]

    tracemalloc.start()
    try:
        began = time.process_time()
        with pytest.raises(ArchiveError, match=said):
            list(read_members(read))
        assert time.process_time() - began < 1
        assert tracemalloc.get_traced_memory()[1] < 4 * MAX_HEADER_BYTES
    finally:
        tracemalloc.stop()


def sparse_header(has_more: bool) -> bytes:
    info = tarfile.TarInfo("sparse")
    info.type, info.size = tarfile.GNUTYPE_SPARSE, 512
    return edited(info.tobuf(tarfile.GNU_FORMAT), {482: bytes([has_more])})


SPARSE_MEMBERS = {
    "old, without more": sparse_header(False) + bytes(512),
    "old, with a map of 5 MB": sparse_header(True) + 10_000 * (b"0" * 504 + b"\1" + bytes(7)),
    **{
        f"pax {key}": extension(b"x", record(f"GNU.sparse.{key}", value)) + MEMBER[:512]
        for key, value in (("major", "1"), ("map", "0,1," * 9000 + "0,1"), ("numblocks", "9" * 99))
    },
}


@pytest.mark.parametrize("name", SPARSE_MEMBERS)
def test_sparse_members_are_refused_and_passed_over(name: str) -> None:
    data = SPARSE_MEMBERS[name]
    if "5 MB" in name:
        data += bytes(512) + bytes(512)  # the last block of the map, and the data
    data += MEMBER
    tracemalloc.start()
    try:
        members = list(read_members(lambda place, size: data[place : place + size]))
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    assert [member.refusal for member in members] == [SPARSE, ""]
