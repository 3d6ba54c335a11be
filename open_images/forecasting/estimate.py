"""Estimates disk and time of a build from average rates, which `docs/figures.md` has."""

from collections.abc import Sequence

from open_images.building.flags import BuildFlags
from open_images.forecasting.counted import Counted
from open_images.forecasting.forecast import PictureForecast
from transforms.dataset.elements import Source
from transforms.examples.count import SIZED
from transforms.examples.options import ExampleOptions

#: Bytes of a published picture: those of the archives of V4 to V7, of up to 1024 pixels a side; of
#: a thumbnail; and of one as it was taken, where its size isn't published.
_PUBLISHED_BYTES, _THUMBNAIL_BYTES, _ORIGINAL_BYTES = 315_000, 120_000, 2_000_000
#: Bytes a pixel of photographs that are encoded again.
_PIXEL_BYTES = {"keep": 0.4, "jpeg": 0.4, "webp": 0.25, "png": 1.6}
#: Pixels of a picture, of those of a square with the side that is given: pictures are 4 to 3.
_SHAPES = {"shortest": 4 / 3, "longest": 3 / 4, "exact": 1.0}
#: Bytes of an example without its picture in shards, for a byte of its rows in memory.
_FORMAT_BYTES = {"parquet": 0.3, "tfrecord": 2.6, "jsonl": 0.65, "webdataset": 4.3, "mds": 3.6}
#: Of one worker, by the second: rows that are joined and written, pictures that are passed on from
#: a disk, and those that are decoded or come from a server.
_ROWS_RATE, _STORED_RATE, _DECODED_RATE = 900_000, 1_800, 330


def forecast_pictures(counted: Counted, sources: Sequence[Source]) -> list[PictureForecast]:
    """Returns the pictures of a build, by medium.

    Args:
        counted: what its examples hold.
        sources: all inputs.
    """
    found = []
    for medium, pictures in counted.pictures.items():
        sized = pictures.images - pictures.unsized
        mean = {"thumbnail": _THUMBNAIL_BYTES, "original": _ORIGINAL_BYTES}.get(
            medium, _PUBLISHED_BYTES
        )
        if sized:
            mean = pictures.bytes / sized
        size = pictures.bytes + round(pictures.unsized * mean)
        if medium == "tar.gz":
            size = min(size, _packed_bytes(sources, "pictures"))
        found.append(PictureForecast(medium, pictures.images, size, pictures.unsized > 0))
    return found


def estimate_work(exchange_bytes: int, sources: Sequence[Source]) -> int:
    """Returns the bytes of a work folder, the shards' parts apart.

    Args:
        exchange_bytes: of rows on their way.
        sources: all inputs.
    """
    unpacked = sum(
        _packed_bytes(sources, kind) for kind in ("pictures", "mask_files", "voice_files")
    )
    return exchange_bytes + unpacked


def _packed_bytes(sources: Sequence[Source], kind: str) -> int:
    """Returns the bytes of archives that have to be unpacked; pictures don't get much larger."""
    return sum(each.size for each in sources if each.kind == kind and each.medium == "tar.gz")


def estimate_shards(
    counted: Counted, pictures: Sequence[PictureForecast], flags: BuildFlags
) -> dict[str, int]:
    """Returns the bytes of the shards of each format.

    Args:
        counted: what examples hold.
        pictures: of the examples.
        flags: of the build.
    """
    stored = sum(_stored_bytes(each, flags) for each in pictures)
    rows = sum(counted.row_bytes.values())
    return {name: round(rows * _FORMAT_BYTES.get(name, 1.0) + stored) for name in flags.format}


def _stored_bytes(pictures: PictureForecast, flags: BuildFlags) -> float:
    """Returns the bytes of pictures in examples."""
    if flags.image_size:
        pixels = flags.image_size**2 * _SHAPES[flags.resize]
        return pictures.images * min(pixels * _PIXEL_BYTES[flags.image_encoding], _PUBLISHED_BYTES)
    return pictures.bytes * _PIXEL_BYTES[flags.image_encoding] / _PIXEL_BYTES["keep"]


def estimate_seconds(
    counted: Counted,
    pictures: Sequence[PictureForecast],
    options: ExampleOptions,
    num_workers: int,
    seconds: float,
) -> float:
    """Returns how long a build would take.

    Args:
        counted: what its examples hold.
        pictures: of the examples.
        options: what examples are made of.
        num_workers: processes.
        seconds: how long it took to count, for which a build reads the same rows.
    """
    spec = options.image_spec
    is_decoded = options.verify_pixels or spec.resize != "none" or spec.apply_rotation
    is_decoded |= spec.image_encoding != "keep"
    work = sum(counted.annotations.values()) / _ROWS_RATE
    for each in pictures:
        is_slow = is_decoded or each.medium not in (*SIZED, "tar.gz")
        work += each.images / (_DECODED_RATE if is_slow else _STORED_RATE)
    return seconds + work / num_workers
