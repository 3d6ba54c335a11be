"""A dataset of Hugging Face by itself: Parquet, and the card that names its splits and classes.

Other than in `parquet`, labels are class numbers, so that `datasets` has them as `ClassLabel`.
"""

import csv
import io
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import pyarrow as pa

from transforms.dataset.classes import ClassTable
from transforms.dataset.naming import numbers
from transforms.formats import described
from transforms.formats.format import Content, Schema, Shards
from transforms.formats.huggingface import card
from transforms.formats.huggingface.features import (
    IMAGE_ID_TEXT,
    OBJECTS,
    table_schema,
    unique_names,
)
from transforms.formats.huggingface.writer import HuggingFaceWriter
from transforms.formats.parquet.format import Parquet
from transforms.formats.settings import FormatSettings
from transforms.formats.tables import TableExamples

_FOLDER = "huggingface"


class HuggingFace(Parquet):
    """A row an example, with the columns that the dataset fills, and a dataset card."""

    name = "huggingface"
    writer = HuggingFaceWriter
    has_row_access = False
    is_partial = True
    needs_classes = True

    def shard_path(self, settings: FormatSettings, split: str, index: int, shards: int) -> str:
        return f"{_FOLDER}/data/{split}-{numbers(index, shards)}.parquet"

    def missing(self, kinds: Collection[str], settings: FormatSettings) -> str:
        if settings.objects and "boxes" not in kinds:
            return "--objects are boxes: name a table of these by --annotations, or leave it out"
        if settings.objects and "pictures" not in kinds:
            return "--objects are in pixels of pictures: name these by --images, or leave it out"
        return ""

    def schema(self, content: Content) -> dict[str, str]:
        return described.describe(_schema_of(content))

    def documents(self, content: Content, shards: Shards) -> dict[str, Any]:
        schema, names = _schema_of(content), unique_names(content.classes)
        return {
            f"{_FOLDER}/README.md": card.render(content.settings.release, schema, names, shards),
            f"{_FOLDER}/classes.csv": _list_classes(content.classes, names),
        }

    def data_files(self, split: str) -> str:
        return ""  # without the card beside them, labels would have no names

    def dataset_folder(self) -> str:
        return _FOLDER

    def loading_code(self, folder: str, settings: FormatSettings, split: str) -> str:
        return (
            "from datasets import load_dataset; "
            f"dataset = load_dataset({f'{folder}/{_FOLDER}'!r}, split={split!r})"
        )

    def read(
        self, path: str, columns: Sequence[str] | None = None, schema: Schema | None = None
    ) -> Iterator[TableExamples]:
        """As of `Format`, without `objects`, which follow from other columns."""
        for examples in super().read(path, schema=schema):
            table = _without_objects(examples.table)
            names = table.column_names
            yield TableExamples(table, [name for name in columns or names if name in names])


FORMAT = HuggingFace()


def _schema_of(content: Content) -> pa.Schema:
    return table_schema(tuple(content.columns), content.settings.objects)


def _without_objects(table: pa.Table) -> pa.Table:
    """Returns the columns of a dataset without `--objects`."""
    if OBJECTS not in table.column_names:
        return table
    table = table.drop_columns([OBJECTS, "image_id"])
    names = ["image_id" if name == IMAGE_ID_TEXT else name for name in table.column_names]
    return table.rename_columns(names)


def _list_classes(classes: ClassTable, names: Sequence[str]) -> str:
    """Returns the content of `classes.csv`: number from 0, MID and name of each numbered class."""
    file = io.StringIO()
    lines = csv.writer(file, lineterminator="\n")
    lines.writerow(["number", "label", "name"])
    labels = [each["label"] for each in classes.numbered]
    lines.writerows(zip(range(len(names)), labels, names, strict=True))
    return file.getvalue()
