"""The kinds of the tables that an evaluation reads."""

from collections.abc import Mapping
from types import MappingProxyType

from transforms.evaluation.kinds.detections import DETECTIONS, MASK_DETECTIONS, PAIR_DETECTIONS
from transforms.evaluation.kinds.strings import BOX_STRINGS, MASK_STRINGS, PAIR_STRINGS
from transforms.evaluation.kinds.truth import TRUE_BOXES, TRUE_LABELS, TRUE_MASKS, TRUE_PAIRS
from transforms.kinds.images import IMAGES
from transforms.kinds.kind import Kind

#: Tables of predictions.
TABLES_OF_DETECTIONS = (
    DETECTIONS,
    MASK_DETECTIONS,
    PAIR_DETECTIONS,
    BOX_STRINGS,
    MASK_STRINGS,
    PAIR_STRINGS,
)
EVALUATED: Mapping[str, Kind] = MappingProxyType(
    {
        each.name: each
        for each in (IMAGES, TRUE_BOXES, TRUE_MASKS, TRUE_LABELS, TRUE_PAIRS, *TABLES_OF_DETECTIONS)
    }
)


def evaluated() -> Mapping[str, Kind]:
    """Returns `EVALUATED`; see `transforms.kinds.registry.tables`."""
    return EVALUATED
