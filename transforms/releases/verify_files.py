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

from transforms.dataset import failures
from transforms.dataset.naming import CLASSES, MANIFEST
from transforms.dataset.schema import MAP_COLUMNS, example_columns
from transforms.formats.format import ShardSize
from transforms.formats.registry import FORMATS, find_format
from transforms.kinds.detect import TABLES
from transforms.releases.output import shards_of
from transforms.storage import files
from transforms.storage.stores import ObjectOptions

_FAILURES = re.compile(r"failures/[^/]+\.parquet")
_READ_BYTES = 1 << 20
_ERRORS = (ValueError, KeyError, TypeError, AttributeError, OSError, pa.ArrowException)


def columns_of(manifest: dict) -> tuple[str, ...]:
    """The columns of `EXAMPLE` that a version's examples have; see `schema.example_columns`."""
    maps = [f"{name}_map" for name in manifest["config"].get("mask_maps", ())]
    return example_columns(
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
    release = manifest["config"].get("release", "")
    seen: Counter[str] = Counter()
    for split, account in manifest["splits"].items():
        for form in FORMATS:
            shards = [shard for shard in account["shards"] if shard["format"] == form]
            total = sum(shard["num_examples"] for shard in shards)
            if shards and total != account["num_examples"]:
                yield (
                    f"{MANIFEST}: {split} has {account['num_examples']:,} examples, and its "
                    f"{form} shards {total:,}"
                )
            for index, shard in enumerate(shards):
                path = find_format(form).shard_path(release, split, index, len(shards))
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
        if not {"kept", "repeats"} <= source.keys():
            return
        parts = [source[name] for name in ("kept", "repeats", "orphans", "bad_rows")]
        if min(parts) < 0 or sum(parts) != source["rows"]:
            yield (
                f"{MANIFEST}: {source['path']} has {source['rows']:,} rows, and "
                f"{' + '.join(f'{part:,}' for part in parts)} are kept, repeats, orphans and bad"
            )
        if source["kind"] in TABLES and source["kind"] != "images":
            kept[TABLES[source["kind"]].column] += source["kept"]
    annotations = manifest.get("annotations", {})
    for column in dict.fromkeys([*kept, *annotations]):
        count = kept[column]
        counts = annotations.get(column, {"written": 0, "left_out": 0})
        if counts["written"] + counts["left_out"] != count:
            yield (
                f"{MANIFEST}: {count:,} rows are kept for {column}, and {counts['written']:,} "
                f"written, {counts['left_out']:,} of images that were left out"
            )


def check_files(
    manifest: dict, sizes: Mapping[str, int], irregular: Mapping[str, str]
) -> Iterator[str]:
    """Yields a line for each file that a version lacks, or that is none of its own.

    Args:
        manifest: the manifest.
        sizes: of all files of the version, by path below its folder.
        irregular: the kind of each link, pipe and the like there, by path.
    """
    listed = [*shards_of(manifest), *manifest.get("lineage", ()), *manifest.get("files", ())]
    for file in listed:
        size = sizes.get(file["path"])
        if size is not None and size != file["bytes"]:
            yield f"{file['path']}: has {size:,} bytes, not {file['bytes']:,}"
    wanted = {MANIFEST, *(file["path"] for file in listed)}
    wanted |= _expected_documents(manifest).keys()
    failed = {path for path in sizes if _FAILURES.fullmatch(path)}
    if "files" not in manifest:
        if not failed:
            yield "failures: there is no file of failures"
        wanted |= failed
    yield from (f"{path}: is {kind}, not a file" for path, kind in sorted(irregular.items()))
    yield from (f"{path}: is missing" for path in sorted(wanted - sizes.keys() - irregular.keys()))
    yield from (f"{path}: is not in the manifest" for path in sorted(sizes.keys() - wanted))


def check_content(
    folder: str, manifest: dict, sizes: Mapping[str, int], options: ObjectOptions
) -> Iterator[str]:
    """Yields a line for each file beside the shards that has changed, or that doesn't make sense.

    Each is read once. What has changed isn't looked at any further.

    Args:
        folder: of the version.
        manifest: the manifest.
        sizes: of the files that are there.
        options: how object stores are reached.

    Raises:
        OSError: A file can't be read.
        StorageError: The object store can't be read.
    """
    described = {file["path"]: file for file in manifest.get("files", ())}
    expected = _expected_documents(manifest)
    of_failures = {path for path in sizes if _FAILURES.fullmatch(path)}
    reasons: Counter[str] = Counter()
    for path in sorted(sizes.keys() & (described.keys() | expected.keys() | of_failures)):
        data = files.read_file(os.path.join(folder, path), options)
        problem = _compare_checksum(described[path], data) if path in described else ""
        if not problem and path in expected:
            problem = _check_document(data, expected[path])
        elif not problem and path in of_failures:
            problem = _count_reasons(data, reasons)
        if problem:
            yield f"{path}: {problem}"
            of_failures.discard(path)
    if of_failures:
        yield from _compare_reasons(reasons, Counter(manifest["failures"]))


def check_lineage(
    folder: str, manifest: dict, sizes: Mapping[str, int], options: ObjectOptions
) -> Iterator[str]:
    """Yields a line for each file of the lineage that isn't as it was written.

    Raises:
        OSError: A file can't be read.
        StorageError: The object store can't be read.
    """
    for named in manifest.get("lineage", ()):
        if named["path"] not in sizes:
            continue  # `check_files` has a line for it
        digest = hashlib.sha256()
        with files.open_file(os.path.join(folder, named["path"]), options) as file:
            while data := file.read(_READ_BYTES):
                digest.update(data)
        if digest.hexdigest() != named["sha256"]:
            yield f"{named['path']}: its bytes have changed: the next build can't use it"


def _compare_checksum(described: Mapping[str, Any], data: bytes) -> str:
    sha256 = hashlib.sha256(data).hexdigest()
    if sha256 == described["sha256"]:
        return ""
    return f"its SHA-256 is {sha256}, not {described['sha256']}: its bytes have changed"


def _expected_documents(manifest: dict) -> dict[str, Any]:
    """Returns the content of JSON files by path; None for classes, which the manifest lacks."""
    expected: dict[str, Any] = {CLASSES: None}
    release, columns = manifest["config"].get("release", ""), columns_of(manifest)
    for form in {shard["format"] for shard in shards_of(manifest)}:
        shards = shard_sizes(manifest["splits"], form)
        expected |= find_format(form).documents(release, columns, shards)
    return expected


def shard_sizes(splits: Mapping[str, Mapping], form: str) -> dict[str, list[ShardSize]]:
    """Returns the sizes of the shards of a format by split, as a manifest has them."""
    return {
        split: [
            ShardSize(shard["num_examples"], shard["bytes"])
            for shard in account["shards"]
            if shard["format"] == form
        ]
        for split, account in splits.items()
    }


def _check_document(data: bytes, expected: Any) -> str:
    try:
        content = json.loads(data)
        if expected is not None:
            fits = content == expected
        else:
            fits = [each["index"] for each in content] == [*range(1, len(content) + 1)]
    except (*_ERRORS, RecursionError) as error:
        return f"can't be read: {_first_line(error)}"
    return "" if fits else "doesn't fit the manifest"


def _count_reasons(data: bytes, reasons: Counter[str]) -> str:
    """Counts the rows of failures by reason; returns the problem, if there is any."""
    try:
        with pq.ParquetFile(io.BytesIO(data)) as file:
            if not file.schema_arrow.equals(failures.SCHEMA):
                return "its columns aren't those of failures"
            for batch in file.iter_batches(columns=["reason"]):
                reasons.update(batch["reason"].to_pylist())
    except _ERRORS as error:
        return f"can't be read: {_first_line(error)}"
    return ""


def _compare_reasons(found: Counter[str], counts: Counter[str]) -> Iterator[str]:
    for reason in sorted(found.keys() | counts.keys(), key=str):
        if found[reason] != counts[reason]:
            yield (
                f"failures: {found[reason]:,} rows of {reason}, and {counts[reason]:,} by the "
                "manifest"
            )


def _listed(names: Sequence[str] | set[str]) -> str:
    return " and ".join(sorted(names)) or "no format"


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
