"""Fetching the pictures of a window of images, each from the first source that has a sound one."""

from collections.abc import Mapping, Sequence

import pyarrow as pa

from transforms.examples.schema import IMAGE
from transforms.failures import Failure, PixelError, Reason, Stage
from transforms.imaging.decode import verify_pixels
from transforms.imaging.header import PictureHeader, check_picture
from transforms.pixels.members import MemberReader

#: The fields of a member that say where its bytes are, in the order in which a reader takes them.
ADDRESS = ("container", "offset", "size", "method", "crc32")

_EXTENSIONS = {"JPEG": "jpg", "PNG": "png"}


def fetch_pictures(
    joined: pa.Table, reader: MemberReader, verify: bool
) -> tuple[pa.Table, dict[str, pa.Array], list[Failure]]:
    """Fetches and checks pictures; their bytes stay as stored.

    Args:
        joined: n rows of `join.Joined.table`.
        reader: reads members by address.
        verify: whether to decode pictures in full, strictly.

    Returns:
        The rows of `joined` whose picture is sound; for these the columns `image`, `width`,
        `height`, `original_width`, `original_height`; and a failure for each of the others.
    """
    sound, pictures, paths, headers, found = [], [], [], [], []
    columns = (joined[name].to_pylist() for name in ("image_id", "split", "pictures"))
    for i, (image_id, split, candidates) in enumerate(zip(*columns, strict=True)):
        picture = _first_sound(image_id, split, candidates or [], reader, verify)
        if isinstance(picture, Failure):
            found.append(picture)
            continue
        data, header = picture
        sound.append(i)
        pictures.append(data)
        headers.append(header)
        paths.append(f"{image_id}.{_EXTENSIONS[header.format]}")
    widths = pa.array([header.width for header in headers], pa.int32())
    heights = pa.array([header.height for header in headers], pa.int32())
    image = pa.StructArray.from_arrays(
        [pa.array(pictures, pa.binary()), pa.array(paths, pa.string())], fields=list(IMAGE)
    )
    columns = {
        "image": image,
        "width": widths,
        "height": heights,
        "original_width": widths,
        "original_height": heights,
    }
    return joined.take(pa.array(sound, pa.int64())), columns, found


def _first_sound(
    image_id: str, split: str, candidates: Sequence[Mapping], reader: MemberReader, verify: bool
) -> tuple[bytes, PictureHeader] | Failure:
    """The first usable picture, or the failure of the first with what the others answered."""
    failures: list[Failure] = []
    for member in candidates:
        stage = Stage.FETCH
        try:
            data = reader.read(*(member[name] for name in ADDRESS))
            stage = Stage.DECODE
            header = check_picture(data)
            if verify:
                verify_pixels(data, header)
            return data, header
        except PixelError as error:
            source = member["container"]
            failures.append(Failure(image_id, split, stage, error.reason, error.detail, source))
    if not failures:
        detail = "no source of pictures has it"
        return Failure(image_id, split, Stage.FETCH, Reason.MISSING, detail)
    detail = "; ".join(
        [failures[0].detail, *(f"{other.source}: {other.detail}" for other in failures[1:])]
    )
    return failures[0]._replace(detail=detail)
