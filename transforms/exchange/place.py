"""Leaving blocks of rows where the buckets of their images will find them."""

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import apache_beam as beam
import pyarrow.compute as pc

from transforms import journal
from transforms.config import BuildConfig
from transforms.dataset.elements import Block, ByteRange, Source
from transforms.exchange import engine, files


class PlaceFn(beam.DoFn):
    """Runs a reader of byte ranges or of whole sources, and places the blocks that it reads.

    Through files that is done once for each, however often a build is stopped and goes on.

    Args:
        reader: yields blocks, and other things by tag.
        config: the build.
    """

    def __init__(self, reader: beam.DoFn, config: BuildConfig) -> None:
        self._reader = reader
        self._config = config

    def setup(self) -> None:
        self._reader.setup()

    def process(self, element: ByteRange | Source, **side: Any) -> Iterable[Any]:
        read = partial(self._read, element, side)
        if self._config.exchange == "engine":
            return read(set())
        return journal.once(self._config, _name(element), read)

    def _read(
        self, element: ByteRange | Source, side: dict[str, Any], paths: set[str]
    ) -> Iterator[Any]:
        pending: list[Block] = []
        for output in self._reader.process(element, **side):
            if not isinstance(output, Block):
                yield output
                continue
            if self._config.exchange == "engine":
                yield from engine.ship(output, self._config.buckets)
                continue
            if isinstance(element, Source) and element.medium == "tar.gz":
                # Its members lie in a tar that was unpacked.
                containers = pc.struct_field(output.table["value"], "container")
                paths.update(containers.unique().to_pylist())
            size = sum(block.table.nbytes for block in (*pending, output))
            if pending and size > files.SPILL_BYTES:
                yield from self._spill(pending, paths)
                pending = []
            pending.append(output)
        if pending:
            yield from self._spill(pending, paths)

    def _spill(self, blocks: list[Block], paths: set[str]) -> Iterator[files.Spill]:
        for together in files.combine(blocks):
            spill = files.spill(together, self._config.buckets, self._config.exchange_folder)
            paths.add(spill.path)
            yield spill


def _name(element: ByteRange | Source) -> str:
    if isinstance(element, ByteRange):
        return "range-" + "-".join(map(str, element))
    return f"source-{element.index}"
