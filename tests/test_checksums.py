"""Checksums of whole files from those of their pieces."""

import zlib

import google_crc32c
from hypothesis import given
from hypothesis import strategies as st

from transforms.checksum import Checksum


@given(st.lists(st.binary(max_size=100), max_size=8))
def test_wherever_it_is_cut(pieces: list[bytes]) -> None:
    whole = b"".join(pieces)
    extended = together = Checksum()
    for piece in pieces:
        extended = extended.extended(piece)
        together = together.followed_by(Checksum().extended(piece))
    assert together == extended == Checksum().extended(whole)
    assert extended == (len(whole), zlib.crc32(whole), google_crc32c.value(whole))


def test_of_more_than_memory_holds() -> None:
    block = Checksum().extended(bytes(1 << 20))
    whole = block
    for _ in range(13):
        whole = whole.followed_by(whole)
    assert whole.length == 1 << 33
    crc = 0
    for _ in range(1 << 13):
        crc = zlib.crc32(bytes(1 << 20), crc)
    assert whole.crc32 == crc
