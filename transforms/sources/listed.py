"""ListMembers: folders and archives → addresses of their members, keyed like rows of a table."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import apache_beam as beam
import pyarrow as pa

from transforms import metrics, progress
from transforms.dataset import failures
from transforms.dataset.elements import Failed, Source, SourceCount
from transforms.dataset.failures import Failure, PixelError, Stage
from transforms.exchange.batches import KeyedBatch
from transforms.journal import Journal
from transforms.sources import listing
from transforms.sources.contents import CONTENTS, keyed, list_source, unpack_source
from transforms.sources.unpack import Unpacked
from transforms.storage.stores import ObjectOptions
from transforms.work_folder import WorkFolder


@dataclasses.dataclass(eq=False)
class ListMembersFn(beam.DoFn):
    """Lists a folder or archive and partitions the addresses, unless the journal has both."""

    work: WorkFolder
    partition: Callable[[Iterable[Any]], Iterator[Any]]
    journal: Journal
    options: ObjectOptions

    def setup(self) -> None:
        progress.sign_on(self.work.progress)

    def process(self, source: Source) -> Iterable[Any]:
        name = f"source-{source.index}"
        outputs = self.journal.load(name)
        if outputs is None:
            unpacked = unpack_source(source, self.work.exchange, self.options)
            members = self.partition(list_outputs(source, self.options, unpacked))
            files = [unpacked.path] if unpacked else []
            outputs = self.journal.save(name, members, files)
        return outputs


def list_outputs(
    source: Source, options: ObjectOptions, unpacked: Unpacked | None = None
) -> Iterator[Any]:
    """Yields keyed batches of addresses, and by tag the other outputs of `ListMembers`.

    Args:
        source: of a kind in `contents.CONTENTS`.
        options: how object stores are reached.
        unpacked: as `unpack_source` returned it.
    """
    contents = CONTENTS[source.kind]
    order = members = 0
    similar = others = listing.Unused()
    damage = ""
    try:
        for listed in list_source(source, options, unpacked):
            yield from _outputs(source, order, listed.table, listed.failures)
            order += 1
            members += len(listed.table) + len(listed.failures)
            similar = similar.followed_by(listed.similar)
            others = others.followed_by(listed.others)
    except PixelError as error:
        failure = Failure(None, None, contents.stage, error.reason, error.detail, source.name)
        yield from _outputs(source, order, listing.SCHEMA.empty_table(), [failure])
        order += 1
        members += 1
        if contents.stage != Stage.FETCH:  # images without a picture count as failed instead
            damage = f"cut or damaged ({error}), so {contents.noun}s are lost: get it again"
    is_empty = order == 0
    warning = listing.describe_unused(contents, members, similar, others, is_empty)
    if warning or damage:
        count = SourceCount(source.index, order, 0, 0, 0, damage=damage, warning=warning)
        yield beam.pvalue.TaggedOutput("counts", count)


def _outputs(
    source: Source, order: int, table: pa.Table, found: Sequence[Failure]
) -> Iterator[Any]:
    count = SourceCount(source.index, order, len(table) + len(found), len(found), 0)
    yield beam.pvalue.TaggedOutput("counts", count)
    metrics.FAILURES.inc(len(found))
    if found:
        failed = Failed(source.index, order, failures.pack(failures.to_table(found)))
        yield beam.pvalue.TaggedOutput("failed", failed)
    if len(table):
        yield KeyedBatch(source.index, order, keyed(table, source.index))


@dataclasses.dataclass(eq=False)
class ListMembers(beam.PTransform):
    """Folders, tars and zips → addresses of their members, as fragments of the exchange.

    Outputs, by tag: `fragments`, `Failed` (`failed`) and `SourceCount` (`counts`).

    Attributes:
        work: the build's folder, to which a `.tar.gz` is unpacked.
        partition: turns keyed batches into fragments: that of a transport.
        journal: of the fragments that were written.
        options: how object stores are reached.
    """

    work: WorkFolder
    partition: Callable[[Iterable[Any]], Iterator[Any]]
    journal: Journal
    options: ObjectOptions

    @beam.typehints.no_annotations  # Beam knows no tuples of PCollections
    def expand(self, containers: beam.PCollection) -> beam.pvalue.DoOutputsTuple:
        list_members = ListMembersFn(self.work, self.partition, self.journal, self.options)
        return (
            containers
            | "SpreadContainers" >> beam.Reshuffle()
            | "List" >> beam.ParDo(list_members).with_outputs("failed", "counts", main="fragments")
        )
