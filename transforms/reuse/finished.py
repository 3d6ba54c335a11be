"""Reads finished pictures and masks from the version before."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from transforms.dataset.elements import BuiltPart, in_one_piece
from transforms.examples.imaging.process import Picture
from transforms.examples.masks.rasterise import Raster
from transforms.examples.pictures import Size
from transforms.reuse import pages
from transforms.reuse.lineage import places_of
from transforms.reuse.previous import Match, open_shard
from transforms.sources.buffer import PictureBuffer
from transforms.storage import files
from transforms.storage.stores import ObjectOptions

_PICTURE = ["image.path", "width", "height", "original_width", "original_height"]
_RASTER = ("size", "counts", "area")
_MASKS = [f"masks.list.element.{name}" for name in _RASTER]
_REMOTE_BYTES = 8 << 20
_FORMATS = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP"}


class FinishedImages:
    """Pictures and masks of n images that are finished: read as they are asked for, in order.

    Attributes:
        pictures: (n,) bool: which images have a finished picture.
        masks: (n,) bool: which images have finished rasters of all their masks.
    """

    def __init__(self, match: Match, images: np.ndarray, options: ObjectOptions) -> None:
        """Nothing is read yet.

        Args:
            match: where they are in the version before.
            images: (n,) of `recording.ROW`.
            options: how object stores are reached.
        """
        self._images = images
        self.pictures = match.places >= 0
        self.masks = match.masks
        self._match = match
        self._options = options
        self._next_rasters = self._rasters()

    def read_pictures(self, buffer: PictureBuffer) -> Iterator[tuple[Size, Picture]]:
        """Yields the pictures in order, each with the size that its source had.

        Args:
            buffer: they are read to its room, while it has some.
        """
        for part, shard, number, rows in self._groups(self._match.places[self.pictures]):
            chosen = shard.read_row_group(number, _PICTURE).take(pa.array(rows))
            paths = pc.struct_field(chosen["image"], "path").to_pylist()
            sizes = zip(*(chosen[name].to_pylist() for name in _PICTURE[1:]), strict=True)
            start = _start_of_pictures(shard.metadata.row_group(number))
            with files.open_file(part.path, self._options, _REMOTE_BYTES) as file:
                found = pages.read_pictures(file, start, rows.tolist(), buffer)
                for data, path, (width, height, *stored) in zip(found, paths, sizes, strict=True):
                    form = _FORMATS[path.rpartition(".")[2]]
                    yield Size(*stored), Picture(data, form, width, height)

    def read_rasters(self, image_ids: pa.ChunkedArray) -> list[list[Raster] | None]:
        """Returns the rasters of the masks of some images; None where they aren't taken over.

        Args:
            image_ids: of the images, in order; none may be left out for good that has some.
        """
        places = places_of(self._images, image_ids)
        finished = self.masks[places].tolist()
        return [next(self._next_rasters) if is_finished else None for is_finished in finished]

    def _rasters(self) -> Iterator[list[Raster]]:
        for _, shard, number, rows in self._groups(self._match.places[self.masks]):
            table = shard.read_row_group(number, _MASKS)
            masks = in_one_piece(table["masks"]).take(pa.array(rows))
            values = masks.flatten()
            columns = [values.field(name).to_pylist() for name in _RASTER]
            rasters = zip(*columns, strict=True)
            for length in masks.value_lengths().fill_null(0).to_pylist():
                yield [next(rasters) for _ in range(length)]

    def _groups(
        self, places: np.ndarray
    ) -> Iterator[tuple[BuiltPart, pq.ParquetFile, int, np.ndarray]]:
        """Yields row groups with rows at these places: the part, its shard, the group's number in
        the shard, and the rows of the group."""
        before = 0
        for part in self._match.parts:
            assert part.origin is not None
            wanted = _within(places, before, before + part.num_examples)
            if len(wanted):
                shard = open_shard(part.path, part.origin.sha256, self._options)
                first = before - part.origin.row  # the place of the shard's first row
                for number in range(shard.num_row_groups):
                    stop = first + shard.metadata.row_group(number).num_rows
                    of_group = _within(wanted, first, stop)
                    if len(of_group):
                        yield part, shard, number, of_group - first
                    first = stop
            before += part.num_examples


def _start_of_pictures(group: pq.RowGroupMetaData) -> int:
    """Returns where the pages of a row group's pictures begin."""
    columns = map(group.column, range(group.num_columns))
    return next(each.data_page_offset for each in columns if each.path_in_schema == "image.bytes")


def _within(places: np.ndarray, start: int, stop: int) -> np.ndarray:
    first, last = np.searchsorted(places, [start, stop])
    return places[first:last]
