"""Fetching the pictures of a window of images, each from the first source that has a sound one."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import pyarrow as pa

from transforms.elements import Source
from transforms.examples.schema import IMAGE
from transforms.failures import Failure, PixelError, Reason, Stage
from transforms.imaging.decode import verify_pixels
from transforms.imaging.header import PictureHeader, check_picture
from transforms.imaging.process import ImageSpec, Picture, process_picture
from transforms.pixels.members import MemberReader

#: The fields of a member that say where its bytes are, in the order in which a reader takes them.
ADDRESS = ("container", "offset", "size", "method", "crc32")

_EXTENSIONS = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp"}


class Answer(NamedTuple):
    """What a source has for an image: the picture's bytes, or why there are none."""

    source: str
    picture: bytes | PixelError


class PictureSource(Protocol):
    """A source of pictures, or several that are asked together."""

    def ask(self, images: pa.Table) -> Iterator[Iterator[Answer]]:
        """Answers for each of some images, in the order in which they should be tried."""

    def close(self) -> None:
        """Gives back files and connections."""


class MemberSource:
    """Folders and archives, whose members were listed.

    Args:
        sources: all sources of the build, by index.
        indices: those that are meant.
    """

    def __init__(self, sources: Sequence[Source], indices: Sequence[int]) -> None:
        self._sources = {index: sources[index] for index in indices}
        self._reader = MemberReader()

    def ask(self, images: pa.Table) -> Iterator[Iterator[Answer]]:
        for members in images["pictures"].to_pylist():
            yield map(self._read, [m for m in members or () if m["source"] in self._sources])

    def close(self) -> None:
        self._reader.close()

    def _read(self, member: dict) -> Answer:
        source = self._sources[member["source"]]
        # An unpacked archive is in a temporary file, whose name would tell nobody anything.
        path = source.path if source.medium == "tar.gz" else member["container"]
        try:
            return Answer(path, self._reader.read(*(member[name] for name in ADDRESS)))
        except PixelError as error:
            return Answer(path, error)


class Fetched(NamedTuple):
    """The pictures of a window.

    Attributes:
        images: the rows of the window whose picture is sound.
        columns: for these, the columns `image`, `width`, `height`, `original_width`,
            `original_height`.
        failures: one for each of the other rows.
    """

    images: pa.Table
    columns: dict[str, pa.Array]
    failures: list[Failure]


def fetch_pictures(
    joined: pa.Table, sources: Sequence[PictureSource], verify: bool, spec: ImageSpec
) -> Fetched:
    """Fetches, checks and processes pictures, source by source, until each image has one.

    Args:
        joined: n rows of `join.Joined.table`.
        sources: in the order in which they are to be tried.
        verify: whether to decode in full, strictly, what needn't be decoded otherwise.
        spec: what the pictures are to become.
    """
    pictures: list[tuple[PictureHeader, Picture] | None] = [None] * len(joined)
    refused: list[list[Failure]] = [[] for _ in range(len(joined))]
    image_ids, splits = joined["image_id"].to_pylist(), joined["split"].to_pylist()
    rotations = joined["rotation"].to_pylist()
    pending = list(range(len(joined)))
    for source in sources:
        asked = source.ask(joined.take(pa.array(pending, pa.int64())))
        for i, answers in zip(pending, asked, strict=True):
            for answer in answers:
                stage = Stage.FETCH
                try:
                    if isinstance(answer.picture, PixelError):
                        raise answer.picture
                    stage = Stage.DECODE
                    header = check_picture(answer.picture)
                    picture = process_picture(answer.picture, header, spec, rotations[i])
                    if verify and picture.data is answer.picture:
                        verify_pixels(answer.picture, header)
                    pictures[i] = header, picture
                    break
                except PixelError as error:
                    where = (image_ids[i], splits[i], stage, error.reason, error.detail)
                    refused[i].append(Failure(*where, answer.source))
        pending = [i for i in pending if pictures[i] is None]
    sound = [i for i, picture in enumerate(pictures) if picture is not None]
    found = [_summarise(image_ids[i], splits[i], refused[i]) for i in pending]
    columns = _columns([image_ids[i] for i in sound], [p for p in pictures if p is not None])
    return Fetched(joined.take(pa.array(sound, pa.int64())), columns, found)


def _summarise(image_id: str, split: str, refused: list[Failure]) -> Failure:
    """One failure for an image: that of the first source, with what the others answered."""
    if not refused:
        detail = "no source of pictures has it"
        return Failure(image_id, split, Stage.FETCH, Reason.MISSING, detail)
    others = [f"{other.source}: {other.reason}: {other.detail}" for other in refused[1:]]
    return refused[0]._replace(detail="; ".join([refused[0].detail, *others]))


def _columns(
    image_ids: Sequence[str], pictures: Sequence[tuple[PictureHeader, Picture]]
) -> dict[str, pa.Array]:
    paths = [
        f"{image_id}.{_EXTENSIONS[picture.format]}"
        for image_id, (_, picture) in zip(image_ids, pictures, strict=True)
    ]
    data = pa.array([picture.data for _, picture in pictures], pa.binary())
    image = pa.StructArray.from_arrays([data, pa.array(paths, pa.string())], fields=list(IMAGE))
    return {
        "image": image,
        "width": pa.array([picture.width for _, picture in pictures], pa.int32()),
        "height": pa.array([picture.height for _, picture in pictures], pa.int32()),
        "original_width": pa.array([header.width for header, _ in pictures], pa.int32()),
        "original_height": pa.array([header.height for header, _ in pictures], pa.int32()),
    }
