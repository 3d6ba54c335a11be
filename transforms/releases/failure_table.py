"""The table of all failures of a build, in order; only some are in memory at a time.

Failures of a file's rows come block by block, in the order of their lines. So they are unpacked and
passed on one block after another, as often as they are needed. Failures of images, pictures and
masks come in no order, and are sorted together.
"""

import collections
import itertools
from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from transforms.dataset import failures
from transforms.dataset.elements import Failed, Source, SourceCount
from transforms.dataset.failures import SCHEMA, Stage

#: Rows that the file of failures has in a row group, all of which are in memory when it is written.
_GROUP_ROWS = 1 << 16


class FailureTable:
    """All failures, in the order of `failures.in_order`.

    Lines within a block become lines within the file.

    Args:
        failed: failures a block or bucket.
        counts: line breaks of each block, by which those after it are displaced.
        sources: all sources, by index.
    """

    def __init__(
        self, failed: Iterable[Failed], counts: Iterable[SourceCount], sources: Sequence[Source]
    ) -> None:
        self._sources = sources
        self._lines_before = _lines_before(counts, sources)
        self._of_files: dict[str, list[Failed]] = collections.defaultdict(list)
        others = [failures.NONE]
        for each in sorted(failed):
            if each.source < len(sources) and not sources[each.source].medium:
                self._of_files[sources[each.source].shown_name].append(each)
            else:
                others += self._unpack(each)
        sorted_others = failures.in_order(pa.concat_tables(others))
        # All failures of files are of this stage.
        count = pc.sum(pc.less(sorted_others["stage"].cast(pa.string()), Stage.READ)).as_py() or 0
        self._before_files = sorted_others.slice(0, count)
        self._after_files = sorted_others.slice(count)

    def tables(self) -> Iterator[pa.Table]:
        """Yields all failures, as tables with `COMPACT`."""
        yield self._before_files
        for name in sorted(self._of_files):
            yield from self.of_file(name)
        yield self._after_files

    def of_file(self, name: str) -> Iterator[pa.Table]:
        """Yields the failures of a file's rows, as tables with `COMPACT`.

        Args:
            name: of a table or a file of the vocabulary, as it is shown.
        """
        pieces = self._of_files.get(name, [])
        tables = itertools.chain.from_iterable(map(self._unpack, pieces))
        if len({piece.source for piece in pieces}) > 1:  # files whose names are shown alike
            yield failures.in_order(pa.concat_tables(tables))
            return
        pending = None
        for table in tables:
            if pending and pending["line"][-1].as_py() >= table["line"][0].as_py():
                table = failures.in_order(pa.concat_tables([pending, table]))
            elif pending:
                yield pending
            pending = table
        if pending:
            yield pending

    def _unpack(self, failed: Failed) -> Iterator[pa.Table]:
        """Yields failures with the name of their source and their lines in it."""
        for table in failures.unpack(failed.packed):
            if failed.source < len(self._sources):
                before = self._lines_before.get((failed.source, failed.order), 0)
                table = failures.displaced(table, self._sources[failed.source].shown_name, before)
            yield table


def _lines_before(
    counts: Iterable[SourceCount], sources: Sequence[Source]
) -> dict[tuple[int, int], int]:
    """Returns how many lines precede each block in its file."""
    lines = [source.header_lines for source in sources]
    before = {}
    for count in sorted(counts):
        before[count.source, count.order] = lines[count.source]
        lines[count.source] += count.lines
    return before


def count_reasons(tables: Iterable[pa.Table]) -> dict[str, int]:
    """Counts failures by reason."""
    counts: collections.Counter[str] = collections.Counter()
    for table in tables:
        for entry in table["reason"].value_counts().to_pylist():
            counts[entry["values"]] += entry["counts"]
    return dict(sorted(counts.items()))


def first_rows(tables: Iterable[pa.Table], count: int) -> list[dict]:
    """Returns the first failures as rows."""
    rows = (row for table in tables for row in table.slice(0, count).to_pylist())
    return list(itertools.islice(rows, count))


def encode(tables: Iterable[pa.Table]) -> bytes:
    """Returns failures as a Parquet file with `SCHEMA`."""
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, SCHEMA) as writer:
        for table in _regrouped(tables):
            writer.write_table(table.cast(SCHEMA).combine_chunks(), _GROUP_ROWS)
    return sink.getvalue().to_pybytes()


def _regrouped(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Yields tables of `_GROUP_ROWS` rows, and at least one, with the rest."""
    pending = failures.NONE
    for table in tables:
        pending = pa.concat_tables([pending, table])
        while len(pending) > _GROUP_ROWS:
            yield pending.slice(0, _GROUP_ROWS)
            pending = pending.slice(_GROUP_ROWS)
    yield pending
