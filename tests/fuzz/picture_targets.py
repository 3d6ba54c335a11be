"""What is tried on mutated files: all that a build does with a picture, a mask or an archive.

Each target returns `sound`, or the reason of the refusal. Whatever is raised but PixelError, or
holds but shouldn't, is a finding.
"""

import contextlib
import gzip
import io
import os
import random
import struct
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import numpy as np
from PIL import Image

from tests.examples.imaging import mutations
from tests.examples.imaging.pictures import KINDS, jpeg, photo, save
from transforms.dataset.failures import PixelError, Reason
from transforms.examples.imaging.decode import decode_pixels, verify_pixels
from transforms.examples.imaging.header import PILLOW_ERRORS, PictureHeader, check_picture
from transforms.examples.imaging.process import ImageSpec, process_picture
from transforms.examples.masks.png import decode_mask
from transforms.sources.listing import MASKS, PICTURES, kind_of, list_members, walk_zip
from transforms.sources.members import MemberReader, address_of
from transforms.sources.unpack import unpack

MASK_SIZE = (50, 40)

# Pixels of a picture that other readers are asked for: theirs is the time and memory.
_MOST_READ_BY_OTHERS = 20_000_000

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


def png_structure(number: int) -> str:
    """A PNG whose CRCs are right: whatever `verify_pixels` accepts, its readers read, alike."""
    data = mutations.forge_png(_rng("structure", number), _PNGS)
    outcome = _try_picture(data)
    width, height = struct.unpack(">II", data[16:24].ljust(8, b"\0"))
    if width * height > _MOST_READ_BY_OTHERS:
        return outcome
    read = _read_by_others(data)
    if outcome != "sound":
        refused = any(pixels is None for pixels in read.values())
        return outcome if refused else f"{outcome}, though all read it"
    pixels = decode_pixels(data, check_picture(data))
    for name, others in read.items():
        assert others is not None, f"{name} refuses it"
        assert np.array_equal(pixels, others), f"{name} reads it otherwise"
    return outcome


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


def zip_claims(number: int) -> str:
    """A zip whose directory claims what isn't so; listed as by `zipfile`, if by both."""
    data = mutations.forge_zip(_rng("zip claims", number), _ZIPS)
    outcome = _try_archive(data)
    try:
        ours = [member.address[1:5] for member in walk_zip(_PATH)]
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            infos = archive.infolist()
    except (PixelError, zipfile.BadZipFile, ValueError, NotImplementedError, struct.error):
        return outcome
    theirs = [(i.header_offset, i.compress_size, i.compress_type, i.CRC) for i in infos]
    assert ours == theirs
    return outcome


def tar_claims(number: int) -> str:
    """A tar whose headers claim what isn't so, with right checksums; one in four is compressed."""
    data = mutations.forge_tar(_rng("tar claims", number), _TARS)
    return _try_archive(data if number % 4 else gzip.compress(data, 1, mtime=0))


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
    if header.format == "PNG":
        pixels = _read_by_pillow(data)
        assert pixels is not None, "Pillow refuses it"
        assert np.array_equal(decode_pixels(data, header), pixels)
    return "sound"


def _read_by_pillow(data: bytes) -> np.ndarray | None:
    try:
        image = Image.open(io.BytesIO(data))
        image.load()
    except (*PILLOW_ERRORS, Image.DecompressionBombError):
        return None
    if image.mode == "I;16":  # which Pillow clips where it means to convert
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    image.info.clear()
    return np.asarray(image.convert("RGB"))


def _read_by_others(data: bytes) -> dict[str, np.ndarray | None]:
    """What Pillow, OpenCV and TensorFlow read; None where one refuses the picture."""
    import cv2
    import tensorflow as tf

    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    with _silenced():
        opencv = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
        try:
            tensorflow = tf.io.decode_png(data, channels=3).numpy()
        except tf.errors.InvalidArgumentError:
            tensorflow = None
    return {"Pillow": _read_by_pillow(data), "OpenCV": opencv, "TensorFlow": tensorflow}


@contextlib.contextmanager
def _silenced() -> Iterator[None]:
    """Keeps what libraries in C write from the standard error."""
    kept = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


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
    with closing(MemberReader(limit=8 << 20)) as reader:
        for contents in (PICTURES, MASKS):
            try:
                for listing in list_members(path, contents):
                    refusals += [str(failure.reason) for failure in listing.failures]
                    for row in listing.table.to_pylist():
                        member = _outcome(reader.read, address_of(row))
                        refusals += [_refused(member)] if isinstance(member, PixelError) else []
            except PixelError as error:
                refusals.append(_refused(error))
    return refusals
