"""Label types: what `--label_types` names, each the rows of one kind, or some of them."""

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pyarrow as pa

from transforms.kinds.image_labels import IMAGE_LABELS
from transforms.kinds.images import IMAGES
from transforms.kinds.kind import Kind
from transforms.kinds.registry import TABLES
from transforms.selection.values import text_mask

#: What labels made by a classifier have as their source.
_MACHINE = "machine"


@dataclasses.dataclass(frozen=True)
class LabelType:
    """A type of annotation that can be asked for.

    Attributes:
        name: as in `--label_types`.
        kind: whose rows it is.
        by_machine: whether it is the rows whose source is `machine`, or the others; None for all.
    """

    name: str
    kind: Kind
    by_machine: bool | None = None

    @property
    def column(self) -> str:
        """The column of an example that holds it."""
        return self.kind.column

    def mask(self, rows: pa.StructArray) -> np.ndarray:
        """Returns which rows of the kind are of this type, (n,) bool."""
        if self.by_machine is None:
            return np.ones(len(rows), bool)
        is_machine = are_by_machine(rows.field("source"))
        return is_machine if self.by_machine else ~is_machine

    def may_hold(self, path: str) -> bool:
        """Whether a file of the kind may have such rows, by its published name."""
        name = path.rsplit("/", 1)[-1].lower()
        if self.by_machine is None or ("machine" in name) == ("human" in name):
            return True
        return ("machine" in name) == self.by_machine


def are_by_machine(sources: pa.Array) -> np.ndarray:
    """Returns which sources of image labels, (n,), plain or a dictionary, are a classifier: (n,)
    bool."""
    return text_mask(sources, lambda texts: texts == _MACHINE)


#: All label types, by name: every kind of annotation is one, and labels by machines are apart.
LABEL_TYPES: Mapping[str, LabelType] = MappingProxyType(
    {
        **{kind.name: LabelType(kind.name, kind) for kind in TABLES.values() if kind is not IMAGES},
        "image_labels": LabelType("image_labels", IMAGE_LABELS, by_machine=False),
        "machine_labels": LabelType("machine_labels", IMAGE_LABELS, by_machine=True),
    }
)
