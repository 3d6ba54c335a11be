"""Pictures of many kinds, as readers of Open Images may meet them."""

import io
import struct
import zlib

import numpy as np
import simplejpeg
from PIL import Image

WIDTH, HEIGHT = 120, 75


def photo(mode: str = "RGB") -> Image.Image:
    noise = np.random.default_rng(1).integers(0, 256, (10, 16, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC).convert(mode)


def save(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def jpeg(mode: str = "RGB", **options) -> bytes:
    return save(photo(mode), "JPEG", **options)


def with_exif(orientation: int = 6) -> bytes:
    """A JPEG whose EXIF holds a thumbnail, with an end of image of its own, and an orientation."""
    thumbnail = save(photo().resize((16, 10)), "JPEG")
    entry = struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0)
    segment = b"Exif\0\0II*\0\x08\0\0\0\x01\0" + entry + b"\0\0\0\0" + thumbnail
    length = struct.pack(">H", len(segment) + 2)
    return b"\xff\xd8\xff\xe1" + length + segment + jpeg()[2:]


def ycck() -> bytes:
    data = jpeg("CMYK")
    adobe = data.index(b"Adobe")
    return data[: adobe + 11] + b"\x02" + data[adobe + 12 :]


def unusual_sampling() -> bytes:
    """A flat grey 16 x 16 JPEG with 2x2, 1x2 and 1x1 blocks a component, unknown to TurboJPEG."""
    data = bytearray(save(Image.new("RGB", (16, 16), (128, 128, 128)), "JPEG"))
    frame = data.index(b"\xff\xc0")
    data[frame + 11], data[frame + 14], data[frame + 17] = 0x22, 0x12, 0x11
    scan = data.index(b"\xff\xda")
    data[scan + 6], data[scan + 8], data[scan + 10] = 0, 0, 0  # one Huffman table for all
    bits = "001010" * 7  # seven blocks of no difference and no coefficients
    coded = int(bits.ljust(48, "1"), 2).to_bytes(6, "big")
    return bytes(data[: scan + 14]) + coded + b"\xff\xd9"


def chunk(name: bytes, body: bytes = b"") -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(*chunks: bytes) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def ihdr(width: int, height: int, depth: int = 8, colour: int = 0) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))


def interlaced(pixels: np.ndarray) -> bytes:
    """An 8-bit grey PNG in the seven passes of Adam7, which Pillow reads but doesn't write."""
    starts = [(0, 0), (0, 4), (4, 0), (0, 2), (2, 0), (0, 1), (1, 0)]
    steps = [(8, 8), (8, 8), (8, 4), (4, 4), (4, 2), (2, 2), (2, 1)]
    rows = b""
    for (y, x), (down, across) in zip(starts, steps, strict=True):
        part = pixels[y::down, x::across]
        rows += b"".join(b"\0" + row.tobytes() for row in part if part.size)
    header = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 8, 0, 0, 0, 1)
    return png(chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND"))


def raw_png(width: int, height: int, depth: int, colour: int, *chunks: bytes) -> bytes:
    """A PNG of noise with any depth and colour type, many of which Pillow doesn't write."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    row = 1 + (width * channels * depth + 7) // 8
    noise = np.random.default_rng(depth).integers(0, 256, (height, row), dtype=np.uint8)
    noise[:, 0] = 0  # the row's filter: none
    data = chunk(b"IDAT", zlib.compress(noise.tobytes()))
    return png(ihdr(width, height, depth, colour), *chunks, data, chunk(b"IEND"))


def sampled(sampling: str, width: int = WIDTH, height: int = HEIGHT) -> bytes:
    pixels = np.asarray(photo().resize((width, height)))
    return simplejpeg.encode_jpeg(pixels, 90, "RGB", sampling)


def unmarked_cmyk() -> bytes:
    """A CMYK JPEG without Adobe's marker."""
    data = jpeg("CMYK")
    adobe = data.index(b"Adobe")
    return data[: adobe - 4] + data[adobe + 12 :]


def see_through(mode: str) -> Image.Image:
    image = photo("RGBA")
    ramp = np.linspace(0, 255, WIDTH * HEIGHT).astype(np.uint8).reshape(HEIGHT, WIDTH)
    image.putalpha(Image.fromarray(ramp))
    return image.convert(mode)


PALETTE = chunk(b"PLTE", bytes(range(48)))

KINDS = {
    "jpeg": jpeg(),
    **{f"jpeg {s}": sampled(s) for s in ("444", "422", "420", "440", "411")},
    **{f"jpeg {w}x{h}": sampled("420", w, h) for w, h in ((1, 1), (1, 17), (9, 1), (17, 15))},
    "jpeg 411 of 5x3": sampled("411", 5, 3),
    "jpeg of quality 5": jpeg(quality=5),
    "jpeg of quality 100": jpeg(quality=100, subsampling=0),
    "jpeg, grey": jpeg("L"),
    "jpeg, stored as RGB": jpeg(keep_rgb=True),
    "jpeg, optimized": jpeg(optimize=True),
    "jpeg, restarts": jpeg(restart_marker_rows=1),
    "jpeg, exif orientation": with_exif(),
    "jpeg, unusual sampling": unusual_sampling(),
    "jpeg, comment and bytes behind": jpeg(comment=b"a comment") + b"behind",
    "jpeg, progressive": jpeg(progressive=True),
    "jpeg, progressive, 444": jpeg(progressive=True, subsampling=0),
    "jpeg, progressive, grey": jpeg("L", progressive=True),
    "jpeg, progressive, restarts": jpeg(progressive=True, restart_marker_blocks=3),
    "jpeg, cmyk": jpeg("CMYK"),
    "jpeg, cmyk, progressive": jpeg("CMYK", progressive=True),
    "jpeg, cmyk without Adobe's marker": unmarked_cmyk(),
    "jpeg, ycck": ycck(),
    "png": save(photo(), "PNG"),
    "png 1x1": raw_png(1, 1, 8, 2),
    **{f"png, grey of {bits} bits": raw_png(13, 7, bits, 0) for bits in (1, 2, 4, 8, 16)},
    "png, grey, interlaced": interlaced(np.asarray(photo("L"))),
    "png, rgb of 16 bits": raw_png(13, 7, 16, 2),
    "png, grey and alpha": save(see_through("LA"), "PNG"),
    "png, grey and alpha of 16 bits": raw_png(13, 7, 16, 4),
    "png, rgba": save(see_through("RGBA"), "PNG"),
    "png, rgba of 16 bits": raw_png(13, 7, 16, 6),
    "png, palette": save(photo("P"), "PNG"),
    "png, palette of 4 bits": raw_png(13, 7, 4, 3, PALETTE),
    "png, palette and alpha": save(photo("P"), "PNG", transparency=bytes(range(256))),
    "png, palette, one transparent": save(photo("P"), "PNG", transparency=3),
    "png, rgb, one transparent": save(photo(), "PNG", transparency=photo().getpixel((0, 0))),
    "png, grey, one transparent": save(photo("L"), "PNG", transparency=100),
}
