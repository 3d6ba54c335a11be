"""Copies of a published version that are spoiled, and those of them whose manifest hides it."""

import dataclasses
import hashlib
import json
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import google_crc32c
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.builds import Version
from transforms.dataset.keys import image_keys
from transforms.formats.registry import FORMATS, find_format
from transforms.formats.tfrecord import wire
from transforms.formats.tfrecord.encoder import encode_examples
from transforms.formats.tfrecord.records import read_records
from transforms.kinds.registry import example_columns
from transforms.releases.manifest import describe_file, seal


def masked_crc(data: bytes) -> int:
    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def write_records(path: Path, records: Sequence[bytes]) -> None:
    with open(path, "wb") as file:
        for record in records:
            length = struct.pack("<Q", len(record))
            file.write(length + struct.pack("<I", masked_crc(length)))
            file.write(record + struct.pack("<I", masked_crc(record)))


def edit_manifest(version: Version, edit: Callable[[dict], object]) -> None:
    """Edits the manifest, and lets its own checksum fit."""
    path = version.folder / "manifest.json"
    manifest = json.loads(path.read_text())
    edit(manifest)
    path.write_bytes(seal(manifest))


def reseal_file(version: Version, path: Path) -> None:
    """Lets the manifest say of a file beside the shards what it now is."""

    def edit(manifest: dict) -> None:
        (described,) = [f for f in manifest["files"] if version.folder / f["path"] == path]
        described |= dataclasses.asdict(describe_file(described["path"], path.read_bytes()))

    edit_manifest(version, edit)


def reseal(version: Version, shard: Path) -> None:
    """Lets the manifest, and what TFDS reads, say of a shard what it now is."""
    data = shard.read_bytes()
    (form,) = (form for form in FORMATS if shard.is_relative_to(version.folder / form))
    count = find_format(form).count(str(shard))

    def edit(manifest: dict) -> None:
        for account in manifest["splits"].values():
            for each in account["shards"]:
                if version.folder / each["path"] == shard:
                    each["sha256"] = hashlib.sha256(data).hexdigest()
                    each["num_examples"], each["bytes"] = count, len(data)
                    account["num_examples"] = sum(
                        other["num_examples"]
                        for other in account["shards"]
                        if other["format"] == each["format"]
                    )

    edit_manifest(version, edit)
    if "tfrecord" in version.manifest["config"]["format"]:
        reseal_tfds(version)


def reseal_tfds(version: Version) -> None:
    manifest = json.loads((version.folder / "manifest.json").read_text())
    (path,) = version.folder.glob("tfrecord/*/*/*/dataset_info.json")
    info = json.loads(path.read_text())
    for split in info["splits"]:
        shards = manifest["splits"][split["name"]]["shards"]
        shards = [shard for shard in shards if shard["format"] == "tfrecord"]
        split["shardLengths"] = [str(shard["num_examples"]) for shard in shards]
        split["numBytes"] = str(sum(shard["bytes"] for shard in shards))
    path.write_text(json.dumps(info))
    reseal_file(version, path)


def rewrite_rows(version: Version, shard: Path, edit: Callable[[pa.Table], pa.Table]) -> None:
    """Edits the rows of a Parquet shard, and lets the manifest fit."""
    pq.write_table(edit(pq.read_table(shard)), shard)
    reseal(version, shard)


def rewrite_records(
    version: Version, shard: Path, edit: Callable[[list[bytes]], Sequence[bytes]]
) -> None:
    """Edits the records of a TFRecord shard, and lets the manifest fit."""
    write_records(shard, edit([*read_records(str(shard))]))
    reseal(version, shard)


def set_value(table: pa.Table, name: str, edit: Callable[[object], object]) -> pa.Table:
    """Edits the value of a column in the first row."""
    values = table[name].to_pylist()
    values[0] = edit(values[0])
    place = table.schema.get_field_index(name)
    return table.set_column(place, table.schema.field(name), pa.array(values, table[name].type))


def rewrite_both(version: Version, split: str, edit: Callable[[pa.Table], pa.Table]) -> None:
    """Edits the rows of a split of one shard in both formats, so that they agree."""
    (parquet,) = version.shards(split, "parquet")
    (tfrecord,) = version.shards(split, "tfrecord")
    rewrite_rows(version, parquet, edit)
    encoded = wire.assemble(encode_examples(pq.read_table(parquet), example_columns()))
    rewrite_records(version, tfrecord, lambda _: encoded.to_pylist())


def in_order(table: pa.Table) -> pa.Table:
    """Sorts rows as shards are."""
    keys, _ = image_keys(table["image_id"].combine_chunks())
    return table.take(np.argsort(keys))
