"""Checks of all but the shards' content: names, sizes, counts and other files of a version; and
`latest`, the pins and the dataset card beside the versions."""

import contextlib
import hashlib
import io
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from transforms.dataset import failures
from transforms.dataset.naming import CLASSES, IMAGE_IDS, MANIFEST
from transforms.dataset.schema import MAP_COLUMNS
from transforms.formats.format import Content, FormatError
from transforms.formats.registry import FORMATS, find_format
from transforms.kinds.registry import example_columns
from transforms.releases import card, listed_images
from transforms.releases.counts import find_uneven_columns, shard_sizes
from transforms.releases.manifest import Manifest, ManifestError
from transforms.releases.output import ENTRIES, Contents, LatestError, Output, list_names
from transforms.releases.shard_files import local_copy, sha256_of
from transforms.storage import files
from transforms.storage.objects import is_remote
from transforms.storage.regular import IrregularError, irregular_kind
from transforms.storage.stores import ObjectOptions

_FAILURES = re.compile(r"failures/[^/]+\.parquet")
_ERRORS = (ValueError, KeyError, TypeError, AttributeError, OSError, pa.ArrowException)
_PIN_BYTES = 512
_CARD_REMEDY = "delete it, and the next build writes it anew"

#: By format, what `Format.schema` returns.
Schemas = Mapping[str, Mapping[str, str]]


def check_manifest(name: str, manifest: Manifest) -> Iterator[str]:
    """Yields a line for each contradiction within a manifest.

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
                path = find_format(form).shard_path(manifest.settings, name, index, len(shards))
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
        deselected = sum(source.deselected.values())
        counts = (source.kept, source.repeats, source.orphans, source.bad_rows, deselected)
        if sum(counts) != source.rows:
            yield (
                f"{MANIFEST}: {source.path} has {source.rows:,} rows, and "
                f"{' + '.join(f'{count:,}' for count in counts)} are kept, repeats, orphans, "
                "bad and deselected"
            )
    for column, kept, found in find_uneven_columns(manifest.sources, manifest.annotations):
        yield (
            f"{MANIFEST}: {kept:,} rows are kept for {column}, and {found.written:,} "
            f"written, {found.left_out:,} of images that were left out"
        )


def list_loose_files(
    folder: str, manifest: Manifest, sizes: Mapping[str, int], options: ObjectOptions
) -> set[str]:
    """Returns the paths of the files that shards list; what isn't a list is found later.

    Args:
        folder: of the version.
        manifest: the manifest.
        sizes: of the files that are there.
        options: how object stores are reached.
    """
    found = set()
    for _, shard in manifest.shards():
        form = find_format(shard.format)
        if shard.path in sizes and form.has_loose_files:
            path = os.path.join(folder, shard.path)
            with contextlib.suppress(FormatError), local_copy(path, options) as copy:
                found |= {file.path for file in form.listed_files(copy)}
    return found


def check_files(manifest: Manifest, contents: Contents, loose: Collection[str]) -> Iterator[str]:
    """Yields a line for each file that is missing, has another size, or isn't in the manifest.

    Args:
        manifest: the manifest.
        contents: what lies in the version's folder.
        loose: paths of the files that shards list.
    """
    sizes, irregular = contents
    listed = [*manifest.files_for_readers(), *manifest.reuse]
    for file in listed:
        size = sizes.get(file.path)
        if size is not None and size != file.bytes:
            yield f"{file.path}: has {size:,} bytes, not {file.bytes:,}"
    wanted = {MANIFEST, *(file.path for file in listed), *_document_tests(manifest), *loose}
    if (manifest.selection or {}).get("image_ids"):
        wanted.add(IMAGE_IDS)
    failed = {path for path in sizes if _FAILURES.fullmatch(path)}
    if manifest.files is None:
        if not failed:
            yield "failures: there is no file of failures"
        wanted |= failed
    yield from (f"{path}: is {kind}, not a file" for path, kind in sorted(irregular.items()))
    yield from (f"{path}: is missing" for path in sorted(wanted - sizes.keys() - irregular.keys()))
    caches = [pattern for form in manifest.formats for pattern in find_format(form).caches]
    others = {path for path in sizes.keys() - wanted if not _is_any(path, caches)}
    yield from (f"{path}: is not in the manifest" for path in sorted(others))


def _is_any(path: str, patterns: Iterable[str]) -> bool:
    return any(re.fullmatch(pattern, path) for pattern in patterns)


def check_content(
    folder: str, manifest: Manifest, sizes: Mapping[str, int], options: ObjectOptions
) -> Iterator[str]:
    """Yields a line for each file beside the shards whose checksum or content is wrong.

    Each is read once; the content of a changed file isn't checked.

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
            elif path == IMAGE_IDS:
                problem = listed_images.find_problem(data, manifest.selection)
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
    order = (manifest.selection or {}).get("label_map")
    tests: dict[str, Callable[[Any], bool]] = {CLASSES: partial(_are_classes, order=order)}
    for form, schema in recorded_schemas(manifest).items():
        shards = shard_sizes(manifest.splits, form)
        tests |= find_format(form).document_tests(manifest.settings, schema, shards)
    return tests


def recorded_schemas(manifest: Manifest) -> Schemas:
    """Returns what a version says its examples consist of, or what this release writes."""
    if manifest.schemas is not None:
        return manifest.schemas
    maps = {f"{name}_map" for name in manifest.config.get("mask_maps", ())}
    columns = example_columns(
        with_image=manifest.with_pictures, maps=[name for name in MAP_COLUMNS if name in maps]
    )
    content = Content(columns, manifest.settings)
    return {form: find_format(form).schema(content) for form in manifest.formats}


def _are_classes(classes: list, order: list | None) -> bool:
    """Returns whether classes are numbered from 1: all, or those of a label map alone."""
    numbered = len(classes) if order is None else len(order)
    index = [*range(1, numbered + 1), *[None] * (len(classes) - numbered)]
    in_order = order is None or [each["label"] for each in classes[:numbered]] == order
    return in_order and [each["index"] for each in classes] == index


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


def check_pointer(output: Output, name: str) -> Iterator[str]:
    """Yields a line where `latest` isn't, byte for byte, as a build writes it for this version.

    Raises:
        OSError: It can't be read.
        StorageError: The object store can't be read.
    """
    try:
        data = files.read_unlinked(output.latest_path, output.options, len(name) + 2)
    except IrregularError as error:
        raise LatestError(output.path, str(error)) from None
    if data != f"{name}\n".encode():
        yield "latest: isn't as a build writes it, the version's name and a line break"


def check_pins(output: Output) -> Iterator[str]:
    """Yields a line for each pin that is damaged, or of a version that isn't there.

    Raises:
        OSError: One can't be read.
        StorageError: The object store can't be read.
    """
    pins = os.path.dirname(output.pin_path(""))
    if not is_remote(pins) and os.path.lexists(pins) and not os.path.isdir(pins):
        yield f"pins: is {irregular_kind(pins) or 'a file'}, not a folder: no version is pinned"
    for name in sorted(output.pinned()):
        if not output.is_published(name):
            yield f"pins/{name}: there is no such version: was it lost, or the pin renamed?"
            continue
        try:
            data = files.read_unlinked(output.pin_path(name), output.options, _PIN_BYTES)
        except IrregularError as error:
            yield f"pins/{name}: isn't as it was written: {error}"
            continue
        if data != f"{name}\n".encode():
            yield f"pins/{name}: isn't as it was written: unpin and pin the version again"


def find_strangers(output: Output) -> Iterator[str]:
    """Yields a line for each file or folder beside the versions that no program of ours has made.

    They are no problem: no reader goes by them, and systems leave files such as `.DS_Store`.

    Raises:
        OSError: The output can't be read.
        StorageError: The object store can't be read.
    """
    for name in list_names(output.path, output.options):
        if name not in ENTRIES:
            yield f"{name}: isn't of this output"


def check_versions(output: Output, checked: str) -> Iterator[str]:
    """Yields a line for each file or folder among the versions that is none.

    Args:
        output: where versions are published.
        checked: the name of the version that is looked at by itself.

    Raises:
        OSError: The output can't be read.
    """
    if is_remote(output.path):  # where a version being published or removed lacks its manifest
        return
    for name in list_names(os.path.join(output.path, "versions"), output.options):
        if name != checked and not output.is_published(name):
            yield f"versions/{name}: isn't a version, for it has no {MANIFEST}"


def check_card(output: Output, name: str, manifest: Manifest) -> tuple[str, str]:
    """Compares the dataset card with the latest version.

    Args:
        output: where it is published.
        name: the version that `latest` names.
        manifest: its manifest.

    Returns:
        A problem and a note; each a line, or empty.

    Raises:
        StorageError: The object store can't be read.
    """
    path = os.path.join(output.path, card.NAME)
    if not is_remote(path) and os.path.lexists(path) and (kind := irregular_kind(path)):
        return "", f"{card.NAME}: is {kind}, so isn't checked"
    found = card.read(output.path, output.options)
    if found is None:
        return "", f"{card.NAME}: is missing: datasets.load_dataset goes by it, so build again"
    expected = card.render(name, manifest.splits)
    if found == expected or _has_checksum(found, manifest):
        return "", ""
    other = card.version_of(found)
    if other is None:
        if expected.startswith(found) or card.was_card(found):
            return f"{card.NAME}: isn't as it was written: {_CARD_REMEDY}", ""
        return "", f"{card.NAME}: is somebody's own, so isn't checked"
    if other != name and _is_card_of(found, output, other):
        return "", f"{card.NAME}: is that of {other}: the next build writes that of the latest"
    return f"{card.NAME}: isn't as it was written: the next build writes it anew", ""


def _has_checksum(found: bytes, manifest: Manifest) -> bool:
    """Returns whether a card is the one that the build wrote, of whatever release."""
    return manifest.card is not None and hashlib.sha256(found).hexdigest() == manifest.card.sha256


def _is_card_of(found: bytes, output: Output, name: str) -> bool:
    """Returns whether a card is as the build of another published version wrote it."""
    if not output.is_published(name):
        return False
    try:
        manifest = output.manifest(name)
    except ManifestError:
        return False
    return found == card.render(name, manifest.splits) or _has_checksum(found, manifest)
