"""Layouts of files of predictions that aren't CSV."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Protocol

from transforms.dataset.elements import Source
from transforms.evaluation import coco_results, detection_records, detection_tables
from transforms.evaluation.label_map import LabelMap
from transforms.evaluation.pieces import Piece, Read
from transforms.storage.stores import ObjectOptions


class Layout(Protocol):
    """A layout, which is a module."""

    def pieces(self, source: Source, size: int, options: ObjectOptions) -> list[Piece]:
        """Returns the pieces of a file, of about a size in bytes where it can be cut."""

    def read(
        self, source: Source, piece: Piece, labels: LabelMap, options: ObjectOptions
    ) -> Iterator[Read]:
        """Yields the detections of a piece.

        Args:
            source: the file.
            piece: of it.
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
