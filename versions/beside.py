"""What lies in a version beside the bytes of its shards: names, sizes, counts, other files."""

import hashlib
import io
import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from transforms import failures
from transforms.examples import features
from transforms.examples.schema import MAP_COLUMNS
from transforms.formats.detect import TABLES
from transforms.outputs import naming, tfds
from transforms.outputs.naming import MANIFEST
from transforms.storage import files
from transforms.storage.stores import ObjectOptions

_FAILURES = re.compile(r"failures/[^/]+\.parquet")
_READ_BYTES = 1 << 20
_ERRORS = (ValueError, KeyError, TypeError, AttributeError, OSError, pa.ArrowException)


def columns_of(manifest: dict) -> tuple[str, ...]:
    """The columns of `EXAMPLE` that a version's examples have; see `features.columns`."""
    maps = [f"{name}_map" for name in manifest["config"].get("mask_maps", ())]
    return features.columns(
        with_image=any(source["kind"] == "pictures" for source in manifest["sources"]),
        maps=[name for name in MAP_COLUMNS if name in maps],
    )


def check_manifest(name: str, manifest: dict) -> Iterator[str]:
    """Yields a line for each thing that a manifest says, and that contradicts another.

    Args:
        name: the version's folder.
        manifest: the manifest.
    """
    if manifest["version"] != name:
        yield f"{MANIFEST}: is that of version {manifest['version']}"
    release = manifest["config"].get("release")
    seen: Counter[str] = Counter()
    for split, account in manifest["splits"].items():
        for form in naming.FORMATS:
            shards = [shard for shard in account["shards"] if shard["format"] == form]
            total = sum(shard["num_examples"] for shard in shards)
            if shards and total != account["num_examples"]:
                yield (
                    f"{MANIFEST}: {split} has {account['num_examples']:,} examples, and its "
                    f"{form} shards {total:,}"
                )
            for index, shard in enumerate(shards):
                path = naming.shard_path(form, release, split, index, len(shards))
                if shard["path"] != path:
                    yield f"{MANIFEST}: names {shard['path']} where {path} should be"
        seen.update(shard["path"] for shard in account["shards"])
        formats = {shard["format"] for shard in account["shards"]}
        wanted = set(manifest["config"].get("format", formats))
        if formats != wanted:
            yield f"{MANIFEST}: {split} is in {_listed(formats)}, not in {_listed(wanted)}"
    yield from (f"{MANIFEST}: names {path} twice" for path, count in seen.items() if count > 1)


def check_account(manifest: dict) -> Iterator[str]:
    """Yields a line for each source whose counts of rows don't add up.

    Manifests of earlier releases lack these counts, and aren't checked.

    Args:
        manifest: the manifest.
    """
    kept: Counter[str] = Counter()
    for source in manifest["sources"]:
        if "kept" not in source:
            return
        parts = [source[name] for name in ("kept", "repeats", "orphans", "bad_rows")]
        if min(parts) < 0 or sum(parts) != source["rows"]:
            yield (
                f"{MANIFEST}: {source['path']} has {source['rows']:,} rows, and "
                f"{' + '.join(f'{part:,}' for part in parts)} are kept, repeats, orphans and bad"
            )
        if source["kind"] in TABLES and source["kind"] != "images":
            kept[TABLES[source["kind"]].column] += source["kept"]
    for column, count in kept.items():
        counts = manifest["annotations"].get(column, {"written": 0, "left_out": 0})
        if counts["written"] + counts["left_out"] != count:
            yield (
                f"{MANIFEST}: {count:,} rows are kept for {column}, and {counts['written']:,} "
                f"written, {counts['left_out']:,} of images that were left out"
            )


def check_files(manifest: dict, sizes: Mapping[str, int]) -> Iterator[str]:
    """Yields a line for each file that a version lacks, or that is none of its own.

    Args:
        manifest: the manifest.
        sizes: of all files of the version, by path below its folder.
    """
    wanted = {MANIFEST, "classes.json"}
    shards = [shard for split in manifest["splits"].values() for shard in split["shards"]]
    for shard in shards:
        wanted.add(shard["path"])
        size = sizes.get(shard["path"])
        if size is not None and size != shard["bytes"]:
            yield f"{shard['path']}: has {size:,} bytes, not {shard['bytes']:,}"
    if any(shard["format"] == "tfrecord" for shard in shards):
        folder = naming.tfds_folder(manifest["config"]["release"])
        wanted |= {f"{folder}/features.json", f"{folder}/dataset_info.json"}
    wanted |= {file["path"] for file in manifest.get("lineage", ())}
    found = [path for path in sizes if _FAILURES.fullmatch(path)]
    if not found:
        yield "failures: there is no file of failures"
    yield from (f"{path}: is missing" for path in sorted(wanted - sizes.keys()))
    extra = sorted(sizes.keys() - wanted - set(found))
    yield from (f"{path}: is not in the manifest" for path in extra)


def check_failures(folder: str, manifest: dict, options: ObjectOptions) -> Iterator[str]:
    """Yields a line for each reason whose rows aren't as many as the manifest says.

    Raises:
        StorageError: The object store can't be read.
    """
    counted: Counter[str] = Counter()
    for path in files.list_files(os.path.join(folder, "failures"), options):
        short = os.path.relpath(path, folder)
        try:
            with pq.ParquetFile(io.BytesIO(files.read_file(path, options))) as file:
                if not file.schema_arrow.equals(failures.SCHEMA):
                    yield f"{short}: its columns aren't those of failures"
                    return
                for batch in file.iter_batches(columns=["reason"]):
                    counted.update(batch["reason"].to_pylist())
        except _ERRORS as error:
            yield f"{short}: can't be read: {_first_line(error)}"
            return
    told = Counter(manifest["failures"])
    for reason in sorted(counted.keys() | told.keys(), key=str):
        if counted[reason] != told[reason]:
            yield (
                f"failures: {counted[reason]:,} rows of {reason}, and {told[reason]:,} by the "
                "manifest"
            )


def check_lineage(
    folder: str, manifest: dict, present: Mapping[str, int], options: ObjectOptions
) -> Iterator[str]:
    """Yields a line for each file of the lineage that isn't as it was written.

    Raises:
        StorageError: The object store can't be read.
    """
    for named in manifest.get("lineage", ()):
        if named["path"] not in present:
            continue  # as was told
        digest = hashlib.sha256()
        with files.open_file(os.path.join(folder, named["path"]), options) as file:
            while data := file.read(_READ_BYTES):
                digest.update(data)
        if digest.hexdigest() != named["sha256"]:
            yield f"{named['path']}: its bytes have changed: the next build can't use it"


def check_companions(
    folder: str, manifest: dict, present: Mapping[str, int], options: ObjectOptions
) -> Iterator[str]:
    """Yields a line for each of `classes.json` and TFDS's metadata that readers couldn't use.

    Raises:
        StorageError: The object store can't be read.
    """
    expected: dict[str, Any] = {}
    of_split = {
        split: [shard for shard in account["shards"] if shard["format"] == "tfrecord"]
        for split, account in manifest["splits"].items()
    }
    if any(of_split.values()):
        release = manifest["config"]["release"]
        below = naming.tfds_folder(release)
        expected[f"{below}/features.json"] = tfds.features(columns_of(manifest))
        expected[f"{below}/dataset_info.json"] = tfds.dataset_info(
            release,
            naming.TFDS_VERSION,
            {split: [s["num_examples"] for s in shards] for split, shards in of_split.items()},
            {split: sum(s["bytes"] for s in shards) for split, shards in of_split.items()},
        )
    for path in ("classes.json", *expected):
        if path not in present:
            continue  # as was told
        try:
            content = json.loads(files.read_file(os.path.join(folder, path), options))
            if path in expected:
                sound = content == expected[path]
            else:
                sound = [each["index"] for each in content] == [*range(1, len(content) + 1)]
        except _ERRORS as error:
            yield f"{path}: can't be read: {_first_line(error)}"
            continue
        if not sound:
            yield f"{path}: doesn't fit the manifest"


def _listed(names: Sequence[str] | set[str]) -> str:
    return " and ".join(sorted(names)) or "no format"


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
