"""Rows of a block of text that were parsed, and the failures of the others."""

import dataclasses
from collections.abc import Sequence

import pyarrow as pa

from transforms.dataset import failures as all_failures
from transforms.dataset.failures import Failure


@dataclasses.dataclass
class ParsedBlock:
    """Rows of a block that are sound, and failures for the others.

    Attributes:
        table: columns `key` (uint64) and `value` (a struct), in the block's order.
        failures: table of `failures.COMPACT`, sorted; `line` counts from the block's first line,
            as 1.
        rows: how many records the block holds, sound or not.
        bad_rows: how many were left out.
        lines: how many lines it holds.
        warning: why the file may be cut, as in `SourceCount`; or empty.
        deselected: how many sound rows aren't in the table because nobody wants them.
    """

    table: pa.Table
    failures: pa.Table
    rows: int
    bad_rows: int
    lines: int
    warning: str = ""
    deselected: int = 0

    def with_cut_record(self, failure: Failure, warning: str) -> "ParsedBlock":
        """Returns the block with a bad record added at its end, the one that is cut."""
        found = all_failures.to_table([failure._replace(line=self.lines + 1)])
        cut = ParsedBlock(self.table.slice(0, 0), all_failures.compact(found), 1, 1, 0)
        return dataclasses.replace(in_one_block([self, cut], self.lines), warning=warning)


def in_one_block(blocks: Sequence[ParsedBlock], lines: int) -> ParsedBlock:
    """Returns blocks that were parsed one after another, with lines counted alike, as one.

    Args:
        blocks: at least one.
        lines: how many the whole has.
    """
    return ParsedBlock(
        pa.concat_tables([block.table for block in blocks]).combine_chunks(),
        all_failures.compact(pa.concat_tables([block.failures for block in blocks])),
        rows=sum(block.rows for block in blocks),
        bad_rows=sum(block.bad_rows for block in blocks),
        lines=lines,
        warning=next((block.warning for block in blocks if block.warning), ""),
    )
