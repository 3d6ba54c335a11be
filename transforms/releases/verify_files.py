"""Checks of a version beside the bytes of its shards: names, sizes, counts, other files."""

import hashlib
import io
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from transforms.dataset import failures
from transforms.dataset.naming import CLASSES, MANIFEST
from transforms.dataset.schema import MAP_COLUMNS
from transforms.formats.registry import FORMATS, find_format
from transforms.kinds.registry import example_columns
from transforms.releases.counts import find_uneven_columns, shard_sizes
from transforms.releases.manifest import Manifest
from transforms.releases.output import Contents
from transforms.releases.shard_files import sha256_of
from transforms.storage import files
from transforms.storage.stores import ObjectOptions

_FAILURES = re.compile(r"failures/[^/]+\.parquet")
_ERRORS = (ValueError, KeyError, TypeError, AttributeError, OSError, pa.ArrowException)

#: By format, what `Format.schema` returns.
Schemas = Mapping[str, Mapping[str, str]]


def check_manifest(name: str, manifest: Manifest) -> Iterator[str]:
    """Yields a line for each thing that a manifest says, and that contradicts another.

    Args:
        name: the version's folder.
        manifest: the manifest.
    """
    if manifest.version != name:
        yield f"{MANIFEST}: is that of version {manifest.version}"
    seen: Counter[str] = Counter()
    for name, split in manifest.splits.items():
        for form in FORMATS:
            shards = split.of_format(form)
            total = sum(shard.num_examples for shard in shards)
            if shards and total != split.num_examples:
                yield (
                    f"{MANIFEST}: {name} has {split.num_examples:,} examples, and its {form} "
                    f"shards {total:,}"
                )
            for index, shard in enumerate(shards):
                path = find_format(form).shard_path(manifest.release, name, index, len(shards))
                if shard.path != path:
                    yield f"{MANIFEST}: names {shard.path} where {path} should be"
        seen.update(shard.path for shard in split.shards)
        wanted = set(manifest.config.get("format", split.formats))
        if split.formats != wanted:
            yield f"{MANIFEST}: {name} is in {_listed(split.formats)}, not in {_listed(wanted)}"
    yield from (f"{MANIFEST}: names {path} twice" for path, count in seen.items() if count > 1)


def check_counts(manifest: Manifest) -> Iterator[str]:
    """Yields a line for each source whose counts of rows don't add up.

    Manifests of earlier releases lack these counts, and aren't checked.

    Args:
        manifest: the manifest.
    """
    for source in manifest.sources:
        if source.kept is None or source.repeats is None:
            return
        counts = (source.kept, source.repeats, source.orphans, source.bad_rows)
        if sum(counts) != source.rows:
            yield (
                f"{MANIFEST}: {source.path} has {source.rows:,} rows, and "
                f"{' + '.join(f'{count:,}' for count in counts)} are kept, repeats, orphans and bad"
            )
    for column, kept, found in find_uneven_columns(manifest.sources, manifest.annotations):
        yield (
            f"{MANIFEST}: {kept:,} rows are kept for {column}, and {found.written:,} "
            f"written, {found.left_out:,} of images that were left out"
        )


def check_files(manifest: Manifest, contents: Contents) -> Iterator[str]:
    """Yields a line for each file that a version lacks, or that is none of its own.

    Args:
        manifest: the manifest.
        contents: what lies in the version's folder.
    """
    sizes, irregular = contents
    listed = [*manifest.files_for_readers(), *manifest.reuse]
    for file in listed:
        size = sizes.get(file.path)
        if size is not None and size != file.bytes:
            yield f"{file.path}: has {size:,} bytes, not {file.bytes:,}"
    wanted = {MANIFEST, *(file.path for file in listed), *_document_tests(manifest)}
    failed = {path for path in sizes if _FAILURES.fullmatch(path)}
    if manifest.files is None:
        if not failed:
            yield "failures: there is no file of failures"
        wanted |= failed
    yield from (f"{path}: is {kind}, not a file" for path, kind in sorted(irregular.items()))
    yield from (f"{path}: is missing" for path in sorted(wanted - sizes.keys() - irregular.keys()))
    yield from (f"{path}: is not in the manifest" for path in sorted(sizes.keys() - wanted))


def check_content(
    folder: str, manifest: Manifest, sizes: Mapping[str, int], options: ObjectOptions
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
    described = {file.path: file.sha256 for file in manifest.files or ()}
    tests = _document_tests(manifest)
    of_failures = {path for path in sizes if _FAILURES.fullmatch(path)}
    reasons: Counter[str] = Counter()
    for path in sorted(sizes.keys() & (described.keys() | tests.keys() | of_failures)):
        data = files.read_file(os.path.join(folder, path), options)
        sha256 = hashlib.sha256(data).hexdigest()
        problem = ""
        try:
            if sha256 != (wanted := described.get(path, sha256)):
                problem = f"its SHA-256 is {sha256}, not {wanted}: its bytes have changed"
            elif path in tests:
                problem = "" if tests[path](json.loads(data)) else "doesn't fit the manifest"
            elif path in of_failures:
                problem = _count_reasons(data, reasons)
        except (*_ERRORS, RecursionError) as error:
            cause = str(error).partition("\n")[0] or type(error).__name__
            problem = f"can't be read: {cause}"
        if problem:
            yield f"{path}: {problem}"
            of_failures.discard(path)
    counts = Counter(manifest.failures)
    for reason in sorted(reasons.keys() | counts.keys(), key=str) if of_failures else ():
        if reasons[reason] != counts[reason]:
            yield (
                f"failures: {reasons[reason]:,} rows of {reason}, and {counts[reason]:,} by the "
                "manifest"
            )


def check_reuse_files(
    folder: str, manifest: Manifest, sizes: Mapping[str, int], options: ObjectOptions
) -> Iterator[str]:
    """Yields a line for each file for the next build that isn't as it was written.

    Raises:
        OSError: A file can't be read.
        StorageError: The object store can't be read.
    """
    for file in manifest.reuse:  # `check_files` has a line for one that is missing
        path = os.path.join(folder, file.path)
        if file.path in sizes and sha256_of(path, options) != file.sha256:
            yield f"{file.path}: its bytes have changed: the next build can't use it"


def _document_tests(manifest: Manifest) -> dict[str, Callable[[Any], bool]]:
    """Returns a test of the content of each JSON file, by path."""
    tests: dict[str, Callable[[Any], bool]] = {CLASSES: _are_classes}
    for form, schema in recorded_schemas(manifest).items():
        shards = shard_sizes(manifest.splits, form)
        tests |= find_format(form).document_tests(manifest.release, schema, shards)
    return tests


def recorded_schemas(manifest: Manifest) -> Schemas:
    """Returns what a version says its examples consist of, or what this release writes."""
    if manifest.schemas is not None:
        return manifest.schemas
    maps = {f"{name}_map" for name in manifest.config.get("mask_maps", ())}
    columns = example_columns(
        with_image=manifest.with_pictures, maps=[name for name in MAP_COLUMNS if name in maps]
    )
    return {form: find_format(form).schema(columns) for form in manifest.formats}


def _are_classes(classes: list) -> bool:
    return [each["index"] for each in classes] == [*range(1, len(classes) + 1)]


def _count_reasons(data: bytes, reasons: Counter[str]) -> str:
    """Counts the rows of failures by reason; returns the problem, if there is any."""
    with pq.ParquetFile(io.BytesIO(data)) as file:
        if not file.schema_arrow.equals(failures.SCHEMA):
            return "its columns aren't those of failures"
        for batch in file.iter_batches(columns=["reason"]):
            reasons.update(batch["reason"].to_pylist())
    return ""


def _listed(names: set[str]) -> str:
    return " and ".join(sorted(names)) or "no format"
