"""Publish: parts → verified shards, manifest, version folder, pointer."""

import os
from collections.abc import Iterable, Mapping, Sequence

import apache_beam as beam

from transforms import progress
from transforms.config import BuildConfig
from transforms.dataset.classes import complete_encoded
from transforms.dataset.elements import BucketCount, BuiltPart, Failed, Shard, SourceCount
from transforms.releases import gathered, holder, manifest, version
from transforms.releases.documents import to_json
from transforms.releases.losses import find_losses
from transforms.releases.shards import ShardPlan, plan_shards, seal_shard
from transforms.reuse import recording
from transforms.storage import files


def commit(
    config: BuildConfig,
    shards: Sequence[Shard],
    source_counts: Sequence[SourceCount],
    bucket_counts: Sequence[BucketCount],
    failed: Sequence[Failed],
    classes: Sequence[bytes],
    labels: Iterable[frozenset[str]],
) -> dict:
    """Publishes a version, unless it has no examples or `find_losses` finds a loss.

    Returns:
        The outcome of the build: `version` (null if nothing was published), `images`,
        `failed_images`, `failures` (count by reason), `examples_of_failures` (rows), `sources`,
        `annotations`, `warnings`, `losses` (fields of `losses.Loss`) and `exif_reset`.
    """
    found = gathered.GatheredFailures(failed, source_counts, config.sources)
    inputs = manifest.tell_digests(config.sources, source_counts)
    sources = manifest.count_sources(inputs, source_counts, bucket_counts)
    unread = _count_unread_images(config, sources)
    images = sum(bucket.images for bucket in bucket_counts) + unread
    failed_images = sum(bucket.failed for bucket in bucket_counts) + unread
    splits = manifest.count_splits(shards)
    lost = find_losses(
        config,
        sources,
        source_counts,
        bucket_counts,
        found,
        splits,
        images=images,
        failed_images=failed_images,
    )
    outcome = {
        "version": config.version,
        "images": images,
        "failed_images": failed_images,
        "failures": gathered.count_reasons(found.tables()),
        "examples_of_failures": gathered.first_rows(found.tables(), 5),
        "sources": sources,
        "annotations": manifest.count_annotations(bucket_counts),
        "warnings": manifest.gather_warnings(config.notices, source_counts, sources),
        "losses": [loss._asdict() for loss in lost],
        "splits": splits,
        "taken_over": manifest.count_taken_over(bucket_counts),
        "exif_reset": sum(bucket.exif_reset for bucket in bucket_counts),
    }
    if lost or not shards:
        version.discard(config)
        return outcome | {"version": None}
    document = {
        "version": config.version,
        "fingerprint": manifest.fingerprint(inputs, config.basis, config.buckets),
        "basis": config.basis,
        "config": config.flags,
        "splits": splits,
        "sources": sources,
        "annotations": outcome["annotations"],
        "warnings": outcome["warnings"],
        "exif_reset": outcome["exif_reset"],
        "failures": outcome["failures"],
        "lineage": manifest.count_lineage(shards),
    }
    all_classes = complete_encoded(classes[0], frozenset().union(*labels))
    parts = recording.parts_table(shards, bucket_counts, config.buckets)
    version.publish(config, shards, parts, document, found, all_classes)
    return outcome


def _count_unread_images(config: BuildConfig, sources: Sequence[Mapping]) -> int:
    """How many image rows of the splits that are built couldn't be read: their images failed."""
    return sum(
        account["bad_rows"]
        for source, account in zip(config.sources, sources, strict=True)
        if source.kind == "images"
        and (source.split is None or not config.splits or source.split in config.splits)
    )


class PlanShardsFn(beam.DoFn):
    """Decides which parts make a shard; sees all parts at once, so that all buckets are built."""

    def __init__(self, config: BuildConfig) -> None:
        self._config = config

    def process(self, _: bytes, parts: Sequence[BuiltPart]) -> Iterable[ShardPlan]:
        if self._config.exchange == "files":
            holder.check(self._config)  # else another build may be going on in this folder
            # Of a large build that takes seconds of waiting for the disk. A build that is stopped
            # from here on reads its input again.
            files.vanish(self._config.exchange_folder, in_background=True)
        return plan_shards(parts, self._config.shard_size, self._config.num_shards)


class SealShardFn(beam.DoFn):
    """Makes a shard of its parts, which lasts when the bundle is done.

    Each is flushed when the next one is there: by then the disk has most of it, and there is no
    waiting.
    """

    def __init__(self, config: BuildConfig) -> None:
        self._config = config
        self._last: Shard | None = None

    def setup(self) -> None:
        progress.sign_on(self._config.progress_folder)

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
            files.sync_file(os.path.join(self._config.version_folder, self._last.path))


class CommitFn(beam.DoFn):
    """Publishes, and leaves word in the work folder of what became of the build."""

    def __init__(self, config: BuildConfig) -> None:
        self._config = config

    def setup(self) -> None:
        progress.sign_on(self._config.progress_folder)

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
        path = os.path.join(config.work, version.OUTCOME)
        files.write_file(path, to_json(outcome), config.work, config.object_options)


class Publish(beam.PTransform):
    """Parts → a published version.

    Args:
        config: the build.
        reports: of what `commit` takes by name some PCollections each. They aren't flattened, which
            a runner would do in a stage by itself.
    """

    def __init__(
        self, config: BuildConfig, reports: Mapping[str, tuple[beam.PCollection, ...]]
    ) -> None:
        super().__init__()
        self._config = config
        self._reports = reports

    def expand(self, parts: beam.PCollection) -> beam.PCollection:
        root = parts.pipeline
        shards = (
            root
            | "OncePlan" >> beam.Impulse()
            | "PlanShards"
            >> beam.ParDo(PlanShardsFn(self._config), beam.pvalue.AsList(parts)).with_output_types(
                ShardPlan
            )
            | "SpreadShards" >> beam.Reshuffle()
            | "SealShards" >> beam.ParDo(SealShardFn(self._config)).with_output_types(Shard)
        )
        named = [(name, report) for name, some in self._reports.items() for report in some]
        reports = [beam.pvalue.AsList(report) for _, report in named]
        names = [name for name, _ in named]
        return (
            root
            | "OnceCommit" >> beam.Impulse()
            | "Commit"
            >> beam.ParDo(CommitFn(self._config), beam.pvalue.AsList(shards), *reports, names=names)
        )
