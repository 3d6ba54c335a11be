"""How files are cut into ranges, and in which order these are dealt out."""

from collections.abc import Sequence

from transforms.dataset.elements import ByteRange, Source
from transforms.kinds.detect import TABLES

#: How long a byte takes by kind, of an image label's.
_COSTS = {"image_labels": 1.0, "points": 2.5, "narratives": 2.5, "masks": 2.7}
_OTHER_COST = 1.8

_SPILLED = {"image_labels": 0.4, "narratives": 0.4, "boxes": 0.5, "points": 0.6, "images": 1.05}
_OTHERS_SPILLED = 0.7


def spilled_by_byte(source: Source) -> float:
    """How many bytes of rows the exchange has for a byte of an uncompressed table, about."""
    return _SPILLED.get(source.kind, _OTHERS_SPILLED)


def plan_ranges(source: Source, range_size: int) -> list[ByteRange]:
    """Ranges whose rows take about `range_size` bytes; a single one where a file is compressed."""
    if source.compressed:
        return [ByteRange(source.index, 0, source.size)]
    step = max(1, round(range_size / spilled_by_byte(source)))
    starts = range(source.data_start, source.size, step)
    return [ByteRange(source.index, at, min(at + step, source.size)) for at in starts]


def plan_all_ranges(sources: Sequence[Source], range_size: int) -> list[ByteRange]:
    """The ranges of all tables among a build's sources, the dearest first.

    Some runners deal them out to workers in turns, once and for all: so those of like cost follow
    one another.
    """
    tables = [source for source in sources if source.kind in TABLES]
    ranges = [piece for source in tables for piece in plan_ranges(source, range_size)]

    def cost(piece: ByteRange) -> float:
        return _COSTS.get(sources[piece.source].kind, _OTHER_COST) * (piece.stop - piece.start)

    return sorted(ranges, key=lambda piece: (-cost(piece), piece))
