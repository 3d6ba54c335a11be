"""How files are cut into ranges, and in which order these are dealt out."""

from collections.abc import Mapping, Sequence

from transforms.dataset.elements import ByteRange, Source
from transforms.kinds.kind import Kind
from transforms.kinds.registry import TABLES


def plan_ranges(
    source: Source, range_size: int, kinds: Mapping[str, Kind] = TABLES
) -> list[ByteRange]:
    """Ranges whose rows take about `range_size` bytes; a single one where a file is compressed."""
    if source.compressed:
        return [ByteRange(source.index, 0, source.size)]
    step = max(1, round(range_size / kinds[source.kind].spilled_a_byte))
    starts = range(source.data_start, source.size, step)
    return [ByteRange(source.index, at, min(at + step, source.size)) for at in starts]


def plan_all_ranges(
    sources: Sequence[Source], range_size: int, kinds: Mapping[str, Kind] = TABLES
) -> list[ByteRange]:
    """Returns the ranges of all tables among a build's sources, the dearest first.

    Some runners deal them out to workers in turns, once and for all: so those of like cost follow
    one another.
    """
    tables = [source for source in sources if source.kind in kinds]
    ranges = [piece for source in tables for piece in plan_ranges(source, range_size, kinds)]

    def cost(piece: ByteRange) -> float:
        return kinds[sources[piece.source].kind].seconds_a_byte * (piece.stop - piece.start)

    return sorted(ranges, key=lambda piece: (-cost(piece), piece))
