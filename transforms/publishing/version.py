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
import hashlib
import json
import os
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from transforms.config import BuildConfig
from transforms.elements import Shard
from transforms.examples import features
from transforms.lineage import recording
from transforms.outputs import naming, tfds
from transforms.publishing import card, holder
from transforms.storage import conditional, files, locked, objects
from transforms.storage.objects import StorageError, is_remote

#: What became of a build, in its work folder.
OUTCOME = "outcome.json"


def to_json(value: object) -> bytes:
    """A document as it is published."""
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()


def publish(
    config: BuildConfig,
    shards: Sequence[Shard],
    parts: pa.Table,
    document: dict,
    gathered: pa.Table,
    classes: bytes,
) -> None:
    """Publishes the version whose shards are in `config.version_folder`. It may be called again.

    Args:
        config: the build.
        shards: all of them.
        parts: as of `recording.parts_table`.
        document: the manifest.
        gathered: all failures.
        classes: the content of `classes.json`.

    Raises:
        LostLeaseError: Another build has taken over the output.
        StorageError: The object store lacks a shard, or can't be written to.
    """
    publish_ = _publish_in_store if is_remote(config.output) else _publish_in_folder
    publish_(config, shards, parts, document, gathered, classes)


def discard(config: BuildConfig) -> None:
    """Removes the shards of a version that isn't to be published."""
    files.delete_folder(config.version_folder, config.object_options)


def _publish_in_folder(
    config: BuildConfig,
    _: object,
    parts: pa.Table,
    document: dict,
    gathered: pa.Table,
    classes: bytes,
) -> None:
    target = os.path.join(config.output, "versions", config.version)
    folder = config.version_folder
    scratch = os.path.dirname(folder)  # which goes when another build takes over
    # A retried commit finds the version where the first attempt moved it.
    if not os.path.exists(target):
        encoded = recording.encode_parts(parts)
        document = _naming_parts(document, encoded)
        _write_metadata(folder, scratch, config, encoded, document["splits"], gathered, classes)
        files.write_file(os.path.join(folder, naming.MANIFEST), to_json(document), scratch)
        os.makedirs(os.path.dirname(target), exist_ok=True)
    # Before there is a version, which would stay where the disk is too full for its name.
    pointer = os.path.join(scratch, f"latest.{uuid.uuid4().hex}")
    files.write_file(pointer, f"{config.version}\n".encode(), scratch)
    new_card = os.path.join(scratch, f"card.{uuid.uuid4().hex}")
    files.write_file(new_card, card.render(config.version, document["splits"]), scratch)
    if not os.path.exists(target):
        holder.check(config)
        os.rename(folder, target)
        files.sync_folder(os.path.dirname(target))
    holder.check(config)
    os.replace(pointer, os.path.join(config.output, "latest"))
    if card.may_write(card.read(config.output, config.object_options)):
        with contextlib.suppress(OSError):  # it is published; see `card` for what comes of that
            os.replace(new_card, os.path.join(config.output, card.NAME))
    files.sync_folder(config.output)


def _publish_in_store(
    config: BuildConfig,
    shards: Iterable[Shard],
    parts: pa.Table,
    document: dict,
    gathered: pa.Table,
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
    encoded = recording.encode_parts(parts)
    document = _naming_parts(document, encoded)
    with locked.temporary_folder() as folder:
        _write_metadata(folder, folder, config, encoded, document["splits"], gathered, classes)
        for path in files.list_files(folder):
            other = os.path.join(config.version_folder, os.path.relpath(path, folder))
            objects.upload(other, Path(path), options)
    holder.check(config)
    data = to_json(document)
    if place is None or not conditional.write(manifest, data, place[1], options):
        place = conditional.read(manifest, options)
        if place is None or place[0] != data:  # which another attempt may have written
            raise holder.LostLeaseError(f"{config.version_folder} was cleared away: build again")
    seen = conditional.read(os.path.join(config.output, card.NAME), options)
    _point_in_store(config)
    new_card = card.render(config.version, document["splits"])
    with contextlib.suppress(StorageError):  # it is published; see `card` for what comes of that
        card.write_as_seen(config.output, new_card, seen, options)


def _naming_parts(document: dict, encoded: bytes) -> dict:
    """The manifest with the file of parts, whose content is known last."""
    sha256 = hashlib.sha256(encoded).hexdigest()
    named = {"path": recording.PARTS, "bytes": len(encoded), "sha256": sha256}
    return document | {"lineage": [*document["lineage"], named]}


def _point_in_store(config: BuildConfig) -> None:
    """Lets `latest` name a version, unless somebody else has written it meanwhile.

    Raises:
        LostLeaseError: Another build has taken over, or somebody has led readers elsewhere.
    """
    pointer = os.path.join(config.output, "latest")
    data = f"{config.version}\n".encode()
    found = conditional.read(pointer, config.object_options)
    holder.check(config)
    if conditional.write(pointer, data, found[1] if found else None, config.object_options):
        return
    found = conditional.read(pointer, config.object_options)
    if found is None or found[0] != data:
        raise holder.LostLeaseError(f"{pointer} was changed by somebody else just now: build again")


def _write_metadata(
    folder: str,
    scratch: str,
    config: BuildConfig,
    parts: bytes,
    splits: dict[str, dict],
    gathered: pa.Table,
    classes: bytes,
) -> None:
    """Writes what lies beside the shards into a local folder, by way of another."""
    files.write_file(os.path.join(folder, "classes.json"), classes, scratch)
    os.makedirs(os.path.join(folder, naming.LINEAGE), exist_ok=True)
    files.write_file(os.path.join(folder, recording.PARTS), parts, scratch)
    os.makedirs(os.path.join(folder, "failures"), exist_ok=True)
    pq.write_table(gathered, os.path.join(folder, "failures", "failures-00000-of-00001.parquet"))
    if "tfrecord" in config.formats:
        of_split = {
            split: [shard for shard in account["shards"] if shard["format"] == "tfrecord"]
            for split, account in splits.items()
        }
        tfds_folder = os.path.join(folder, naming.tfds_folder(config.release))
        os.makedirs(tfds_folder, exist_ok=True)
        tfds.write_metadata(
            tfds_folder,
            features.columns(with_image=config.with_pictures, maps=config.map_columns),
            config=config.release,
            splits={
                split: [s["num_examples"] for s in shards] for split, shards in of_split.items()
            },
            num_bytes={
                split: sum(s["bytes"] for s in shards) for split, shards in of_split.items()
            },
        )
