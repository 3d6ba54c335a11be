"""ListMembers: pixel and mask sources → blocks of addresses, keyed like the rows of a table."""

from collections.abc import Iterator, Sequence
from typing import Any

import apache_beam as beam
import pyarrow as pa

from transforms import elements, failures
from transforms.config import BuildConfig
from transforms.elements import LISTED, Block, Failed, Source, SourceCount
from transforms.failures import Failure, PixelError, Reason
from transforms.keys import image_keys
from transforms.pixels import listing
from transforms.pixels.unpack import unpack

#: Kinds of source that are listed, with what counts as a member.
CONTENTS = {"pictures": listing.PICTURES, "mask_files": listing.MASKS}


class ListMembersFn(beam.DoFn):
    """Lists a folder or archive.

    A `.tar.gz` can't be sought into: it is unpacked into the work folder, and its members are those
    of the tar there.
    """

    def __init__(self, config: BuildConfig) -> None:
        self._folder = config.exchange_folder

    def process(self, source: Source) -> Iterator[Any]:
        order = 0
        try:
            for listed in self._list(source):
                yield from self._outputs(source, order, listed.table, listed.failures)
                order += 1
        except PixelError as error:
            stage = CONTENTS[source.kind].stage
            failure = Failure(None, None, stage, error.reason, error.detail, source.path)
            yield from self._outputs(source, order, listing.SCHEMA.empty_table(), [failure])

    def _list(self, source: Source) -> Iterator[listing.Listing]:
        contents = CONTENTS[source.kind]
        if source.medium != "tar.gz":
            yield from listing.list_members(source.path, contents)
            return
        path, damage = unpack(source.path, self._folder)
        try:
            yield from listing.list_members(path, contents)
        except (PixelError, ValueError) as error:
            # Where the compressed data is damaged, so is the tar: the former is the cause.
            raise damage or PixelError(Reason.CORRUPT, str(error)) from None
        if damage:
            raise damage

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
            source_index = pa.array([source.index] * len(members), pa.int32())
            members = members.append_column("source", source_index).drop_columns("image_id")
            value = members.to_struct_array().combine_chunks()
            yield Block(source.index, order, pa.table({"key": keys, "value": value}))


class ListMembers(beam.PTransform):
    """Folders, tars and zips → blocks of their members' addresses; tags as of `ReadAnnotations`."""

    def __init__(self, config: BuildConfig) -> None:
        super().__init__()
        self._config = config

    def expand(self, root: beam.pvalue.PBegin) -> beam.pvalue.DoOutputsTuple:
        sources = [source for source in self._config.sources if source.medium in LISTED]
        return (
            root
            | beam.Create(sources)
            | "SpreadSources" >> beam.Reshuffle()
            | "List"
            >> beam.ParDo(ListMembersFn(self._config)).with_outputs(
                "failed", "counts", main="blocks"
            )
        )
