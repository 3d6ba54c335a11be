"""Publish: parts → verified shards, manifest, version folder, `latest`."""

import collections
import dataclasses
import os
from collections.abc import Iterable, Mapping, Sequence

import apache_beam as beam

from transforms import progress
from transforms.dataset.elements import BuiltPart, Shard
from transforms.releases import lease
from transforms.releases.commit import commit
from transforms.releases.outcome import OUTCOME
from transforms.releases.publication import Publication
from transforms.releases.shards import ShardPlan, kind_of, plan_shards, seal_shard, sync_shards
from transforms.storage import files


@dataclasses.dataclass(eq=False)
class PlanShardsFn(beam.DoFn):
    """Decides which parts make a shard; sees all parts at once, so that all buckets are built."""

    config: Publication
    exchange_folder: str | None

    def process(self, _: bytes, parts: Sequence[BuiltPart]) -> Iterable[ShardPlan]:
        config = self.config
        if self.exchange_folder:
            # Else another build may be going on in this folder.
            lease.check(config.output, config.lease, config.object_options)
            # Of a large build that takes seconds of waiting for the disk. A build that is stopped
            # from here on reads its input again.
            files.vanish(self.exchange_folder, in_background=True)
        return plan_shards(parts, config.shard_size, config.num_shards)


@dataclasses.dataclass(eq=False)
class _PublicationFn(beam.DoFn):
    """A step of publishing; its process counts as a worker of the build."""

    config: Publication

    def setup(self) -> None:
        progress.sign_on(self.config.work.progress)


class SealShardFn(_PublicationFn):
    """Makes a shard of its parts, which lasts when the bundle is done.

    Each is flushed when the next one is there: by then the disk has most of it, and there is no
    waiting. Shards of loose files are flushed together, at the end.
    """

    def start_bundle(self) -> None:
        self._unflushed: list[Shard] = []

    def process(self, plan: ShardPlan) -> Iterable[Shard]:
        config = self.config
        shard = seal_shard(plan, config.version_folder, config.settings, config.object_options)
        if not kind_of(shard.format).has_loose_files:
            self._flush()
        self._unflushed.append(shard)
        yield shard

    def finish_bundle(self) -> None:
        self._flush()

    def _flush(self) -> None:
        sync_shards(self._unflushed, self.config.version_folder)
        self._unflushed = []


class CommitFn(_PublicationFn):
    """Publishes, and writes the outcome of the build to the work folder."""

    def process(
        self, _: bytes, shards: Sequence[Shard], *reports: Sequence, names: Sequence[str]
    ) -> None:
        named: dict[str, list] = collections.defaultdict(list)
        for name, report in zip(names, reports, strict=True):
            named[name] += report
        config = self.config
        outcome = commit(config, shards, **named)
        path = os.path.join(config.work.path, OUTCOME)
        files.write_file(path, outcome.encode(), config.work.path, config.object_options)


@dataclasses.dataclass(eq=False)
class Publish(beam.PTransform):
    """Parts → a published version.

    Attributes:
        config: options of publishing.
        exchange_folder: is removed once all parts are there; None where there is none.
        reports: PCollections by argument of `commit`. They aren't flattened, for which a runner
            would need a stage of its own.
    """

    config: Publication
    exchange_folder: str | None
    reports: Mapping[str, tuple[beam.PCollection, ...]]

    def expand(self, parts: beam.PCollection) -> beam.PCollection:
        root = parts.pipeline
        shards = (
            root
            | "OncePlan" >> beam.Impulse()
            | "PlanShards"
            >> beam.ParDo(
                PlanShardsFn(self.config, self.exchange_folder),
                beam.pvalue.AsList(parts),
            ).with_output_types(ShardPlan)
            | "SpreadShards" >> beam.Reshuffle()
            | "SealShards" >> beam.ParDo(SealShardFn(self.config)).with_output_types(Shard)
        )
        named = [(name, report) for name, some in self.reports.items() for report in some]
        reports = [beam.pvalue.AsList(report) for _, report in named]
        names = [name for name, _ in named]
        return (
            root
            | "OnceCommit" >> beam.Impulse()
            | "Commit"
            >> beam.ParDo(CommitFn(self.config), beam.pvalue.AsList(shards), *reports, names=names)
        )
