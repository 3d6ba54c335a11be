"""Whether ranges of a file begin inside quotes, which depends on all that precedes them.

Nearly all begin and end outside. So through files they are read as if they did while that is found
out, and what they hold lies in the journal by then; only others are read again.
"""

import collections
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import apache_beam as beam

from transforms.config import BuildConfig
from transforms.elements import ByteRange, Source
from transforms.exchange.place import PlaceFn
from transforms.formats import blocks
from transforms.formats.ranges import by_cost
from transforms.storage import files


class ReadOrCountFn(beam.DoFn):
    """Reads ranges, and counts the quotes (`quotes`) of those that may begin inside some.

    Args:
        place: reads and places ranges.
        config: the build.
    """

    def __init__(self, place: PlaceFn, config: BuildConfig) -> None:
        self._place = place
        self._config = config

    def setup(self) -> None:
        self._place.setup()

    def process(self, piece: ByteRange, **side: Any) -> Iterator[Any]:
        if piece.quotes is not None:
            yield from self._place.process(piece, **side)
            return
        source = self._config.sources[piece.source]
        options = self._config.object_options
        with files.open_file(source.path, options, size=source.size, stamp=source.stamp) as file:
            count = blocks.count_quotes(file, piece.start, piece.stop)
        # With an odd number one begins or ends inside quotes, and where these end may be far away.
        if count % 2 == 0 and self._config.exchange == "files":
            self._place.process(piece._replace(quotes=0), **side)
        yield beam.pvalue.TaggedOutput("quotes", (None, (piece, count)))


def add_quotes(counted: Iterable[tuple[ByteRange, int]]) -> list[ByteRange]:
    """Tells each range of a file whether the number of quotes before it is odd.

    An odd number in the whole file means that some quote is unbalanced: then no line break is taken
    for a quoted one (-1), so that one stray quote spoils its own row and not the rest of the file.
    """
    pieces = sorted(counted)
    balanced = sum(quotes for _, quotes in pieces) % 2 == 0
    before, ranges = 0, []
    for piece, quotes in pieces:
        ranges.append(piece._replace(quotes=before % 2 if balanced else -1))
        before += quotes
    return ranges


def add_all_quotes(
    counted: tuple[None, Iterable[tuple[ByteRange, int]]], sources: Sequence[Source]
) -> list[ByteRange]:
    """As `add_quotes` for the ranges of several files; the dearest ones come first."""
    by_source = collections.defaultdict(list)
    for piece, quotes in counted[1]:
        by_source[piece.source].append((piece, quotes))
    ranges = [piece for pieces in by_source.values() for piece in add_quotes(pieces)]
    return by_cost(ranges, sources)
