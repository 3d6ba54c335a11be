"""ListMembers: pixel and mask sources → blocks of addresses, keyed like the rows of a table."""

from collections.abc import Iterator, Sequence
from typing import Any

import apache_beam as beam
import pyarrow as pa

from transforms import elements, failures
from transforms.config import BuildConfig
from transforms.elements import Block, Failed, Source, SourceCount
from transforms.failures import Failure, PixelError
from transforms.keys import image_keys
from transforms.pixels import listing

#: Kinds of source that are listed, with what counts as a member.
CONTENTS = {"pictures": listing.PICTURES, "mask_files": listing.MASKS}


class ListMembersFn(beam.DoFn):
    """Lists a folder or archive."""

    def process(self, source: Source) -> Iterator[Any]:
        order = 0
        try:
            for listed in listing.list_members(source.path, CONTENTS[source.kind]):
                yield from self._outputs(source, order, listed.table, listed.failures)
                order += 1
        except PixelError as error:
            stage = CONTENTS[source.kind].stage
            failure = Failure(None, None, stage, error.reason, error.detail, source.path)
            yield from self._outputs(source, order, listing.SCHEMA.empty_table(), [failure])

    def _outputs(
        self, source: Source, order: int, table: pa.Table, found: Sequence[Failure]
    ) -> Iterator[Any]:
        count = SourceCount(source.index, order, len(table) + len(found), len(found), 0)
        yield beam.pvalue.TaggedOutput("counts", count)
        if found:
            failed = Failed(source.index, order, elements.to_ipc(failures.to_table(found)))
            yield beam.pvalue.TaggedOutput("failed", failed)
        if len(table):
            members = table.combine_chunks()
            keys, _ = image_keys(members["image_id"].chunk(0))
            value = members.drop_columns("image_id").to_struct_array().combine_chunks()
            yield Block(source.index, order, pa.table({"key": keys, "value": value}))


class ListMembers(beam.PTransform):
    """Folders, tars and zips → blocks of their members' addresses; tags as of `ReadAnnotations`."""

    def __init__(self, config: BuildConfig) -> None:
        super().__init__()
        self._sources = [source for source in config.sources if source.kind in CONTENTS]

    def expand(self, root: beam.pvalue.PBegin) -> beam.pvalue.DoOutputsTuple:
        return (
            root
            | beam.Create(self._sources)
            | "SpreadSources" >> beam.Reshuffle()
            | "List" >> beam.ParDo(ListMembersFn()).with_outputs("failed", "counts", main="blocks")
        )
