"""Ogg files of nothing that sounds, whose pages and headers are right."""

import struct

import numpy as np

RATE = 16_000


def crc_of(page: bytes) -> int:
    """The CRC of a page whose own is 0, bit by bit as RFC 3533 has it."""
    crc = 0
    for byte in page:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1) ^ (0x04C11DB7 if crc & 0x80000000 else 0)
            crc &= 0xFFFFFFFF
    return crc


def page(content: bytes, number: int, position: int, serial: int = 7, flags: int = 0) -> bytes:
    """A page with one packet of less than 255 * 255 bytes."""
    sizes = bytes([255] * (len(content) // 255) + [len(content) % 255])
    rest = bytes([len(sizes)]) + sizes + content
    before = b"OggS" + struct.pack("<BBqII", 0, flags, position, serial, number)
    return before + struct.pack("<I", crc_of(before + bytes(4) + rest)) + rest


def vorbis_head(channels: int = 1, rate: int = RATE) -> bytes:
    return b"\x01vorbis" + struct.pack("<IBIiiiBB", 0, channels, rate, 0, 48_000, 0, 0xB8, 1)


def opus_head(channels: int = 1, skipped: int = 312, rate: int = RATE) -> bytes:
    return b"OpusHead" + struct.pack("<BBHIhB", 1, channels, skipped, rate, 0, 0)


def pages_of(seconds: float, seed: int = 0, head: bytes | None = None, serial: int = 7) -> list:
    """The pages of a recording: its header, and two of what would be sound."""
    noise = np.random.default_rng(seed).bytes(600)
    samples = round(seconds * RATE)
    return [
        page(vorbis_head() if head is None else head, 0, 0, serial, flags=2),
        page(noise[:300], 1, samples // 2, serial),
        page(noise[300:], 2, samples, serial, flags=4),
    ]


def recording(seconds: float = 1.5, seed: int = 0) -> bytes:
    """A recording, of which no other seed has the same bytes."""
    return b"".join(pages_of(seconds, seed))
