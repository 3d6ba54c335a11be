"""ListMembers: pixel and mask sources → blocks of addresses, keyed like the rows of a table."""

from collections.abc import Iterator, Sequence
from typing import Any

import apache_beam as beam
import pyarrow as pa

from transforms import metrics, progress
from transforms.config import BuildConfig
from transforms.dataset import failures
from transforms.dataset.elements import Block, Failed, Source, SourceCount
from transforms.dataset.failures import Failure, PixelError, Stage
from transforms.exchange.place import PlaceFn
from transforms.sources import listing
from transforms.sources.contents import CONTENTS, keyed, list_source


class ListMembersFn(beam.DoFn):
    """Lists a folder or archive."""

    def __init__(self, config: BuildConfig) -> None:
        self._folder = config.exchange_folder
        self._options = config.object_options
        self._progress_folder = config.progress_folder

    def setup(self) -> None:
        progress.sign_on(self._progress_folder)

    def process(self, source: Source) -> Iterator[Any]:
        contents = CONTENTS[source.kind]
        order = members = 0
        similar = others = listing.Unused()
        damage = ""
        try:
            for listed in list_source(source, self._folder, self._options):
                yield from self._outputs(source, order, listed.table, listed.failures)
                order += 1
                members += len(listed.table) + len(listed.failures)
                similar = similar.followed_by(listed.similar)
                others = others.followed_by(listed.others)
        except PixelError as error:
            failure = Failure(None, None, contents.stage, error.reason, error.detail, source.name)
            yield from self._outputs(source, order, listing.SCHEMA.empty_table(), [failure])
            order += 1
            members += 1
            if contents.stage == Stage.MASK:  # images without a picture count as failed instead
                damage = f"cut or damaged ({error}), so masks are lost: get it again"
        is_empty = order == 0
        warning = listing.describe_unused(contents, members, similar, others, is_empty)
        if warning or damage:
            count = SourceCount(source.index, order, 0, 0, 0, damage=damage, warning=warning)
            yield beam.pvalue.TaggedOutput("counts", count)

    def _outputs(
        self, source: Source, order: int, table: pa.Table, found: Sequence[Failure]
    ) -> Iterator[Any]:
        count = SourceCount(source.index, order, len(table) + len(found), len(found), 0)
        yield beam.pvalue.TaggedOutput("counts", count)
        metrics.FAILURES.inc(len(found))
        if found:
            failed = Failed(source.index, order, failures.pack(failures.to_table(found)))
            yield beam.pvalue.TaggedOutput("failed", failed)
        if len(table):
            yield Block(source.index, order, keyed(table, source.index))


class ListMembers(beam.PTransform):
    """Folders, tars and zips → blocks of their members' addresses.

    Outputs, by tag: `fragments` of the exchange, `Failed` (`failed`) and `SourceCount` (`counts`).
    """

    def __init__(self, config: BuildConfig) -> None:
        super().__init__()
        self._config = config

    def expand(self, containers: beam.PCollection) -> beam.pvalue.DoOutputsTuple:
        return (
            containers
            | "SpreadContainers" >> beam.Reshuffle()
            | "List"
            >> beam.ParDo(PlaceFn(ListMembersFn(self._config), self._config)).with_outputs(
                "failed", "counts", main="fragments"
            )
        )
