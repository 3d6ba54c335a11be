"""Conditions on annotations and images: `boxes.is_group_of != 1` → which rows hold it."""

import dataclasses
import operator
from collections.abc import Callable, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.kinds.parsing.table import FLAG, UNKNOWN_FLAG
from transforms.selection.values import label_mask, text_mask

#: Comparisons of numbers, by name.
_COMPARISONS: Mapping[str, Callable[[np.ndarray, float], np.ndarray]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
OPERATORS = ("=", "!=", "<=", ">=", "<", ">", "in", "not in", "~", "!~")
#: The operators that negate others.
_NEGATED = {"!=": "=", "not in": "in", "!~": "~"}

#: The fields of a box, in fractions of the image.
CORNERS = ("xmin", "xmax", "ymin", "ymax")
#: Fields that follow from these, by name.
GEOMETRY: Mapping[str, Callable[[Mapping[str, np.ndarray]], np.ndarray]] = {
    "width": lambda at: at["xmax"] - at["xmin"],
    "height": lambda at: at["ymax"] - at["ymin"],
    "area": lambda at: (at["xmax"] - at["xmin"]) * (at["ymax"] - at["ymin"]),
}


@dataclasses.dataclass(frozen=True)
class Condition:
    """A condition on the rows of a label type, or on images.

    A value that isn't known (null, or a flag that is -1 where 0 or 1 is asked for) holds no
    condition but those that negate: `= 1` and `= 0` both exclude it, and `!= 1` includes it.

    Attributes:
        subject: a label type, or `images`.
        field: of its rows, or of `GEOMETRY`; empty for a triplet of a relationship.
        operator: of `OPERATORS`.
        values: to compare with: numbers or texts; of labels MIDs; of a triplet the MIDs of either
            class and the names of relationships, where an empty one is any.
        text: the condition as it was written.
    """

    subject: str
    field: str
    operator: str
    values: tuple
    text: str

    def mask(self, rows: pa.StructArray) -> np.ndarray:
        """Returns which rows hold the condition, (n,) bool."""
        negated = self.operator in _NEGATED
        plain = _NEGATED.get(self.operator, self.operator)
        if not self.field:
            found = self._triplets(rows)
        elif self.field in GEOMETRY and self.field not in rows.type.names:
            corners = {name: _numbers(rows.field(name)).astype(np.float64) for name in CORNERS}
            found = self._compare(GEOMETRY[self.field](corners), plain)
        else:
            column = rows.field(self.field)
            if is_text(column.type):
                found = self._match(column, plain)
            else:
                numbers = _numbers(column)
                if column.type == FLAG and UNKNOWN_FLAG not in self.values:
                    numbers[numbers == UNKNOWN_FLAG] = np.nan
                found = self._compare(numbers, plain)
        return ~found if negated else found

    def _compare(self, numbers: np.ndarray, comparison: str) -> np.ndarray:
        """Compares numbers, of which those that aren't known are NaN."""
        # A confidence of 0.7 in single precision is to equal 0.7.
        with np.errstate(over="ignore"):  # what is too large for that is infinite
            values = [numbers.dtype.type(value) for value in self.values]
        if comparison == "in":
            return np.isin(numbers, values)
        return _COMPARISONS[comparison](numbers, values[0])

    def _match(self, texts: pa.Array, comparison: str) -> np.ndarray:
        values = {str(value).casefold() for value in self.values}
        if comparison == "~":
            return text_mask(
                texts, lambda some: [any(v in each.casefold() for v in values) for each in some]
            )
        return text_mask(texts, lambda some: [each.casefold() in values for each in some])

    def _triplets(self, rows: pa.StructArray) -> np.ndarray:
        found = np.ones(len(rows), bool)
        for field, wanted in zip(("label1", "relationship", "label2"), self.values, strict=True):
            if wanted:
                found &= label_mask(rows.field(field), pa.array(wanted, pa.string()))
        return found


def is_text(dtype: pa.DataType) -> bool:
    """Whether a field holds texts, coded or not."""
    return pa.types.is_string(dtype) or pa.types.is_dictionary(dtype)


def _numbers(column: pa.Array) -> np.ndarray:
    """Returns a column as floating-point numbers; NaN where it is null."""
    if not pa.types.is_floating(column.type):
        column = pc.cast(column, pa.float64(), safe=False)  # 2^53 + 1 has no double of its own
    return np.array(column.to_numpy(zero_copy_only=False))
