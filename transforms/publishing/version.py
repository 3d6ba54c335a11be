"""Putting a version in its place: whoever follows `latest` sees one whole version at any time.

On a file system a version is put together in the work folder, moved to its place by one rename, and
named in `latest` by another, last. In an object store nothing can be moved: shards are written to
their places, then what lies beside them, then the manifest, without which a version is none, and
`latest`.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from transforms.config import BuildConfig
from transforms.elements import Shard
from transforms.examples import features
from transforms.lineage import recording
from transforms.outputs import naming, tfds
from transforms.storage import files, objects
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
        StorageError: The object store lacks a shard, or can't be written to.
    """
    publish_ = _publish_in_store if is_remote(config.output) else _publish_in_folder
    publish_(config, shards, parts, document, gathered, classes)
    _write(config, os.path.join(config.output, "latest"), f"{config.version}\n".encode())


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
    # A retried commit finds the version where the first attempt moved it.
    if os.path.exists(target):
        return
    folder = config.version_folder
    encoded = recording.encode_parts(parts)
    document = _naming_parts(document, encoded)
    _write_metadata(folder, config.work, config, encoded, document["splits"], gathered, classes)
    _write(config, os.path.join(folder, naming.MANIFEST), to_json(document))
    os.makedirs(os.path.dirname(target), exist_ok=True)
    os.rename(folder, target)
    files.sync_folder(os.path.dirname(target))


def _publish_in_store(
    config: BuildConfig,
    shards: Iterable[Shard],
    parts: pa.Table,
    document: dict,
    gathered: pa.Table,
    classes: bytes,
) -> None:
    found = {
        os.path.relpath(status.path, config.version_folder): status
        for status in files.walk(config.version_folder, config.object_options)
    }
    for shard in shards:
        # Another build may have taken it for a leftover.
        if shard.path not in found or found[shard.path].size != shard.bytes:
            path = os.path.join(config.version_folder, shard.path)
            raise StorageError(f"{path} has gone, or isn't as it was written: build again")
    parts = recording.with_etags(parts, {path: each.version for path, each in found.items()})
    encoded = recording.encode_parts(parts)
    document = _naming_parts(document, encoded)
    with tempfile.TemporaryDirectory() as folder:
        _write_metadata(folder, folder, config, encoded, document["splits"], gathered, classes)
        for path in files.list_files(folder):
            place = os.path.join(config.version_folder, os.path.relpath(path, folder))
            objects.upload(place, Path(path), config.object_options)
    _write(config, os.path.join(config.version_folder, naming.MANIFEST), to_json(document))


def _naming_parts(document: dict, encoded: bytes) -> dict:
    """The manifest with the file of parts, whose content is known last."""
    sha256 = hashlib.sha256(encoded).hexdigest()
    named = {"path": recording.PARTS, "bytes": len(encoded), "sha256": sha256}
    return document | {"lineage": [*document["lineage"], named]}


def _write(config: BuildConfig, path: str, data: bytes) -> None:
    files.write_file(path, data, config.work, config.object_options)


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
