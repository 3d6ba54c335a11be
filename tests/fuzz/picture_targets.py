"""What is tried on mutated files: all that a build does with a picture, a mask or an archive.

Each target returns `sound`, or the reason of the refusal. Whatever is raised but PixelError, or
holds but shouldn't, is a finding.
"""

import gzip
import io
import os
import random
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from tests.imaging import mutations
from tests.imaging.pictures import KINDS, jpeg, photo, save
from transforms.failures import PixelError, Reason
from transforms.imaging.decode import decode_pixels, verify_pixels
from transforms.imaging.header import PILLOW_ERRORS, PictureHeader, check_picture
from transforms.imaging.process import ImageSpec, process_picture
from transforms.masks.png import decode_mask
from transforms.pixels.listing import MASKS, PICTURES, kind_of, list_members
from transforms.pixels.members import MemberReader, address_of
from transforms.pixels.unpack import unpack

MASK_SIZE = (50, 40)

_SPECS = [
    (ImageSpec("shortest", 64, image_encoding="jpeg"), None),
    (ImageSpec(apply_rotation=True, image_encoding="png"), 90),
]

_JPEGS = [data for name, data in KINDS.items() if name.startswith("jpeg")]
_PNGS = [data for name, data in KINDS.items() if name.startswith("png")]
_MASKS = [  # of black and white
    save(photo("L").point(lambda value: value // 128 * 255).convert(mode), "PNG")
    for mode in ("1", "L", "P", "LA", "RGB")
]


# Archives are read by their path. This one is in memory: file systems take their time.
_FILE = os.memfd_create("archive")
_PATH = f"/proc/self/fd/{_FILE}"

_MEMBERS = {
    "train/": b"",
    "train/0123456789abcdef.jpg": jpeg(),
    "train/0123456789abcde0.png": KINDS["png, grey of 1 bits"],
    "masks/0123456789abcdef_m01g317_0a1b2c3d.png": _MASKS[0],
    "README": b"neither" * 99,
}


def _zip(method: int, zip64: bool = False, streamed: bool = False, comment: bytes = b"") -> bytes:
    buffer = io.BytesIO()
    if streamed:  # sizes follow the data
        buffer.seekable = lambda: False
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.comment = comment
        for name, data in _MEMBERS.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = method
            with archive.open(info, "w", force_zip64=zip64) as file:
                file.write(data)
    return buffer.getvalue()


def _tar(form: int, folder: str = "") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        for name, data in _MEMBERS.items():
            info = tarfile.TarInfo(folder + name.rstrip("/"))
            info.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        link = tarfile.TarInfo("0123456789abcde1.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "train/0123456789abcdef.jpg"
        tar.addfile(link)
    return buffer.getvalue()


_ZIPS = [
    _zip(zipfile.ZIP_STORED),
    _zip(zipfile.ZIP_DEFLATED, comment=b"a comment"),
    _zip(zipfile.ZIP_DEFLATED, streamed=True),
    _zip(zipfile.ZIP_DEFLATED, zip64=True),
]
_TARS = [
    _tar(tarfile.USTAR_FORMAT),
    _tar(tarfile.GNU_FORMAT, "long" * 40 + "/"),
    _tar(tarfile.PAX_FORMAT, "Übung/"),
    _tar(tarfile.PAX_FORMAT, "long" * 80 + "/"),
]


def jpeg_picture(number: int) -> str:
    return _try_picture(mutations.mutate(_rng("jpeg", number), mutations.JPEG, _JPEGS))


def png_picture(number: int) -> str:
    return _try_picture(mutations.mutate(_rng("png", number), mutations.PNG, _PNGS))


def mask(number: int) -> str:
    data = mutations.mutate(_rng("mask", number), mutations.PNG, _MASKS + _PNGS)
    try:
        own = decode_mask(data)
    except PixelError as error:
        assert error.reason is Reason.MASK_CORRUPT
        return _refused(error)
    resized = decode_mask(data, MASK_SIZE)
    assert (own.dtype, own.ndim, resized.shape) == (bool, 2, MASK_SIZE[::-1])
    assert own.view(np.uint8).max() <= 1
    return "sound"


def zip_archive(number: int) -> str:
    return _try_archive(mutations.mutate(_rng("zip", number), mutations.ZIP, _ZIPS))


def tar_archive(number: int) -> str:
    rng = _rng("tar", number)
    data = mutations.mutate(rng, mutations.TAR, _TARS)
    if number % 4:
        return _try_archive(data)
    # One in four comes compressed, and half of these are damaged once more.
    packed = gzip.compress(data, 1, mtime=0)
    return _try_archive(mutations.mutate(rng, mutations.ZIP, [packed]) if number % 8 else packed)


def _rng(name: str, number: int) -> random.Random:
    return random.Random(f"{name} {number}")


def _refused(error: PixelError) -> str:
    assert len(error.detail.splitlines()) == 1
    return str(error.reason)


def _outcome(step: Callable[..., Any], *arguments: Any) -> Any:
    """What a step returns, or the error that refuses its input."""
    try:
        return step(*arguments)
    except PixelError as error:
        return error


def _shrink(data: bytes) -> np.ndarray:
    return decode_pixels(data, check_picture(data, is_decoded=lambda _: True), 2)


def _try_picture(data: bytes) -> str:
    header = _outcome(check_picture, data)
    if isinstance(header, PixelError):
        # What isn't looked for in pictures that are to be decoded shows then.
        assert isinstance(_outcome(_shrink, data), PixelError)
        return _refused(header)
    verified = _outcome(verify_pixels, data, header)
    kept = process_picture(data, header, ImageSpec(), None)
    assert kept.data is data
    for spec, rotation in _SPECS:
        processed = _outcome(process_picture, data, header, spec, rotation)
        if isinstance(processed, PixelError):
            # Whoever keeps pictures must not be told less than who has them resized.
            assert isinstance(verified, PixelError) or processed.reason is Reason.TOO_MANY_PIXELS
            continue
        again = check_picture(processed.data)
        assert again == PictureHeader(processed.format, processed.width, processed.height)
    if isinstance(verified, PixelError):
        return _refused(verified)
    return _compare_png(data, header) if header.format == "PNG" else "sound"


def _compare_png(data: bytes, header: PictureHeader) -> str:
    image = Image.open(io.BytesIO(data))
    try:
        image.load()
    except PILLOW_ERRORS:
        return "sound, but for Pillow"
    if image.mode == "I;16":  # which Pillow clips where it means to convert
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    image.info.clear()
    assert np.array_equal(decode_pixels(data, header), np.asarray(image.convert("RGB")))
    return "sound"


def _try_archive(data: bytes) -> str:
    """Lists and reads all members; returns why the listing ended early, or the first refusal."""
    os.ftruncate(_FILE, 0)
    os.pwrite(_FILE, data, 0)
    try:
        kind = kind_of(_PATH)
    except ValueError as error:
        assert "\n" not in str(error)
        return "no archive"
    if kind != "tar.gz":
        return next(iter(_read_members(_PATH)), "sound")
    unpacked, damage = unpack(_PATH, tempfile.gettempdir())
    try:
        refusals = _read_members(unpacked)
    except ValueError:  # what was in there is no tar
        refusals = ["no archive"]
    finally:
        os.remove(unpacked)
    return _refused(damage) if damage else next(iter(refusals), "sound")


def _read_members(path: str) -> list[str]:
    """Reads all members that can be listed; returns why something was refused."""
    refusals = []
    with MemberReader(limit=8 << 20) as reader:
        for contents in (PICTURES, MASKS):
            try:
                for listing in list_members(path, contents):
                    refusals += [str(failure.reason) for failure in listing.failures]
                    for row in listing.table.to_pylist():
                        member = _outcome(reader.read, *address_of(row))
                        refusals += [_refused(member)] if isinstance(member, PixelError) else []
            except PixelError as error:
                refusals.append(_refused(error))
    return refusals
