"""Nested columns as Parquet holds them: leaves, with levels that say where values are missing.

A leaf has a slot for each of its values, and for each place where there is none because it, or
something around it, is null or empty. The definition level of a slot counts how many of the fields
and lists on the way to it are there; the repetition level which list goes on with it, 0 where a row
begins. Leaves side by side mostly have the same levels, which are then made once and shared.

Format: https://github.com/apache/parquet-format, `README.md`, "Nested Encoding"; described in
"Dremel: Interactive Analysis of Web-Scale Datasets", Melnik et al. 2010.
"""

import functools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa


class Leaf(NamedTuple):
    """A column of a Parquet file.

    Attributes:
        path: the names of the fields on the way to it, as Parquet has them.
        slots: the levels.
        values: those that aren't null, (slots at the highest definition level,).
    """

    path: tuple[str, ...]
    slots: "Slots"
    values: pa.Array


class Slots:
    """The slots of a leaf, or of a field around leaves.

    Attributes:
        definition: (n,) uint8 levels.
        repetition: (n,) uint8 levels; None outside of lists, where each row has one slot.
        max_definition: the level of slots that aren't null or empty.
        max_repetition: the number of lists around them.
    """

    def __init__(
        self,
        definition: np.ndarray,
        repetition: np.ndarray | None,
        held: np.ndarray | None,
        max_definition: int,
        max_repetition: int,
    ) -> None:
        """`held`, (n,) bool, are those at the highest level; None if all are."""
        self.definition = definition
        self.repetition = repetition
        self._held = held
        self.max_definition = max_definition
        self.max_repetition = max_repetition

    def define(self, array: pa.Array) -> "Slots":
        """Those of a field that may be null, of whose values `array` has one a held slot."""
        if not array.null_count:
            return self._all_valid
        if array.null_count == len(array):
            return self._all_null
        valid = array.is_valid().to_numpy(zero_copy_only=False)
        if self._held is None:
            return self._deeper(valid)
        held = self._held.copy()
        held[held] = valid
        return self._deeper(held)

    @functools.cached_property
    def _all_valid(self) -> "Slots":
        return self._deeper(self._held)

    @functools.cached_property
    def _all_null(self) -> "Slots":
        return self._deeper(np.zeros(len(self.definition), bool))

    def _deeper(self, held: np.ndarray | None) -> "Slots":
        # What isn't held has a lower level than what is, and keeps it.
        definition = self.definition + (1 if held is None else held.view(np.uint8))
        depth = self.max_definition + 1
        return Slots(definition, self.repetition, held, depth, self.max_repetition)

    def repeat(self, lengths: np.ndarray) -> "Slots":
        """Those of what lists hold, of which there is one a held slot, of so many values."""
        if self._held is None:
            counts = lengths.astype(np.intp)
        else:
            counts = np.zeros(len(self.definition), np.intp)
            counts[self._held] = lengths
        ends = np.cumsum(np.maximum(counts, 1))
        total = int(ends[-1]) if len(ends) else 0
        starts = ends - np.maximum(counts, 1)
        repetition = np.full(total, self.max_repetition + 1, np.uint8)
        repetition[starts] = 0 if self.repetition is None else self.repetition
        definition = np.full(total, self.max_definition + 1, np.uint8)
        empty = counts == 0
        held = None
        if empty.any():
            definition[starts[empty]] = self.definition[empty]
            held = np.ones(total, bool)
            held[starts[empty]] = False
        return Slots(definition, repetition, held, self.max_definition + 1, self.max_repetition + 1)


def leaves(name: str, column: pa.Array) -> Iterator[Leaf]:
    """The leaves of a column, all of whose fields may be null, in the order of the schema."""
    rows = Slots(np.zeros(len(column), np.uint8), None, None, 0, 0)
    return _walk((name,), column, rows)


def _walk(path: tuple[str, ...], array: pa.Array, around: Slots) -> Iterator[Leaf]:
    slots = around.define(array)
    if pa.types.is_list(array.type):
        inner = slots.repeat(array.value_lengths().drop_null().to_numpy())
        yield from _walk((*path, "list", "element"), array.flatten(), inner)
        return
    values = array.drop_null() if array.null_count else array
    if pa.types.is_struct(array.type):
        for field, inside in zip(array.type, values.flatten(), strict=True):
            yield from _walk((*path, field.name), inside, slots)
    else:
        yield Leaf(path, slots, values)
