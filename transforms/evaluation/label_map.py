"""What predictions call classes: MIDs, display names, or numbers of a label map."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, Self

import pyarrow as pa
import pyarrow.compute as pc


@dataclasses.dataclass(frozen=True)
class LabelMap:
    """The classes of the ground truth.

    Attributes:
        labels: MIDs, (n,) string.
        names: display names in lower case, (n,) string; null where a class has none.
        numbers: class indices, (n,) int64; null where a class has none.
    """

    labels: pa.Array
    names: pa.Array
    numbers: pa.Array

    @classmethod
    def of(cls, classes: Iterable[Mapping[str, Any]]) -> Self:
        """Returns the map of classes as of `build_classes`."""
        rows = list(classes)
        names = pa.array([each["name"] and each["name"].casefold() for each in rows], pa.string())
        return cls(
            pa.array([each["label"] for each in rows], pa.string()),
            names,
            pa.array([each["index"] for each in rows], pa.int64()),
        )

    def to_labels(self, given: pa.Array) -> pa.Array:
        """Returns MIDs, (n,) string, in place of texts that are MIDs or names, or of numbers.

        A name that several classes have is that of the first, as in `--format coco`. What is none
        of these stays as it is, as text, and is a class that isn't evaluated.
        """
        if pa.types.is_floating(given.type):  # as libraries make integers that may be null
            whole = pc.equal(given, pc.floor(given)).fill_null(False)
            if pc.all(pc.or_(whole, given.is_null())).as_py() is not False:
                given = given.cast(pa.int64(), safe=False)
        if pa.types.is_integer(given.type):
            known, keys = self.numbers, given.cast(pa.int64())
        else:
            known, keys = self.names, _folded(given.cast(pa.string()))
        found = self.labels.take(pc.index_in(keys, known))
        return pc.coalesce(found, given.cast(pa.string()))


def _folded(texts: pa.Array) -> pa.Array:
    """Folds the case of texts, each distinct one once."""
    coded = texts.dictionary_encode()
    folded = [each.casefold() for each in coded.dictionary.to_pylist()]
    return pa.array(folded, pa.string()).take(coded.indices)
