"""Writes examples to Parquet with class numbers in place of MIDs."""

from collections.abc import Collection

import numpy as np
import pyarrow as pa

from transforms.dataset.elements import in_one_piece, relist
from transforms.dataset.keys import image_keys, unmix
from transforms.formats.annotations import code_texts
from transforms.formats.format import Content
from transforms.formats.huggingface.features import IMAGE_ID_TEXT, NO_CLASS, OBJECTS, table_schema
from transforms.formats.huggingface.objects import make_objects
from transforms.formats.parquet.writer import ParquetWriter
from transforms.kinds.registry import ANNOTATIONS
from transforms.storage import files
from transforms.storage.stores import ObjectOptions


class HuggingFaceWriter(ParquetWriter):
    """A Parquet file of examples, as `features.table_schema` describes them."""

    def __init__(
        self, path: str, content: Content, options: ObjectOptions = files.DEFAULTS
    ) -> None:
        super().__init__(path, content, options)
        self.schema = table_schema(tuple(content.columns), content.settings.objects)

    def write(self, table: pa.Table) -> None:
        columns = {name: in_one_piece(table[name]) for name in self._content.columns}
        for name in ANNOTATIONS.keys() & columns.keys():
            columns[name] = self._number_labels(columns[name], ANNOTATIONS[name].labels)
        if self._content.settings.objects:
            columns[OBJECTS], dropped = make_objects(
                columns["bboxes"], columns["width"], columns["height"]
            )
            self._dropped.update(dropped)
            columns[IMAGE_ID_TEXT] = columns["image_id"]
            keys, _ = image_keys(columns["image_id"])
            columns["image_id"] = pa.array(unmix(keys).view(np.int64))
        super().write(pa.table({name: columns[name] for name in self.schema.names}))

    def _number_labels(self, lists: pa.ListArray, labels: Collection[str]) -> pa.ListArray:
        """Returns lists of annotations whose labels are class numbers.

        Args:
            lists: (n,) lists of structs.
            labels: the fields that are labels.
        """
        rows = lists.flatten()
        arrays = [
            self._numbers(array) if field.name in labels else array
            for field, array in zip(rows.type, rows.flatten(), strict=True)
        ]
        return relist(
            lists, pa.StructArray.from_arrays(arrays, [field.name for field in rows.type])
        )

    def _numbers(self, labels: pa.Array) -> pa.Int64Array:
        """Returns the class numbers of labels from 0: (n,), `NO_CLASS` where there is none."""
        numbers = code_texts(labels, self._content.classes.index, 0) - 1
        self._dropped["labels of classes without a number"] += int((numbers == NO_CLASS).sum())
        return pa.array(numbers)
