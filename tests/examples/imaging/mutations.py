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


_PNG_NAMES = [b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP"]
_PNG_NAMES += [b"tEXt", b"zTXt", b"iTXt", b"bKGD", b"pHYs", b"sBIT", b"sPLT", b"hIST", b"tIME"]
_PNG_NAMES += [b"eXIf", b"acTL", b"fcTL", b"fdAT", b"cICP", b"CgBI", b"ABCD", b"abCd", b"abcd"]
_PNG_LENGTHS = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 26, 32, 256, 768, 769, 771]


def forge_png(rng: random.Random, seeds: Sequence[bytes]) -> bytes:
    """One of the seeds with one to three changes that only a reader's rules can find.

    Chunks are dropped, repeated, moved, put in and changed; so are the header's fields and the
    compressed stream. The CRC of each is right.
    """
    seed = rng.choice(seeds)
    chunks = [(part[4:8], part[8:-4]) for part in _split_png(seed[PNG.signature :])]
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        rng.choices(_FORGERIES, _FORGERY_WEIGHTS)[0](rng, chunks)
    parts = [
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    ]
    return seed[: PNG.signature] + b"".join(parts)


Chunks = list[tuple[bytes, bytes]]


def _forge_header(rng: random.Random, chunks: Chunks) -> None:
    header = bytearray(chunks[0][1].ljust(13, b"\0"))
    field = rng.randrange(8)
    if field < 2:
        side = rng.choice((0, 1, 2, 7, 8, 13, 75, 120, 999_999, 1_000_000, 1_000_001, 1 << 31))
        header[4 * field : 4 * field + 4] = struct.pack(">I", side)
    elif field < 7:
        header[6 + field] = rng.choice((0, 1, 2, 3, 4, 6, 8, 16, 64, 255))
    else:
        header = header[: rng.randrange(13)] or header + rng.randbytes(rng.randrange(1, 9))
    chunks[0] = chunks[0][0], bytes(header)


def _forge_chunk(rng: random.Random, chunks: Chunks) -> None:
    name = rng.choice(_PNG_NAMES) if rng.random() < 0.9 else bytes(rng.choices(_LETTERS, k=4))
    size = rng.choice(_PNG_LENGTHS)
    body = rng.choice((bytes(size), rng.randbytes(size), b"a\0\0".ljust(size, b"\1")))
    chunks.insert(rng.randrange(len(chunks) + 1), (name, body))


def _forge_order(rng: random.Random, chunks: Chunks) -> None:
    taken = rng.choice(chunks)
    if rng.random() < 0.6:
        chunks.remove(taken)
    if rng.random() < 0.7 or not chunks:
        chunks.insert(rng.randrange(len(chunks) + 1), taken)


def _forge_body(rng: random.Random, chunks: Chunks) -> None:
    at = rng.randrange(len(chunks))
    name, body = chunks[at]
    changed = bytearray(body)
    if changed:
        rng.choice((_flip, _set_bytes, _set_field, _add_or_drop))(rng, changed)
    chunks[at] = name, bytes(changed)


def _forge_pixels(rng: random.Random, chunks: Chunks) -> None:
    """Makes the rows more, fewer or others, the stream longer or shorter, or cuts it elsewhere."""
    places = [place for place, (name, _) in enumerate(chunks) if name == b"IDAT"]
    if not places:
        return
    stream = b"".join(chunks[place][1] for place in places)
    try:
        rows = bytearray(zlib.decompress(stream))
    except zlib.error:
        return
    kind = rng.randrange(6)
    if kind == 0:
        rows[len(rows) :] = rng.randbytes(rng.choice((1, 10, 5_000, 100_000)))
    elif kind == 1:
        del rows[len(rows) - rng.choice((1, 2, 10, 100)) :]
    elif kind == 2 and rows:
        rng.choice((_flip, _set_bytes))(rng, rows)
    if kind < 3:
        packer = zlib.compressobj(rng.randrange(10), zlib.DEFLATED, rng.choice((9, 12, 15)))
        stream = packer.compress(rows) + packer.flush()
    elif kind == 3:
        stream = stream[: -rng.choice((1, 2, 3, 4, 5, 8))]
    elif kind == 4:
        stream += rng.randbytes(rng.choice((1, 4, 5, 100)))
    cuts = sorted(rng.randrange(len(stream) + 1) for _ in range(rng.choice((0, 0, 1, 3))))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    chunks[places[0] : places[-1] + 1] = [(b"IDAT", piece) for piece in pieces]


_LETTERS = b"ABCXYZabcxyz"
_FORGERIES = [_forge_header, _forge_chunk, _forge_order, _forge_body, _forge_pixels]
_FORGERY_WEIGHTS = [3, 4, 2, 2, 4]


def forge_tar(rng: random.Random, seeds: Sequence[bytes]) -> bytes:
    """One of the seeds with headers put in and changed that claim what they like.

    The checksum of each is right.
    """
    blocks = TAR.split(rng.choice(seeds))
    for _ in range(rng.choice((1, 1, 2, 3))):
        headers = [place for place, block in enumerate(blocks) if block[257:262] == b"ustar"]
        if not headers:
            break
        place = rng.choice(headers)
        if rng.random() < 0.6:
            blocks[place:place] = _tar_extension(rng, blocks[place])
        else:
            blocks[place] = _forge_tar_header(rng, blocks[place])
    if rng.random() < 0.2:  # so that some of what is claimed is there
        blocks += [bytes(512)] * rng.choice((4, 400, 4_000))
    return b"".join(blocks)


_TAR_KINDS = [b"0", b"\0", b"1", b"2", b"3", b"5", b"7", b"L", b"K", b"x", b"X", b"g", b"S", b"Z"]
_PAX_KEYS = ["path", "linkpath", "size", "mtime", "hdrcharset", "comment", "GNU.sparse.map"]
_PAX_KEYS += ["GNU.sparse.major", "GNU.sparse.minor", "GNU.sparse.size", "GNU.sparse.name", "é"]
_PAX_VALUES = ["", "0", "1", "512", "-1", "BINARY", "../up.jpg", "0123456789abcdef.jpg", "a\0b"]
_PAX_VALUES += ["9" * 5000, "1" * 300_000, "0,1," * 50_000 + "0,1", "n" * 70_000, "1e9", "٣"]


def _with_checksum(block: bytes) -> bytes:
    total = sum(block[:148]) + 8 * ord(" ") + sum(block[156:])
    return block[:148] + b"%06o\0 " % total + block[156:]


def _tar_size(rng: random.Random, size: int) -> bytes:
    if rng.random() < 0.5:
        return b"%011o\0" % size
    size = rng.choice((0, 1, 511, 513, 4097, 1 << 20, 3 << 20, 1 << 33, *_INTERESTING))
    size *= rng.choice((1, 1, 1, -1))
    if 0 <= size < 1 << 33 and rng.random() < 0.5:
        return b"%011o\0" % size
    return (b"\xff" if size < 0 else b"\x80") + (size % (1 << 88)).to_bytes(11, "big")


def _tar_extension(rng: random.Random, model: bytes) -> list[bytes]:
    kind = rng.choice((b"L", b"K", b"x", b"X", b"g", b"S"))
    body = rng.choice((b"", b"0123456789abcdef.jpg\0", b"n" * 5_000, b"7" * 200_000, b"x" * 512))
    if kind in (b"x", b"X", b"g") and rng.random() < 0.9:
        records = []
        for _ in range(rng.choice((1, 1, 2, 30))):
            text = f" {rng.choice(_PAX_KEYS)}={rng.choice(_PAX_VALUES)}\n".encode()
            length = len(text) + len(str(len(text) + len(str(len(text)))))
            if rng.random() < 0.1:
                length = abs(length + rng.choice((-1, 1, -5, 100, 1 << 40)))
            records.append(str(length).encode() + text)
        body = b"".join(records)
    size = _tar_size(rng, len(body))
    header = _with_checksum(model[:124] + size + model[136:156] + kind + model[157:])
    body += bytes(-len(body) % 512)
    return [header, *TAR.split(body)]


def _forge_tar_header(rng: random.Random, block: bytes) -> bytes:
    field = rng.randrange(4)
    if field == 0:
        block = block[:124] + _tar_size(rng, 100) + block[136:]
    elif field == 1:
        block = block[:156] + rng.choice(_TAR_KINDS) + block[157:]
    elif field == 2:
        name = rng.choice((b"../0123456789abcdef.jpg", b"/", b"\xff.jpg", b"0123456789abcdef.jpg"))
        block = name.ljust(100, b"\0") + block[100:]
    else:
        place = rng.randrange(100, 500)
        block = block[:place] + rng.randbytes(rng.choice((1, 12))) + block[place:]
    return _with_checksum(block[:512].ljust(512, b"\0"))


#: By signature, the places and sizes of a record's numbers.
_ZIP_FIELDS = {
    b"PK\x01\x02": ((8, 2), (10, 2), (16, 4), (20, 4), (24, 4), (28, 2), (30, 2), (32, 2), (42, 4)),
    b"PK\x03\x04": ((6, 2), (8, 2), (14, 4), (18, 4), (22, 4), (26, 2), (28, 2)),
    b"PK\x05\x06": ((4, 2), (8, 2), (10, 2), (12, 4), (16, 4), (20, 2)),
    b"PK\x06\x06": ((4, 8), (24, 8), (32, 8), (40, 8), (48, 8)),
    b"PK\x06\x07": ((4, 4), (8, 8), (16, 4)),
}


def forge_zip(rng: random.Random, seeds: Sequence[bytes]) -> bytes:
    """One of the seeds whose directory claims other sizes, places, names and counts."""
    parts = ZIP.split(rng.choice(seeds))
    for _ in range(rng.choice((1, 1, 2, 3))):
        place = rng.choice([at for at, part in enumerate(parts) if part[:4] in _ZIP_FIELDS])
        part, kind = bytearray(parts[place]), rng.randrange(4)
        if kind < 2:
            start, size = rng.choice(_ZIP_FIELDS[bytes(part[:4])])
            known = int.from_bytes(part[start : start + size], "little")
            value = rng.choice((known + rng.choice((-1, 1, 30, 100)), rng.choice(_INTERESTING)))
            part[start : start + size] = (value % (1 << 8 * size)).to_bytes(size, "little")
            parts[place] = bytes(part)
        elif kind == 2:  # a directory of 64 bits
            end = next((at for at, part in enumerate(parts) if part[:4] == b"PK\x05\x06"), None)
            if end is not None and len(parts[end]) >= 22:
                size, start = struct.unpack_from("<II", parts[end], 12)
                numbers = [rng.choice((number, *_INTERESTING)) for number in (1, 1, size, start)]
                record = struct.pack("<4sQHHII4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, *numbers)
                locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, start + size, 1)
                parts[end:end] = [record, locator]
        else:
            parts.insert(rng.randrange(len(parts)), parts[place])
    return b"".join(parts)
