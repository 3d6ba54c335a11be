"""The elements of a column of lists, all examples' end to end."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.dataset.classes import ClassTable
from transforms.dataset.elements import in_one_piece


@dataclasses.dataclass(frozen=True, eq=False)
class Elements:
    """The elements of lists.

    Attributes:
        rows: (n,) int64, which example each is of, ascending.
        fields: (n,) values by field.
    """

    rows: np.ndarray
    fields: Mapping[str, pa.Array]

    @classmethod
    def of_column(cls, column: pa.ChunkedArray, fields: Sequence[str]) -> Self:
        """Returns some fields of the elements of a column of lists."""
        lists = in_one_piece(column)
        lengths = lists.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
        values = lists.flatten()
        arrays = dict(zip(values.type.names, values.flatten(), strict=True))
        return cls(
            np.repeat(np.arange(len(lists)), lengths), {name: arrays[name] for name in fields}
        )

    def where(self, chosen: np.ndarray) -> Self:
        """Returns some of the elements.

        Args:
            chosen: (n,) bool, which.
        """
        if chosen.all():
            return self
        mask = pa.array(chosen)
        fields = {name: array.filter(mask) for name, array in self.fields.items()}
        return type(self)(self.rows[chosen], fields)

    def values_or(self, field: str, null: float) -> np.ndarray:
        """Returns the values of a field, (n,), with a number in place of nulls."""
        return self.fields[field].fill_null(null).to_numpy(zero_copy_only=False)

    def __len__(self) -> int:
        return len(self.rows)


class ClassNumbers:
    """The index of classes by label, of whole columns."""

    def __init__(self, classes: ClassTable) -> None:
        numbered = classes.numbered
        self._labels = pa.array([each["label"] for each in numbered], pa.string())
        self._numbers = pa.array([each["index"] for each in numbered], pa.int64())

    def of(self, labels: pa.Array) -> np.ndarray:
        """Returns the indices, (n,) int64, of labels, plain or as a dictionary; 0 for none."""
        if pa.types.is_dictionary(labels.type):
            numbers = self.of(labels.dictionary)
            indices: Any = labels.indices.fill_null(len(numbers))
            return np.append(numbers, 0)[indices.to_numpy(zero_copy_only=False)]
        places = pc.index_in(labels, self._labels)
        return self._numbers.take(places).fill_null(0).to_numpy(zero_copy_only=False)
