"""Layouts of files of predictions that aren't CSV."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Protocol

from transforms.dataset.elements import Source
from transforms.evaluation import coco_results, detection_records, detection_tables
from transforms.evaluation.file_ranges import FileRange, ReadRows
from transforms.evaluation.label_map import LabelMap
from transforms.storage.stores import ObjectOptions


class Layout(Protocol):
    """A layout, which is a module."""

    def file_ranges(self, source: Source, size: int, options: ObjectOptions) -> list[FileRange]:
        """Returns the ranges of a file, of about `size` bytes each where the layout lets it be
        cut."""

    def read(
        self, source: Source, file_range: FileRange, labels: LabelMap, options: ObjectOptions
    ) -> Iterator[ReadRows]:
        """Yields the detections of a range.

        Args:
            source: the file.
            file_range: of it.
            labels: the classes.
            options: how object stores are reached.

        Raises:
            PredictionsError: It isn't what it should be.
        """


#: Layouts by the kinds of their files.
LAYOUTS: Mapping[str, Layout] = MappingProxyType(
    {
        coco_results.NAME: coco_results,
        detection_records.NAME: detection_records,
        detection_tables.NAME: detection_tables,
        detection_tables.IN_PIXELS: detection_tables,
    }
)
#: Those whose boxes are in pixels.
IN_PIXELS = (coco_results.NAME, detection_tables.IN_PIXELS)
