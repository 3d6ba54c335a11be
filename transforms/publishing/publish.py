"""Publish: parts → verified shards, manifest, version folder, pointer.

A version is put together in the work folder, moved to its place by one rename, and named in
`latest` by another, last: whoever follows `latest` sees one whole version whenever the build ends.
"""

import json
import os
import uuid
from collections.abc import Iterable, Sequence

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq

from transforms.config import BuildConfig
from transforms.elements import BucketCount, BuiltPart, Failed, Shard, SourceCount
from transforms.examples import features
from transforms.outputs import naming, tfds
from transforms.outputs.classes import complete_classes, encode_classes
from transforms.publishing import manifest
from transforms.publishing.shards import ShardPlan, plan_shards, seal_shard

OUTCOME = "outcome.json"


def write_durably(path: str, data: bytes, scratch: str) -> None:
    """Writes a file so that a reader, even after a power cut, sees all of it or the old one.

    Args:
        path: the file.
        data: its content.
        scratch: a folder of the same file system, where what a killed process leaves is no harm.
    """
    attempt = os.path.join(scratch, uuid.uuid4().hex)
    with open(attempt, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(attempt, path)
    _sync_folder(os.path.dirname(path))


def _sync_folder(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _to_json(value: object) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()


def commit(
    config: BuildConfig,
    shards: Sequence[Shard],
    source_counts: Sequence[SourceCount],
    bucket_counts: Sequence[BucketCount],
    failed: Sequence[Failed],
    classes: Sequence[bytes],
    labels: Iterable[frozenset[str]],
) -> dict:
    """Publishes a version, or not if too many of its images failed.

    Returns:
        What became of the build: `version` (null if nothing was published), `images`,
        `failed_images`, `failures` (count by reason), `examples_of_failures` (rows) and `sources`.
    """
    gathered = manifest.gather_failures(failed, source_counts, config.sources)
    images = sum(bucket.images for bucket in bucket_counts)
    failed_images = sum(bucket.failed for bucket in bucket_counts)
    sources = manifest.count_sources(config.sources, source_counts, bucket_counts)
    splits = manifest.count_splits(shards)
    outcome = {
        "version": config.version,
        "images": images,
        "failed_images": failed_images,
        "failures": manifest.count_reasons(gathered),
        "examples_of_failures": gathered.slice(0, 5).to_pylist(),
        "sources": sources,
        "splits": splits,
    }
    if not shards or failed_images > config.max_failure_rate * images:
        return outcome | {"version": None}
    document = {
        "version": config.version,
        "fingerprint": config.fingerprint,
        "config": config.flags,
        "splits": splits,
        "sources": sources,
        "failures": outcome["failures"],
    }
    target = os.path.join(config.output, "versions", config.version)
    # A retried commit finds the version where the first attempt moved it.
    if not os.path.exists(target):
        all_classes = complete_classes(json.loads(classes[0]), frozenset().union(*labels))
        _write_metadata(config, splits, gathered, all_classes)
        path = os.path.join(config.version_folder, "manifest.json")
        write_durably(path, _to_json(document), config.work)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.rename(config.version_folder, target)
        _sync_folder(os.path.dirname(target))
    latest = os.path.join(config.output, "latest")
    write_durably(latest, f"{config.version}\n".encode(), config.work)
    return outcome


def _write_metadata(
    config: BuildConfig, splits: dict[str, dict], gathered: pa.Table, classes: Sequence[dict]
) -> None:
    """Writes what lies beside the shards."""
    folder = config.version_folder
    write_durably(os.path.join(folder, "classes.json"), encode_classes(classes), config.work)
    os.makedirs(os.path.join(folder, "failures"), exist_ok=True)
    pq.write_table(gathered, os.path.join(folder, "failures", "failures-00000-of-00001.parquet"))
    if "tfrecord" in config.formats:
        of_split = {
            split: [shard for shard in account["shards"] if shard["format"] == "tfrecord"]
            for split, account in splits.items()
        }
        tfds.write_metadata(
            os.path.join(folder, naming.tfds_folder(config.release)),
            features.columns(with_image=config.with_pictures, maps=config.map_columns),
            config=config.release,
            splits={
                split: [s["num_examples"] for s in shards] for split, shards in of_split.items()
            },
            num_bytes={
                split: sum(s["bytes"] for s in shards) for split, shards in of_split.items()
            },
        )


class PlanShardsFn(beam.DoFn):
    """Decides which parts make a shard; sees all parts at once."""

    def __init__(self, shard_size: int) -> None:
        self._shard_size = shard_size

    def process(self, _: None, parts: Sequence[BuiltPart]) -> Iterable[ShardPlan]:
        return plan_shards(parts, self._shard_size)


class SealShardFn(beam.DoFn):
    """Makes a shard of its parts."""

    def __init__(self, config: BuildConfig) -> None:
        self._config = config

    def process(self, plan: ShardPlan) -> Iterable[Shard]:
        yield seal_shard(plan, self._config.version_folder, self._config.release)


class CommitFn(beam.DoFn):
    """Publishes, and leaves word in the work folder of what became of the build."""

    def __init__(self, config: BuildConfig) -> None:
        self._config = config

    def process(
        self,
        _: None,
        shards: Sequence[Shard],
        **reports: Sequence,
    ) -> None:
        outcome = commit(self._config, shards, **reports)
        work = self._config.work
        write_durably(os.path.join(work, OUTCOME), _to_json(outcome), work)


class Publish(beam.PTransform):
    """Parts → a published version.

    Args:
        config: the build.
        reports: PCollections of what `commit` takes, by name.
    """

    def __init__(self, config: BuildConfig, reports: dict[str, beam.PCollection]) -> None:
        super().__init__()
        self._config = config
        self._reports = reports

    def expand(self, parts: beam.PCollection) -> beam.PCollection:
        root = parts.pipeline
        shards = (
            root
            | "OncePlan" >> beam.Create([None])
            | "PlanShards"
            >> beam.ParDo(
                PlanShardsFn(self._config.shard_size), beam.pvalue.AsList(parts)
            ).with_output_types(ShardPlan)
            | "SpreadShards" >> beam.Reshuffle()
            | "SealShards" >> beam.ParDo(SealShardFn(self._config)).with_output_types(Shard)
        )
        reports = {name: beam.pvalue.AsList(report) for name, report in self._reports.items()}
        return (
            root
            | "OnceCommit" >> beam.Create([None])
            | "Commit"
            >> beam.ParDo(CommitFn(self._config), shards=beam.pvalue.AsList(shards), **reports)
        )
