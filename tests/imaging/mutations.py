"""Mutated files: damage of the kinds that reaches into parsers and decoders."""

import random
import re
import struct
import zlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

Parts = list[bytes]

_INTERESTING = [0, 1, 2, 7, 8, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x10000]
_INTERESTING += [0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF, (1 << 63) - 1, (1 << 64) - 1]

# Within this many bytes of a part's start are its name, length and other fields.
_HEADER = 40


class Form(NamedTuple):
    """A format of files.

    Attributes:
        signature: how many bytes at the start say that it is this format; mostly left alone.
        split: the rest of a file into its parts: segments, chunks, records or blocks.
        deepen: makes the damage of a part get further: rights its checksums, and forges fields that
            decide about memory and time.
    """

    signature: int
    split: Callable[[bytes], Parts]
    deepen: Callable[[random.Random, bytes], bytes]


def mutate(rng: random.Random, form: Form, seeds: Sequence[bytes]) -> bytes:
    """One of the seeds with one to four mutations, and in half of the cases deepened."""
    seed = rng.choice(seeds)
    start = form.signature if rng.random() < 0.98 else 0
    parts = form.split(seed[start:])
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4))):
        mutation = rng.choices(_MUTATIONS, _WEIGHTS)[0]
        parts = mutation(rng, parts, form.split(rng.choice(seeds)[start:])) or [b""]
    if rng.random() < 0.5:
        parts = [form.deepen(rng, part) for part in parts]
    data = seed[:start] + b"".join(parts)
    return data[: rng.randrange(len(data) + 1)] if rng.random() < 0.05 else data


def _within(change: Callable[[random.Random, bytearray], None]) -> Callable[..., Parts]:
    """Makes a mutation of parts of one that changes a few bytes of one part."""

    def mutation(rng: random.Random, parts: Parts, _: Parts) -> Parts:
        at = rng.randrange(len(parts))
        part = bytearray(parts[at])
        if part:
            change(rng, part)
        return [*parts[:at], bytes(part), *parts[at + 1 :]]

    return mutation


def _flip(rng: random.Random, part: bytearray) -> None:
    part[rng.randrange(len(part))] ^= 1 << rng.randrange(8)


def _set_bytes(rng: random.Random, part: bytearray) -> None:
    start = rng.randrange(len(part))
    stop = min(len(part), start + rng.choice((1, 1, 2, 4, 16)))
    part[start:stop] = rng.choice((bytes(stop - start), rng.randbytes(stop - start)))


def _set_field(rng: random.Random, part: bytearray) -> None:
    size = rng.choice((1, 2, 4, 8))
    start = rng.randrange(min(len(part), _HEADER))
    value = (rng.choice(_INTERESTING) + rng.choice((0, 0, 0, -1, 1))) % (1 << 8 * size)
    part[start : start + size] = value.to_bytes(size, rng.choice(("big", "little")))


def _add_or_drop(rng: random.Random, part: bytearray) -> None:
    start = rng.randrange(len(part))
    if rng.random() < 0.5:
        del part[start : start + rng.choice((1, 2, 4, 100))]
    else:
        part[start:start] = rng.randbytes(rng.choice((1, 2, 4, 100)))


def _remove(rng: random.Random, parts: Parts, _: Parts) -> Parts:
    start = rng.randrange(len(parts))
    return parts[:start] + parts[start + rng.choice((1, 1, 2, 5)) :]


def _duplicate(rng: random.Random, parts: Parts, _: Parts) -> Parts:
    start, to = rng.randrange(len(parts)), rng.randrange(len(parts) + 1)
    copied = parts[start : start + rng.choice((1, 1, 2, 5))]
    return parts[:to] + copied * rng.choice((1, 1, 2, 40)) + parts[to:]


def _swap(rng: random.Random, parts: Parts, _: Parts) -> Parts:
    one, other = rng.randrange(len(parts)), rng.randrange(len(parts))
    parts = list(parts)
    parts[one], parts[other] = parts[other], parts[one]
    return parts


def _splice(rng: random.Random, parts: Parts, others: Parts) -> Parts:
    return parts[: rng.randrange(len(parts) + 1)] + others[rng.randrange(len(others) + 1) :]


def _graft(rng: random.Random, parts: Parts, others: Parts) -> Parts:
    to = rng.randrange(len(parts) + 1)
    return [*parts[:to], rng.choice(others), *parts[to + rng.randrange(2) :]]


_WEIGHTED = {
    _within(_flip): 4,
    _within(_set_bytes): 4,
    _within(_set_field): 8,
    _within(_add_or_drop): 2,
    _remove: 1,
    _duplicate: 1,
    _swap: 1,
    _splice: 1,
    _graft: 1,
}
_FRAMES = (b"\xff\xc0", b"\xff\xc1", b"\xff\xc2")
_MUTATIONS, _WEIGHTS = list(_WEIGHTED), list(_WEIGHTED.values())


def _split_png(data: bytes) -> Parts:
    parts, position = [], 0
    while position < len(data):
        end = position + 12 + int.from_bytes(data[position : position + 4], "big")
        parts.append(data[position:end])
        position = end
    return parts


def _deepen_png(rng: random.Random, part: bytes) -> bytes:
    """Rights a chunk's CRC; often its length too; and damages some pixels below the deflating."""
    if len(part) < 12:
        return part
    length, name, body = part[:4], part[4:8], part[8:-4]
    if name == b"IDAT" and rng.random() < 0.5:
        try:
            rows = bytearray(zlib.decompress(body))
        except zlib.error:
            pass
        else:
            if rows:
                rng.choice((_set_bytes, _add_or_drop))(rng, rows)
            body = zlib.compress(rows)
            length = struct.pack(">I", len(body))
    if rng.random() < 0.5:
        length = struct.pack(">I", len(body))
    return length + name + body + struct.pack(">I", zlib.crc32(name + body))


def _deepen_tar(rng: random.Random, part: bytes) -> bytes:
    """Rights the checksum of a header, and forges its size in one of the two notations."""
    if len(part) != 512 or part[257:262] != b"ustar":
        return part
    if rng.random() < 0.1:
        value = rng.choice(_INTERESTING) * rng.choice((1, -1, -512))
        octal = b"%011o\0" % (abs(value) % (1 << 33))
        size = rng.choice((octal, (value % (1 << 96)).to_bytes(12, "big")))
        part = part[:124] + size + part[136:]
    total = sum(part[:148]) + 8 * ord(" ") + sum(part[156:])
    return part[:148] + b"%06o\0 " % total + part[156:]


def _deepen_jpeg(rng: random.Random, part: bytes) -> bytes:
    """Forges a frame's height and width, most often within the limits of both."""
    if not part.startswith(_FRAMES) or len(part) < 9 or rng.random() < 0.5:
        return part
    height, width = (rng.choice((1, 16, 100, 1_000, 13_000, 65_500)) for _ in range(2))
    return part[:5] + struct.pack(">HH", height, width) + part[9:]


def _splitter(start: bytes) -> Callable[[bytes], Parts]:
    pattern = re.compile(b"(?=" + start + b")", re.DOTALL)
    return lambda data: [part for part in pattern.split(data) if part]


def _leave(_: random.Random, part: bytes) -> bytes:
    return part


# That a JPEG starts takes three bytes, of which one belongs to the first segment.
JPEG = Form(2, _splitter(rb"\xff[\xc0-\xcf\xd8-\xfe]"), _deepen_jpeg)
PNG = Form(8, _split_png, _deepen_png)
ZIP = Form(0, _splitter(rb"PK[\1-\x08][\2-\x08]"), _leave)
TAR = Form(0, lambda data: [data[i : i + 512] for i in range(0, len(data), 512)], _deepen_tar)
