"""The commit: a version is put in its place, and `latest` names it.

Whoever follows `latest` sees one whole version at any time; `docs/releases.md` says why.

On a file system a version is put together in the work folder, moved to its place by one rename, and
named in `latest` by another. In an object store nothing can be moved: shards are written to their
places, then the files beside them, then the manifest, without which a version is none, and
`latest`. The dataset card comes last.

A build that was taken for dead may come back when another has taken over the output, and so may a
commit that an engine tries twice. It checks its lease before it changes what others see; and should
it be stopped just then, what it does next fails: both renames start from a folder that is gone by
then, and in an object store `latest` isn't as it was seen any more.
"""

import contextlib
import dataclasses
import json
import os
import uuid
from collections.abc import Iterable, Mapping, Sequence

import pyarrow as pa

from transforms.dataset import naming
from transforms.dataset.classes import complete_encoded
from transforms.dataset.elements import BucketCount, Failed, Shard, SourceCount
from transforms.formats.registry import find_format
from transforms.kinds.images import IMAGES
from transforms.kinds.registry import example_columns
from transforms.releases import card, counts, failure_table, lease
from transforms.releases.failure_table import FailureTable
from transforms.releases.fingerprint import fingerprint
from transforms.releases.loss_limits import find_losses
from transforms.releases.manifest import (
    MANIFEST_VERSION,
    Manifest,
    SourceRows,
    Split,
    describe_file,
)
from transforms.releases.outcome import Outcome
from transforms.releases.publication import Publication
from transforms.reuse import recording
from transforms.storage import conditional, files
from transforms.storage.objects import StorageError, is_remote
from transforms.storage.stores import ObjectOptions

_FAILURES = "failures/failures-00000-of-00001.parquet"


def commit(
    config: Publication,
    shards: Sequence[Shard],
    source_counts: Sequence[SourceCount],
    bucket_counts: Sequence[BucketCount],
    failed: Sequence[Failed],
    classes: Sequence[bytes],
    labels: Iterable[frozenset[str]],
) -> Outcome:
    """Publishes a version, unless it has no examples or `find_losses` finds a loss.

    It may be called again, by an engine that tries a step twice.

    Args:
        config: the build; the shards lie in its `version_folder`.
        shards: all shards.
        source_counts: of all blocks.
        bucket_counts: of all buckets.
        failed: all failures.
        classes: the content of `classes.json`, as far as files of classes tell.
        labels: those that annotations have.

    Raises:
        LostLeaseError: Another build has taken over the output.
        StorageError: The object store lacks a shard, or can't be written to.
    """
    failures = FailureTable(failed, source_counts, config.examples.sources)
    inputs = counts.add_digests(config.examples.sources, source_counts)
    sources = counts.count_sources(inputs, source_counts, bucket_counts)
    unread = _count_unread_images(config, sources)
    images = sum(bucket.images for bucket in bucket_counts) + unread
    failed_images = sum(bucket.failed for bucket in bucket_counts) + unread
    splits = counts.count_splits(shards)
    losses = find_losses(
        config,
        sources,
        source_counts,
        bucket_counts,
        failures,
        splits,
        images=images,
        failed_images=failed_images,
    )
    outcome = Outcome(
        version=config.version if shards and not losses else None,
        images=images,
        failed_images=failed_images,
        failures=failure_table.count_reasons(failures.tables()),
        examples_of_failures=tuple(failure_table.first_rows(failures.tables(), 5)),
        sources=sources,
        annotations=counts.count_annotations(bucket_counts),
        warnings=counts.collect_warnings(config.notices, source_counts, sources),
        losses=tuple(losses),
        splits=splits,
        taken_over=counts.count_taken_over(bucket_counts),
        exif_reset=sum(bucket.exif_reset for bucket in bucket_counts),
    )
    if outcome.version is None:
        files.delete_folder(config.version_folder, config.object_options)
        return outcome
    manifest = Manifest(
        manifest_version=MANIFEST_VERSION,
        version=config.version,
        fingerprint=fingerprint(inputs, config.settings_fingerprint, config.buckets),
        settings_fingerprint=config.settings_fingerprint,
        config=config.flags,
        schemas={form: find_format(form).schema(_columns(config)) for form in config.formats},
        splits=splits,
        sources=sources,
        annotations=outcome.annotations,
        warnings=outcome.warnings,
        exif_reset=outcome.exif_reset,
        failures=outcome.failures,
        reuse=counts.list_reuse_files(shards),
    )
    all_classes = complete_encoded(classes[0], frozenset().union(*labels))
    parts = recording.parts_table(shards, bucket_counts, config.buckets)
    publish = _publish_in_store if is_remote(config.output) else _publish_in_folder
    publish(config, shards, parts, manifest, failures, all_classes)
    return outcome


def _count_unread_images(config: Publication, sources: Sequence[SourceRows]) -> int:
    """Counts image rows of the splits that are built that couldn't be read: their images failed."""
    return sum(
        rows.bad_rows
        for source, rows in zip(config.examples.sources, sources, strict=True)
        if source.kind == IMAGES.name
        and (
            source.split is None
            or not config.examples.splits
            or source.split in config.examples.splits
        )
    )


def _columns(config: Publication) -> tuple[str, ...]:
    """Returns the columns that the dataset fills."""
    examples = config.examples
    return example_columns(with_image=examples.with_pictures, maps=examples.map_columns)


def _publish_in_folder(
    config: Publication,
    _: object,
    parts: pa.Table,
    manifest: Manifest,
    failures: FailureTable,
    classes: bytes,
) -> None:
    target = os.path.join(config.output, "versions", config.version)
    folder = config.version_folder
    scratch = os.path.dirname(folder)  # which goes when another build takes over
    new_card = card.render(config.version, manifest.splits)
    # A retried commit finds the version where the first attempt moved it.
    if not os.path.exists(target):
        contents = _encode_metadata(config, parts, manifest.splits, failures, classes)
        write_metadata(folder, scratch, contents)
        data = _with_checksums(manifest, contents, new_card).encode()
        files.write_file(os.path.join(folder, naming.MANIFEST), data, scratch)
        os.makedirs(os.path.dirname(target), exist_ok=True)
    # Before there is a version, which would stay where the disk is too full for its name.
    pointer = os.path.join(scratch, f"latest.{uuid.uuid4().hex}")
    files.write_file(pointer, f"{config.version}\n".encode(), scratch)
    card_path = os.path.join(scratch, f"card.{uuid.uuid4().hex}")
    files.write_file(card_path, new_card, scratch)
    if not os.path.exists(target):
        lease.check(config.output, config.lease, config.object_options)
        os.rename(folder, target)
        files.sync(os.path.dirname(target))
    lease.check(config.output, config.lease, config.object_options)
    latest = os.path.join(config.output, "latest")
    files.move_folder_away(latest, scratch)
    os.replace(pointer, latest)
    with contextlib.suppress(OSError):  # it is published; see `card` for what comes of that
        if card.may_write(card.read(config.output, config.object_options)):
            os.replace(card_path, os.path.join(config.output, card.NAME))
    files.sync(config.output)


def _publish_in_store(
    config: Publication,
    shards: Iterable[Shard],
    parts: pa.Table,
    manifest: Manifest,
    failures: FailureTable,
    classes: bytes,
) -> None:
    options = config.object_options
    # An empty manifest keeps its place. It goes with the shards if another build takes these for
    # leftovers, and then can't be written any more.
    manifest_path = os.path.join(config.version_folder, naming.MANIFEST)
    conditional.write(manifest_path, b"", None, options)
    place = conditional.read(manifest_path, options)
    found = {
        os.path.relpath(status.path, config.version_folder): status
        for status in files.walk(config.version_folder, options)
    }
    for shard in shards:
        if shard.path not in found or found[shard.path].size != shard.bytes:
            path = os.path.join(config.version_folder, shard.path)
            if place and not place[0]:
                files.delete_file(manifest_path, options)
            raise StorageError(f"{path} has gone, or isn't as it was written: build again")
    parts = recording.with_etags(parts, {path: each.version for path, each in found.items()})
    contents = _encode_metadata(config, parts, manifest.splits, failures, classes)
    write_metadata(config.version_folder, "", contents, options)
    new_card = card.render(config.version, manifest.splits)
    data = _with_checksums(manifest, contents, new_card).encode()
    lease.check(config.output, config.lease, config.object_options)
    if place is None or not conditional.write(manifest_path, data, place[1], options):
        place = conditional.read(manifest_path, options)
        if place is None or place[0] != data:  # which another attempt may have written
            raise lease.LostLeaseError(f"{config.version_folder} was cleared away: build again")
    seen = conditional.read(os.path.join(config.output, card.NAME), options)
    _point_in_store(config)
    with contextlib.suppress(StorageError):  # it is published; see `card` for what comes of that
        card.write_as_seen(config.output, new_card, seen, options)


def _point_in_store(config: Publication) -> None:
    """Lets `latest` name a version, unless somebody else has written it meanwhile.

    Raises:
        LostLeaseError: Another build has taken over, or somebody has led readers elsewhere.
    """
    pointer = os.path.join(config.output, "latest")
    data = f"{config.version}\n".encode()
    found = conditional.read(pointer, config.object_options)
    lease.check(config.output, config.lease, config.object_options)
    if conditional.write(pointer, data, found[1] if found else None, config.object_options):
        return
    found = conditional.read(pointer, config.object_options)
    if found is None or found[0] != data:
        raise lease.LostLeaseError(f"{pointer} was changed by somebody else just now: build again")


def _encode_metadata(
    config: Publication,
    parts: pa.Table,
    splits: Mapping[str, Split],
    failures: FailureTable,
    classes: bytes,
) -> dict[str, bytes]:
    """Returns the content of the files beside the shards, by path below the version's folder."""
    contents = {
        naming.CLASSES: classes,
        recording.PARTS: recording.encode_parts(parts),
        _FAILURES: failure_table.encode(failures.tables()),
    }
    columns = _columns(config)
    for form in config.formats:
        shards = counts.shard_sizes(splits, form)
        documents = find_format(form).documents(config.release, columns, shards)
        for path, content in documents.items():
            text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False)
            contents[path] = f"{text}\n".encode()
    return contents


def _with_checksums(manifest: Manifest, contents: Mapping[str, bytes], new_card: bytes) -> Manifest:
    """Returns the manifest with the checksums of the files beside the shards, and of the card."""
    described = [describe_file(path, data) for path, data in sorted(contents.items())]
    reuse = [file for file in described if file.path == recording.PARTS]
    return dataclasses.replace(
        manifest,
        reuse=(*manifest.reuse, *reuse),
        files=tuple(file for file in described if file not in reuse),
        card=describe_file(card.NAME, new_card),
    )


def write_metadata(
    folder: str,
    scratch: str,
    contents: Mapping[str, bytes],
    options: ObjectOptions = files.DEFAULTS,
) -> None:
    """Writes the files beside the shards; see `files.write_file`."""
    for path, data in contents.items():
        target = os.path.join(folder, path)
        if not is_remote(target):
            os.makedirs(os.path.dirname(target), exist_ok=True)
        files.write_file(target, data, scratch, options)
