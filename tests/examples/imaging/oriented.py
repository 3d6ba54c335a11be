"""Pictures with an orientation in their metadata, written in all ways that readers know."""

import struct
import zlib

from PIL import Image

from tests.examples.imaging.pictures import chunk, save

WIDTH, HEIGHT = 40, 20

_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_XMP_ATTRIBUTE = b'<x:xmpmeta><rdf:Description tiff:Orientation="%d"/></x:xmpmeta>'
_XMP_ELEMENT = b"<rdf:Description><tiff:Orientation>%d</tiff:Orientation></rdf:Description>"
_VALUES = {1: "BBH", 3: "HH", 4: "I", 8: "hH", 9: "i"}


def corner() -> Image.Image:
    """Blue, with a red top left corner of 10 x 10 pixels."""
    image = Image.new("RGB", (WIDTH, HEIGHT), (0, 0, 255))
    image.paste((255, 0, 0), (0, 0, 10, 10))
    return image


JPEG = save(corner(), "JPEG", quality=95)
PNG = save(corner(), "PNG")


def tiff(
    value: int = 6, order: str = "<", kind: int = 3, count: int = 1, at: int = 8, twice: int = 0
) -> bytes:
    """Exif data: a directory at offset `at`, with the orientation behind another entry."""
    head = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}I", at)
    form = _VALUES[kind]
    content = struct.pack(order + form, value, *[0] * (len(form) - 1))
    entries = [struct.pack(f"{order}HHIHH", 0x010E, 3, 1, 6, 0)]
    entries += [struct.pack(f"{order}HHI", 0x0112, kind, count) + content] * (1 + twice)
    return (
        head.ljust(at, b"\0")
        + struct.pack(f"{order}H", len(entries))
        + b"".join(entries)
        + bytes(4)
    )


def segment(body: bytes, marker: int = 0xE1) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body


def exif(*parts: bytes) -> bytes:
    """The JPEG with Exif segments before all others."""
    return JPEG[:2] + b"".join(segment(b"Exif\0\0" + part) for part in parts) + JPEG[2:]


def later(*parts: bytes) -> bytes:
    """The JPEG with segments right before its scan, the first after fill bytes."""
    scan = JPEG.index(b"\xff\xda")
    return JPEG[:scan] + b"\xff\xff" + b"".join(map(segment, parts)) + JPEG[scan:]


def png(*chunks: bytes) -> bytes:
    return PNG[:33] + b"".join(chunks) + PNG[33:]


def png_behind(*chunks: bytes) -> bytes:
    """The PNG with chunks after its pixels."""
    return PNG[:-12] + b"".join(chunks) + PNG[-12:]


def profile(value: int = 6) -> bytes:
    """Exif data as ImageMagick writes it into texts of a PNG."""
    data = b"Exif\0\0" + tiff(value)
    digits = data.hex().encode()
    lines = b"\n".join(digits[i : i + 72] for i in range(0, len(digits), 72))
    return b"\nexif\n%8d\n%s\n" % (len(data), lines)


def text(keyword: bytes, content: bytes) -> bytes:
    return chunk(b"tEXt", keyword + b"\0" + content)


def deflated_text(keyword: bytes, content: bytes) -> bytes:
    return chunk(b"zTXt", keyword + b"\0\0" + zlib.compress(content))


def international_text(keyword: bytes, content: bytes, deflated: bool = False) -> bytes:
    head = keyword + (b"\0\1\0" if deflated else b"\0\0\0") + b"en\0word\0"
    return chunk(b"iTXt", head + (zlib.compress(content) if deflated else content))


#: Some reader turns each of these.
TURNED = {
    **{f"orientation {value}": exif(tiff(value)) for value in range(2, 9)},
    "big-endian": exif(tiff(order=">")),
    "LONG": exif(tiff(kind=4)),
    "LONG, big-endian": exif(tiff(kind=4, order=">")),
    "BYTE, to OpenCV": exif(tiff(kind=1)),
    "SSHORT": exif(tiff(kind=8)),
    "SLONG, big-endian": exif(tiff(kind=9, order=">")),
    "a list of two, to OpenCV": exif(tiff(count=2)),
    "a directory far behind": exif(tiff(at=300)),
    "there twice": exif(tiff(twice=1)),
    "behind the other segments": later(b"Exif\0\0" + tiff()),
    "a directory across two segments": exif(tiff()[:20], tiff()[20:]),
    "two segments, of which the second turns": exif(b"none", tiff()),
    "a name that is there twice": exif(b"Exif\0\0" + tiff()),
    "an attribute of XMP": later(_XMP + _XMP_ATTRIBUTE % 6),
    "an element of XMP": later(_XMP + _XMP_ELEMENT % 8),
    "XMP after Exif without it": JPEG[:2] + segment(b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0")
    + segment(_XMP + _XMP_ATTRIBUTE % 6) + JPEG[2:],
    "Exif and XMP": later(b"Exif\0\0" + tiff(), _XMP + _XMP_ELEMENT % 6),
    "png, an Exif chunk": png(chunk(b"eXIf", tiff())),
    "png, big-endian": png(chunk(b"eXIf", tiff(order=">"))),
    "png, behind its pixels": png_behind(chunk(b"eXIf", tiff())),
    "png, with a name": png(chunk(b"eXIf", b"Exif\0\0" + tiff())),
    "png, two of them": png(chunk(b"eXIf", tiff(1)), chunk(b"eXIf", tiff(6))),
    "png, a profile": png(text(b"Raw profile type exif", profile())),
    "png, a deflated profile": png(deflated_text(b"Raw profile type exif", profile())),
    "png, an international profile": png(international_text(b"Raw profile type exif", profile())),
    "png, XMP": png(international_text(b"XML:com.adobe.xmp", _XMP_ATTRIBUTE % 6)),
    "png, deflated XMP": png(international_text(b"XML:com.adobe.xmp", _XMP_ELEMENT % 6, True)),
    "png, XMP in a deflated text": png(deflated_text(b"XML:com.adobe.xmp", _XMP_ELEMENT % 6)),
}  # fmt: skip

#: No reader turns any of these.
UPRIGHT = {
    "jpeg": JPEG,
    "png": PNG,
    "orientation 1": exif(tiff(1)),
    "orientation 1, big-endian": exif(tiff(1, order=">")),
    "orientation 1, LONG": exif(tiff(1, kind=4)),
    "orientation 0": exif(tiff(0)),
    "orientation 9": exif(tiff(9)),
    "an entry cut short": exif(tiff()[:-8]),
    "a directory beyond the end": exif(tiff()[:4] + b"\xff\xff\xff\x7f" + tiff()[8:]),
    "no TIFF": exif(b"BM" + tiff()[2:]),
    "another segment": JPEG[:2] + segment(b"Exif\0\0" + tiff(), 0xE2) + JPEG[2:],
    "of a thumbnail's directory": exif(
        b"II*\0\x08\0\0\0\0\0\x0e\0\0\0\x01\0"
        + struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0)
        + bytes(4)
    ),
    "XMP of 1": later(_XMP + _XMP_ATTRIBUTE % 1),
    "png, orientation 1": png(chunk(b"eXIf", tiff(1))),
    "png, a profile of 1": png(text(b"Raw profile type exif", profile(1))),
    "png, a comment": png(text(b"Comment", _XMP_ATTRIBUTE % 6), chunk(b"iTXt", b"Comment")),
}
