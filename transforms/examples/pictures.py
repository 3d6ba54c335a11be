"""Fetches, checks and processes the pictures of images."""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import pyarrow as pa

from transforms.dataset.failures import Failure, PixelError, Reason, Stage
from transforms.dataset.schema import IMAGE
from transforms.examples.imaging.decode import verify_pixels
from transforms.examples.imaging.header import PictureHeader, check_picture
from transforms.examples.imaging.orientation import reset_orientation
from transforms.examples.imaging.process import (
    ImageSpec,
    Picture,
    process_picture,
    stays_as_stored,
)
from transforms.examples.masks.rasterise import Raster
from transforms.redaction import redact_url
from transforms.sources.answers import Answer, PictureSource
from transforms.sources.buffer import PictureBuffer

#: Bytes of processed pictures that are in memory together.
HELD_BYTES = 32 << 20

_EXTENSIONS = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp"}


class Size(NamedTuple):
    """The size in pixels of a picture as its source has it; None and None for a thumbnail."""

    width: int | None
    height: int | None


class Finished(Protocol):
    """Pictures and masks that the build before has made, of some of n images."""

    @property
    def pictures(self) -> np.ndarray:
        """Which images have such a picture; (n,) bool."""

    def read_pictures(self, buffer: PictureBuffer) -> Iterator[tuple[Size, Picture]]:
        """Yields these pictures in order; in the buffer, where it has room at that time."""

    def read_rasters(self, image_ids: pa.ChunkedArray) -> list[list[Raster] | None]:
        """Returns the rasters of the masks of the next images; None for an image without such."""


class Fetched(NamedTuple):
    """Consecutive images with their pictures.

    Attributes:
        images: rows of the images whose picture is sound.
        columns: of these images: `image`, `width`, `height`, `original_width`, `original_height`.
        failures: one for each of the other images.
        fetch_seconds: how long each image's picture was waited for.
        decode_seconds: how long it took to check and process each image's picture.
        exif_reset: how many pictures had an orientation in their metadata that was set to 1.
    """

    images: pa.Table
    columns: dict[str, pa.Array]
    failures: list[Failure]
    fetch_seconds: Sequence[float] = ()
    decode_seconds: Sequence[float] = ()
    exif_reset: int = 0


class _Outcome(NamedTuple):
    """An image's picture, or None, and a failure for each source that had no sound one.

    `exif_reset` tells whether the picture's orientation was set to 1.
    """

    index: int
    picture: tuple[Size, Picture] | None
    refused: list[Failure]
    fetch_seconds: float = 0.0
    decode_seconds: float = 0.0
    exif_reset: bool = False

    @property
    def size(self) -> int:
        return len(self.picture[1].data) if self.picture else 0

    def stored_in(self, buffer: PictureBuffer) -> "_Outcome":
        """Returns the outcome with its picture in a buffer, unless that has no room."""
        if not self.picture:
            return self
        size, picture = self.picture
        return self._replace(picture=(size, picture._replace(data=buffer.add(picture.data))))


def fetch_pictures(
    joined: pa.Table,
    sources: Sequence[PictureSource],
    verify: bool,
    spec: ImageSpec,
    held_bytes: int = HELD_BYTES,
    buffer: PictureBuffer | None = None,
    finished: Finished | None = None,
) -> Iterator[Fetched]:
    """Fetches, checks and processes pictures, each from the first source that has a sound one.

    Args:
        joined: n rows of `join.Joined.table`.
        sources: in the order in which they are tried.
        verify: whether to decode in full, strictly, also pictures that stay as they are stored.
        spec: what the pictures become.
        held_bytes: of processed pictures that are in memory together, and as many again for each
            source but the last while those after it are asked; a larger picture is alone.
        buffer: of `held_bytes`, to be used again; a new one by default.
        finished: pictures that are processed already; of their images no source is asked.

    Yields:
        The n images in windows. Where these are cut depends on the sizes of the processed pictures
        alone. A window's pictures are valid until the next one is asked for.
    """
    held: list[_Outcome] = []
    size = 0
    buffer = buffer or PictureBuffer(held_bytes)
    buffer.clear()
    resolver = _Resolver(joined, verify, spec, held_bytes)
    for outcome in resolver.outcomes(sources, finished, buffer):
        if held and size + outcome.size > held_bytes:
            yield _make_window(joined, held, buffer)
            buffer.clear()
            size = 0
        held.append(outcome.stored_in(buffer))
        size += outcome.size
        del outcome  # which would stay until the next one is there
        if size >= held_bytes:
            yield _make_window(joined, held, buffer)
            buffer.clear()
            size = 0
    if held:
        yield _make_window(joined, held, buffer)


class _Resolver(NamedTuple):
    """Finds the source of each image's picture; attributes as arguments of `fetch_pictures`."""

    joined: pa.Table
    verify: bool
    spec: ImageSpec
    held_bytes: int

    def outcomes(
        self, sources: Sequence[PictureSource], finished: Finished | None, buffer: PictureBuffer
    ) -> Iterator[_Outcome]:
        """Yields the outcome of each image, in order."""
        if finished is None:
            yield from self.resolve(range(len(self.joined)), sources)
            return
        found = self.resolve(np.flatnonzero(~finished.pictures).tolist(), sources)
        pictures = finished.read_pictures(buffer)
        for index, is_finished in enumerate(finished.pictures.tolist()):
            yield _Outcome(index, next(pictures), []) if is_finished else next(found)

    def resolve(
        self, indices: Sequence[int], sources: Sequence[PictureSource]
    ) -> Iterator[_Outcome]:
        """Yields the outcomes of some images, in order; each is asked for when it is due.

        From the first picture that a source doesn't have, its pictures are held back, so that later
        sources are asked for many images at a time.
        """
        if not sources:
            yield from (_Outcome(index, None, []) for index in indices)
            return
        source, *others = sources
        images = self.joined
        if len(indices) < len(images):
            images = images.take(pa.array(indices, pa.int64()))
        rows = images.select(("image_id", "split", "rotation")).to_pylist()
        held: deque[_Outcome] = deque()
        size = 0
        since = time.perf_counter()
        for index, row, answers in zip(indices, rows, source.ask(images), strict=True):
            held.append(self._first_sound(index, row, answers, since))
            if not others or (held[-1].picture and len(held) == 1):
                yield held.pop()
            else:
                size += held[-1].size
                if size >= self.held_bytes:
                    yield from self._settle(held, others)
                    size = 0
            since = time.perf_counter()
        yield from self._settle(held, others)

    def _settle(
        self, held: deque[_Outcome], sources: Sequence[PictureSource]
    ) -> Iterator[_Outcome]:
        """Yields outcomes that were held back, after further sources were asked for pictures."""
        missing = [outcome.index for outcome in held if not outcome.picture]
        found = self.resolve(missing, sources)
        while held:
            outcome = held.popleft()
            if not outcome.picture:
                later = next(found)
                outcome = later._replace(
                    refused=outcome.refused + later.refused,
                    fetch_seconds=outcome.fetch_seconds + later.fetch_seconds,
                    decode_seconds=outcome.decode_seconds + later.decode_seconds,
                )
            yield outcome

    def _first_sound(
        self, index: int, row: dict, answers: Iterator[Answer], since: float
    ) -> _Outcome:
        """Returns the first answer that is a sound picture, processed.

        Args:
            index: of the image.
            row: of the image.
            answers: of a source.
            since: when waiting for the first answer began, by `time.perf_counter`.
        """
        refused: list[Failure] = []
        fetched = decoded = 0.0
        for source, answer, is_thumbnail in answers:
            arrived = time.perf_counter()
            fetched += arrived - since
            stage = Stage.FETCH
            try:
                if isinstance(answer, PixelError):
                    raise answer
                stage = Stage.DECODE
                given = [answer]
                del answer  # so that processing can free it
                size, picture, exif_reset = self._process(given, row["rotation"])
                decoded += time.perf_counter() - arrived
                size = Size(None, None) if is_thumbnail else size
                return _Outcome(index, (size, picture), refused, fetched, decoded, exif_reset)
            except PixelError as error:
                where = (row["image_id"], row["split"], stage, error.reason, error.detail)
                refused.append(Failure(*where, redact_url(source)))
            since = time.perf_counter()
            decoded += since - arrived
        return _Outcome(index, None, refused, fetched, decoded)

    def _process(
        self, given: list[bytes | memoryview], rotation: int | None
    ) -> tuple[Size, Picture, bool]:
        """Processes a picture, which is removed from the list `given` to free its memory.

        Returns:
            Its size as stored, the picture, and whether its orientation was reset.

        Raises:
            PixelError: It isn't sound.
        """

        def is_decoded(header: PictureHeader) -> bool:
            return self.verify or not stays_as_stored(header, self.spec, rotation)

        header = check_picture(given[0], is_decoded=is_decoded)
        size = Size(header.width, header.height)
        if not stays_as_stored(header, self.spec, rotation):
            return size, process_picture(bytes(given.pop()), header, self.spec, rotation), False
        data = given[0]
        if self.verify:
            verify_pixels(bytes(data), header)
        upright = None
        if not self.spec.keep_exif_orientation:
            upright = reset_orientation(data, header.format)
        return size, Picture(upright or data, *header), upright is not None


def _make_window(joined: pa.Table, held: list[_Outcome], buffer: PictureBuffer) -> Fetched:
    """Returns a window of the outcomes that are held, and empties their list."""
    rows = images = joined.slice(held[0].index, len(held))
    sound = [outcome.picture is not None for outcome in held]
    if not all(sound):
        images = rows.filter(pa.array(sound))
    pictures = [outcome.picture for outcome in held if outcome.picture]
    columns = _columns(images["image_id"].to_pylist(), pictures, buffer)
    names = zip(rows["image_id"].to_pylist(), rows["split"].to_pylist(), strict=True)
    failures = [
        _summarise(*name, outcome.refused)
        for name, outcome in zip(names, held, strict=True)
        if not outcome.picture
    ]
    _, _, _, fetch_seconds, decode_seconds, exif_reset = zip(*held, strict=True)
    held.clear()
    return Fetched(images, columns, failures, fetch_seconds, decode_seconds, sum(exif_reset))


def _summarise(image_id: str, split: str, refused: list[Failure]) -> Failure:
    """Returns an image's failure: the first source's, with what the others answered."""
    if not refused:
        detail = "no source of pictures has it"
        return Failure(image_id, split, Stage.FETCH, Reason.MISSING, detail)
    others = [f"{other.source}: {other.reason}: {other.detail}" for other in refused[1:]]
    return refused[0]._replace(detail="; ".join([refused[0].detail, *others]))


def _columns(
    image_ids: Sequence[str],
    pictures: Sequence[tuple[Size, Picture]],
    buffer: PictureBuffer,
) -> dict[str, pa.Array]:
    paths = [
        f"{image_id}.{_EXTENSIONS[picture.format]}"
        for image_id, (_, picture) in zip(image_ids, pictures, strict=True)
    ]
    data = buffer.column([picture.data for _, picture in pictures])
    image = pa.StructArray.from_arrays([data, pa.array(paths, pa.string())], fields=list(IMAGE))
    return {
        "image": image,
        "width": pa.array([picture.width for _, picture in pictures], pa.int32()),
        "height": pa.array([picture.height for _, picture in pictures], pa.int32()),
        "original_width": pa.array([size.width for size, _ in pictures], pa.int32()),
        "original_height": pa.array([size.height for size, _ in pictures], pa.int32()),
    }
