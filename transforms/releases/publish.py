"""Publish: parts → verified shards, manifest, version folder, pointer."""

import dataclasses
import os
from collections.abc import Iterable, Mapping, Sequence

import apache_beam as beam

from transforms import progress
from transforms.dataset.elements import BuiltPart, Shard
from transforms.examples.options import PartOptions
from transforms.releases import lease
from transforms.releases.commit import commit
from transforms.releases.outcome import OUTCOME
from transforms.releases.publication import Publication
from transforms.releases.shards import ShardPlan, plan_shards, seal_shard
from transforms.storage import files


class PlanShardsFn(beam.DoFn):
    """Decides which parts make a shard; sees all parts at once, so that all buckets are built."""

    def __init__(
        self, config: Publication, part_options: PartOptions, exchange_folder: str | None
    ) -> None:
        self._config = config
        self._part_options = part_options
        self._exchange_folder = exchange_folder

    def process(self, _: bytes, parts: Sequence[BuiltPart]) -> Iterable[ShardPlan]:
        config = self._config
        if self._exchange_folder:
            # Else another build may be going on in this folder.
            lease.check(config.output, config.lease, config.object_options)
            # Of a large build that takes seconds of waiting for the disk. A build that is stopped
            # from here on reads its input again.
            files.vanish(self._exchange_folder, in_background=True)
        return plan_shards(parts, self._part_options.shard_size, self._part_options.num_shards)


class SealShardFn(beam.DoFn):
    """Makes a shard of its parts, which lasts when the bundle is done.

    Each is flushed when the next one is there: by then the disk has most of it, and there is no
    waiting.
    """

    def __init__(self, config: Publication) -> None:
        self._config = config
        self._last: Shard | None = None

    def setup(self) -> None:
        progress.sign_on(self._config.work.progress)

    def start_bundle(self) -> None:
        self._last = None

    def process(self, plan: ShardPlan) -> Iterable[Shard]:
        config = self._config
        shard = seal_shard(plan, config.version_folder, config.release, config.object_options)
        self._flush()
        self._last = shard
        yield shard

    def finish_bundle(self) -> None:
        self._flush()

    def _flush(self) -> None:
        if self._last:
            files.sync(os.path.join(self._config.version_folder, self._last.path))


class CommitFn(beam.DoFn):
    """Publishes, and leaves word in the work folder of what became of the build."""

    def __init__(self, config: Publication) -> None:
        self._config = config

    def setup(self) -> None:
        progress.sign_on(self._config.work.progress)

    def process(
        self,
        _: bytes,
        shards: Sequence[Shard],
        *reports: Sequence,
        names: Sequence[str],
    ) -> None:
        named: dict[str, list] = {name: [] for name in names}
        for name, report in zip(names, reports, strict=True):
            named[name] += report
        outcome = commit(self._config, shards, **named)
        config = self._config
        path = os.path.join(config.work.path, OUTCOME)
        files.write_file(path, outcome.encode(), config.work.path, config.object_options)


@dataclasses.dataclass(eq=False)
class Publish(beam.PTransform):
    """Parts → a published version.

    Attributes:
        config: what is published, where, and within which limits.
        part_options: of how many bytes, or how many, shards are to be.
        exchange_folder: is removed once all parts are there; None where there is none.
        reports: of what `commit` takes by name some PCollections each. They aren't flattened, which
            a runner would do in a stage by itself.
    """

    config: Publication
    part_options: PartOptions
    exchange_folder: str | None
    reports: Mapping[str, tuple[beam.PCollection, ...]]

    def expand(self, parts: beam.PCollection) -> beam.PCollection:
        root = parts.pipeline
        shards = (
            root
            | "OncePlan" >> beam.Impulse()
            | "PlanShards"
            >> beam.ParDo(
                PlanShardsFn(self.config, self.part_options, self.exchange_folder),
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
