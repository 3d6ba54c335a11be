"""Putting a version in its place: whoever follows `latest` sees one whole version at any time.

On a file system a version is put together in the work folder, moved to its place by one rename, and
named in `latest` by another. In an object store nothing can be moved: shards are written to their
places, then what lies beside them, then the manifest, without which a version is none, and
`latest`. The dataset card comes last.

A build that was taken for dead may come back when another has taken over the output, and so may a
commit that an engine tries twice. It looks whether it holds the lease still before it changes what
others see; and should it be stopped just then, what it does next fails: both renames start from a
folder that is gone by then, and in an object store `latest` isn't as it was seen any more.
"""

import contextlib
import json
import os
import uuid
from collections.abc import Iterable, Mapping, Sequence

import pyarrow as pa

from transforms.dataset import naming
from transforms.dataset.classes import complete_encoded
from transforms.dataset.elements import BucketCount, Failed, Shard, SourceCount
from transforms.dataset.schema import example_columns
from transforms.formats.registry import find_format
from transforms.releases import card, counts, failure_table, lease, verify_files
from transforms.releases.documents import describe_file, seal_manifest
from transforms.releases.failure_table import FailureTable
from transforms.releases.loss_limits import find_losses
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
) -> dict:
    """Publishes a version, unless it has no examples or `find_losses` finds a loss.

    Returns:
        The outcome of the build: `version` (null if nothing was published), `images`,
        `failed_images`, `failures` (count by reason), `examples_of_failures` (rows), `sources`,
        `annotations`, `warnings`, `losses` (fields of `losses.Loss`) and `exif_reset`.
    """
    found = failure_table.FailureTable(failed, source_counts, config.examples.sources)
    inputs = counts.tell_digests(config.examples.sources, source_counts)
    sources = counts.count_sources(inputs, source_counts, bucket_counts)
    unread = _count_unread_images(config, sources)
    images = sum(bucket.images for bucket in bucket_counts) + unread
    failed_images = sum(bucket.failed for bucket in bucket_counts) + unread
    splits = counts.count_splits(shards)
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
        "failures": failure_table.count_reasons(found.tables()),
        "examples_of_failures": failure_table.first_rows(found.tables(), 5),
        "sources": sources,
        "annotations": counts.count_annotations(bucket_counts),
        "warnings": counts.gather_warnings(config.notices, source_counts, sources),
        "losses": [loss._asdict() for loss in lost],
        "splits": splits,
        "taken_over": counts.count_taken_over(bucket_counts),
        "exif_reset": sum(bucket.exif_reset for bucket in bucket_counts),
    }
    if lost or not shards:
        files.delete_folder(config.version_folder, config.object_options)
        return outcome | {"version": None}
    document = {
        "version": config.version,
        "fingerprint": counts.fingerprint(inputs, config.basis, config.buckets),
        "basis": config.basis,
        "config": config.flags,
        "splits": splits,
        "sources": sources,
        "annotations": outcome["annotations"],
        "warnings": outcome["warnings"],
        "exif_reset": outcome["exif_reset"],
        "failures": outcome["failures"],
        "lineage": counts.count_lineage(shards),
    }
    all_classes = complete_encoded(classes[0], frozenset().union(*labels))
    parts = recording.parts_table(shards, bucket_counts, config.buckets)
    publish = _publish_in_store if is_remote(config.output) else _publish_in_folder
    publish(config, shards, parts, document, found, all_classes)
    return outcome


def _count_unread_images(config: Publication, sources: Sequence[Mapping]) -> int:
    """How many image rows of the splits that are built couldn't be read: their images failed."""
    return sum(
        account["bad_rows"]
        for source, account in zip(config.examples.sources, sources, strict=True)
        if source.kind == "images"
        and (
            source.split is None
            or not config.examples.splits
            or source.split in config.examples.splits
        )
    )


def _publish_in_folder(
    config: Publication,
    _: object,
    parts: pa.Table,
    document: dict,
    failed: FailureTable,
    classes: bytes,
) -> None:
    target = os.path.join(config.output, "versions", config.version)
    folder = config.version_folder
    scratch = os.path.dirname(folder)  # which goes when another build takes over
    new_card = card.render(config.version, document["splits"])
    # A retried commit finds the version where the first attempt moved it.
    if not os.path.exists(target):
        contents = _encode_metadata(config, parts, document["splits"], failed, classes)
        _write_metadata(folder, scratch, contents)
        manifest = seal_manifest(_with_checksums(document, contents, new_card))
        files.write_file(os.path.join(folder, naming.MANIFEST), manifest, scratch)
        os.makedirs(os.path.dirname(target), exist_ok=True)
    # Before there is a version, which would stay where the disk is too full for its name.
    pointer = os.path.join(scratch, f"latest.{uuid.uuid4().hex}")
    files.write_file(pointer, f"{config.version}\n".encode(), scratch)
    card_path = os.path.join(scratch, f"card.{uuid.uuid4().hex}")
    files.write_file(card_path, new_card, scratch)
    if not os.path.exists(target):
        lease.check(config)
        os.rename(folder, target)
        files.sync_folder(os.path.dirname(target))
    lease.check(config)
    latest = os.path.join(config.output, "latest")
    files.move_folder_away(latest, scratch)
    os.replace(pointer, latest)
    with contextlib.suppress(OSError):  # it is published; see `card` for what comes of that
        if card.may_write(card.read(config.output, config.object_options)):
            os.replace(card_path, os.path.join(config.output, card.NAME))
    files.sync_folder(config.output)


def _publish_in_store(
    config: Publication,
    shards: Iterable[Shard],
    parts: pa.Table,
    document: dict,
    failed: FailureTable,
    classes: bytes,
) -> None:
    options = config.object_options
    # An empty manifest keeps its place. It goes with the shards if another build takes these for
    # leftovers, and then can't be written any more.
    manifest = os.path.join(config.version_folder, naming.MANIFEST)
    conditional.write(manifest, b"", None, options)
    place = conditional.read(manifest, options)
    found = {
        os.path.relpath(status.path, config.version_folder): status
        for status in files.walk(config.version_folder, options)
    }
    for shard in shards:
        if shard.path not in found or found[shard.path].size != shard.bytes:
            path = os.path.join(config.version_folder, shard.path)
            if place and not place[0]:
                files.delete_file(manifest, options)
            raise StorageError(f"{path} has gone, or isn't as it was written: build again")
    parts = recording.with_etags(parts, {path: each.version for path, each in found.items()})
    contents = _encode_metadata(config, parts, document["splits"], failed, classes)
    _write_metadata(config.version_folder, "", contents, options)
    new_card = card.render(config.version, document["splits"])
    data = seal_manifest(_with_checksums(document, contents, new_card))
    lease.check(config)
    if place is None or not conditional.write(manifest, data, place[1], options):
        place = conditional.read(manifest, options)
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
    lease.check(config)
    if conditional.write(pointer, data, found[1] if found else None, config.object_options):
        return
    found = conditional.read(pointer, config.object_options)
    if found is None or found[0] != data:
        raise lease.LostLeaseError(f"{pointer} was changed by somebody else just now: build again")


def _encode_metadata(
    config: Publication,
    parts: pa.Table,
    splits: dict[str, dict],
    failed: FailureTable,
    classes: bytes,
) -> dict[str, bytes]:
    """Returns the content of the files beside the shards, by path below the version's folder."""
    contents = {
        naming.CLASSES: classes,
        recording.PARTS: recording.encode_parts(parts),
        _FAILURES: failure_table.encode(failed.tables()),
    }
    columns = example_columns(
        with_image=config.examples.with_pictures, maps=config.examples.map_columns
    )
    for form in config.formats:
        shards = verify_files.shard_sizes(splits, form)
        documents = find_format(form).documents(config.release, columns, shards)
        for path, content in documents.items():
            text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False)
            contents[path] = f"{text}\n".encode()
    return contents


def _with_checksums(document: dict, contents: Mapping[str, bytes], new_card: bytes) -> dict:
    """Returns the manifest with the checksums of the files beside the shards, and of the card."""
    described = [describe_file(path, data) for path, data in sorted(contents.items())]
    of_lineage = [file for file in described if file["path"] == recording.PARTS]
    return document | {
        "lineage": [*document["lineage"], *of_lineage],
        "files": [file for file in described if file not in of_lineage],
        "card": describe_file(card.NAME, new_card),
    }


def _write_metadata(
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
