"""From flags to a plan: which files there are, what they are, and how the work is cut."""

import argparse
import contextlib
import dataclasses
import datetime
import hashlib
import importlib.metadata
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from transforms import elements, failures
from transforms.config import BuildConfig, Vocabulary
from transforms.elements import LISTED, Failed, Source, SourceCount
from transforms.formats import vocabulary
from transforms.formats.detect import KINDS, TABLES, VOCABULARY, SourceError, detect
from transforms.imaging.process import ImageSpec
from transforms.outputs.classes import build_classes, encode_classes
from transforms.pixels.limits import HttpOptions
from transforms.pixels.listing import kind_of
from transforms.pixels.objects import ObjectFetcher
from transforms.pixels.stores import ObjectOptions
from transforms.storage import files, objects
from transforms.storage.objects import StorageError, is_remote, normal

_ANNOTATION_SUFFIXES = (".csv", ".jsonl", ".json", ".txt")
_ARCHIVE_SUFFIXES = (".zip", ".tar", ".tgz")
_CONTAINERS = ("folder", "tar", "zip")
#: Files that are looked at together.
_AT_ONCE = 16
_DECODERS = (
    "apache-beam",
    "numpy",
    "opencv-python-headless",
    "pillow",
    "pyarrow",
    "pycocotools",
    "simplejpeg",
)

#: Annotation text and images that one bucket holds, about: what a worker joins at once.
_BUCKET_BYTES = 32 << 20
_BUCKET_IMAGES = 256
_MAX_BUCKETS = 1024
# What an image costs in an image table, and in annotations where there is no such table, about.
_IMAGE_ROW_BYTES = 330
_IMAGE_BYTES = 2500
_GZIP_RATIO = 5


_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class UsageError(ValueError):
    """A mistake in what the user asked for; the message is one line with the remedy."""


def make_config(flags: argparse.Namespace, work: str) -> BuildConfig:
    """Finds and recognises all inputs.

    Args:
        flags: as `options.parse` returns them.
        work: the build's own folder.

    Raises:
        UsageError: A file is missing or isn't what it should be.
    """
    object_options = ObjectOptions(s3_endpoint_url=flags.s3_endpoint_url)
    # Impatiently: what is wrong shall be told in seconds.
    hasty = object_options.hasty()
    annotations, pixels = find_sources(flags.annotations, flags.images, flags.masks, hasty)
    if not any(source.kind in TABLES for source in annotations):
        raise UsageError(
            "--annotations: no table of annotations there: name a folder that holds the CSV files"
        )
    with_pictures = any(source.kind == "pictures" for source in pixels)
    sources = (*annotations, *pixels)
    _check_splits(annotations)
    release = flags.release or _release_of(annotations)
    recorded = {
        name: value
        for name, value in sorted(vars(flags).items())
        if name not in ("output", "runner", "num_workers", "work_folder", "worker_timeout")
    }
    fingerprint = _fingerprint(sources, recorded, release, hasty)
    now = datetime.datetime.now(datetime.UTC)
    return BuildConfig(
        output=normal(flags.output) if is_remote(flags.output) else flags.output,
        work=work,
        version=f"{now:%Y%m%dT%H%M%S}{now.microsecond // 1000:03d}-{fingerprint[:8]}",
        fingerprint=fingerprint,
        flags=recorded | {"release": release},
        sources=sources,
        release=release,
        splits=flags.splits,
        formats=flags.format,
        with_pictures=with_pictures,
        map_columns=tuple(f"{name}_map" for name in flags.mask_maps),
        verify_pixels=flags.verify_pixels,
        image_spec=_image_spec(flags),
        http_options=HttpOptions(allow_private_hosts=flags.allow_private_hosts),
        object_options=object_options,
        shard_size=flags.shard_size,
        max_failure_rate=flags.max_failure_rate,
        exchange=flags.exchange,
        chunk_size=flags.chunk_size,
        buckets=_count_buckets(annotations, with_pictures),
    )


def find_sources(
    annotations: list[str], images: list[str], masks: list[str], options: ObjectOptions
) -> tuple[list[Source], list[Source]]:
    """Finds and recognises what flags name; `images` and `masks` may be `none`.

    Returns:
        Annotation files, then sources of pictures and masks; `index` counts through both.

    Raises:
        UsageError: A file is missing or isn't what it should be, or addresses are wrong.
    """
    tables = _number(_find_annotations(annotations, options))
    pictures = _find_containers("--images", "pictures", images, options)
    pixels = [*pictures, *_find_containers("--masks", "mask_files", masks, options)]
    _check_remote(pictures, tables, options)
    first = len(tables)
    return tables, [dataclasses.replace(s, index=first + i) for i, s in enumerate(pixels)]


def _find_annotations(arguments: Iterable[str], options: ObjectOptions) -> Iterator[Source]:
    for argument in arguments:
        kind, _, path = argument.partition("=")
        if not path or "/" in kind or os.path.exists(argument):
            kind, path = None, argument
        elif kind not in KINDS:
            raise UsageError(
                f"--annotations {argument}: {kind} is no kind: use one of {', '.join(KINDS)}"
            )
        for found, is_folder in _expand("--annotations", path, options):
            paths = _walk(found, _ANNOTATION_SUFFIXES, options) if is_folder else [found]
            root = found if is_folder else None
            try:
                yield from _each(partial(detect, kind=kind, root=root, options=options), paths)
            except (SourceError, StorageError) as error:
                raise UsageError(f"--annotations: {error}") from None


def _expand(flag: str, path: str, options: ObjectOptions) -> list[tuple[str, bool]]:
    """The paths that an argument means, itself or what a glob matches, and whether each is a
    folder."""
    if "://" in path and not is_remote(path):
        raise UsageError(f"{flag} {path}: use a local path, s3://… or gs://…")
    try:
        found = files.expand(path, options)
    except StorageError as error:
        raise UsageError(f"{flag} {path}: {error}") from None
    if not found:
        raise UsageError(f"{flag} {path}: no such file or folder: check the path")
    return found


def _walk(folder: str, suffixes: tuple[str, ...], options: ObjectOptions) -> list[str]:
    """Files below a folder with one of the suffixes, gzipped or not, but for hidden ones."""
    return [
        path
        for path in files.list_files(folder, options)
        if path.removesuffix(".gz").endswith(suffixes)
        and not os.path.basename(path).startswith(".")
    ]


def _number(sources: Iterable[Source]) -> list[Source]:
    """Sources in published order, each file once."""
    by_file = {
        source.path if is_remote(source.path) else os.path.realpath(source.path): source
        for source in sources
    }
    ordered = sorted(
        by_file.values(), key=lambda source: (os.path.basename(source.path), source.path)
    )
    return [dataclasses.replace(source, index=i) for i, source in enumerate(ordered)]


def _find_containers(
    flag: str, kind: str, arguments: list[str], options: ObjectOptions
) -> list[Source]:
    """Folders and archives of members, in the order given; a folder stands for those in it too."""
    if "none" in arguments:
        if len(arguments) > 1:
            raise UsageError(f"{flag} none can't be combined with other sources: drop one of them")
        return []
    sources = []
    for argument in arguments:
        if kind == "pictures" and (remote := _remote_source(argument)):
            sources.append(remote)
            continue
        wanted, _, path = argument.partition("=")
        if not path or wanted not in _CONTAINERS or os.path.exists(argument):
            wanted, path = None, argument
        for found, is_folder in _expand(flag, path, options):
            paths = [found]
            if is_folder:
                paths += _walk(found, _ARCHIVE_SUFFIXES, options)
            try:
                kinds = list(_each(partial(kind_of, options=options), paths))
            except (ValueError, StorageError) as error:
                raise UsageError(f"{flag} {error}") from None
            for container, actual in zip(paths, kinds, strict=True):
                if wanted and not actual.startswith(wanted) and container == found:
                    raise UsageError(
                        f"{flag} {argument}: it is a {actual}, not a {wanted}: drop '{wanted}='"
                    )
                sources.append(Source(0, kind, container, 0, medium=actual))
    sizes = _each(partial(_size_of, options=options), sources)
    return [dataclasses.replace(each, size=size) for each, size in zip(sources, sizes, strict=True)]


def _size_of(source: Source, options: ObjectOptions) -> int:
    """Bytes of an archive; 0 for anything else."""
    archive = source.medium in LISTED and source.medium != "folder"
    return files.status_of(source.path, options).size if archive else 0


def _each(function: Callable[[_Item], _Result], items: Iterable[_Item]) -> Iterator[_Result]:
    """What a function gives for each of some files, in order; for several at a time, since object
    stores take a while to answer."""
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        yield from threads.map(function, items)


def _remote_source(argument: str) -> Source | None:
    """A source of pictures that are asked for by name, if it is one.

    Raises:
        UsageError: A template lacks `{image_id}`, or names something else.
    """
    path = argument.removeprefix("http=")
    if path in ("original", "thumbnail"):
        return Source(0, "pictures", path, 0, medium=path)
    scheme, separator, _ = path.partition("://")
    if not separator or (is_remote(path) and _is_container(path)):
        return None
    if path.partition("=")[0] in _CONTAINERS:
        return None
    if scheme not in ("http", "https", "s3", "gs"):
        raise UsageError(f"--images {argument}: use http://, https://, s3:// or gs://")
    fields = set(re.findall(r"{[^}]*}?|}", path))
    if fields - {"{split}", "{image_id}"}:
        raise UsageError(f"--images {argument}: only {{split}} and {{image_id}} are known")
    medium = "http" if scheme in ("http", "https") else scheme
    if medium == "http" and "{image_id}" not in fields:
        raise UsageError(f"--images {argument}: put {{image_id}}, and {{split}}, where they belong")
    return Source(0, "pictures", path, 0, medium=medium)


def _is_container(uri: str) -> bool:
    """Whether a URI means archives, to be listed, and not a prefix or template to ask by name."""
    name = uri.rstrip("/").removesuffix(".gz")
    return name.endswith(_ARCHIVE_SUFFIXES) or ("{" not in uri and any(c in uri for c in "*?["))


def _check_remote(
    pictures: list[Source], annotations: list[Source], object_options: ObjectOptions
) -> None:
    """Checks what each source of pictures that are asked for by name needs.

    Raises:
        UsageError: Credentials can't be used, or no image table publishes addresses.
    """
    for source in pictures:
        if source.medium in ("s3", "gs"):
            try:
                ObjectFetcher(source.path, object_options).close()
                _probe(source.path, object_options)
            except (ValueError, StorageError) as error:
                raise UsageError(f"--images {source.path}: {error}") from None
        published = any("OriginalURL" in source.columns for source in annotations)
        if source.medium in ("original", "thumbnail") and not published:
            raise UsageError(
                f"--images {source.path}: its addresses are in the image tables: give one to "
                "--annotations"
            )


def _probe(uri: str, options: ObjectOptions) -> None:
    """Asks a bucket of pictures for a listing; that it may refuse, since none is needed.

    Raises:
        StorageError: There is no such bucket, it can't be reached, or nothing is below the prefix.
    """
    prefix = uri.partition("{")[0].rpartition("/")[0] if "{" in uri else uri
    with contextlib.suppress(objects.DeniedError):
        if not files.is_folder(prefix, options):
            raise StorageError("nothing is below it: check the path")


def _image_spec(flags: argparse.Namespace) -> ImageSpec:
    """What pictures are to become.

    Raises:
        UsageError: Flags contradict each other.
    """
    if (flags.resize == "none") != (flags.image_size is None):
        raise UsageError("--resize and --image_size go together: give both, or neither")
    if flags.image_encoding == "webp" and "tfrecord" in flags.format:
        raise UsageError(
            "--image_encoding webp: TensorFlow can't decode it: add --format parquet, or use jpeg"
        )
    return ImageSpec(
        resize=flags.resize,
        image_size=flags.image_size or 0,
        apply_rotation=flags.apply_rotation,
        image_encoding=flags.image_encoding,
        quality=flags.quality,
        allow_upscale=flags.allow_upscale,
    )


def _check_splits(annotations: list[Source]) -> None:
    """Without an image table, file names must tell the splits."""
    tables = [source for source in annotations if source.kind in TABLES]
    if any(source.kind == "images" for source in tables):
        return
    for source in tables:
        if source.split is None:
            raise UsageError(
                f"--annotations {source.path}: which split? Put train, validation or test into its "
                "name or folder, or give an image table"
            )


_VOCABULARY_READERS = {
    "classes": vocabulary.read_class_names,
    "class_list": vocabulary.read_class_list,
    "point_classes": vocabulary.read_point_classes,
}


def read_vocabulary(
    sources: Iterable[Source], options: ObjectOptions = files.DEFAULTS
) -> Vocabulary:
    """Reads class names, lists and hierarchies: small files, needed before anything else is read.

    Raises:
        StorageError: The object store can't be read.
        UsageError: A file isn't what its kind says.
    """
    content: dict[str, dict] = {kind: {} for kind in VOCABULARY}
    counts, failed = [], []
    for source in sources:
        if source.kind not in content:
            continue
        data = files.read_file(source.path, options)
        bad = []
        try:
            if source.kind == "hierarchy":
                good = vocabulary.read_hierarchy(data, source.path)
            else:
                good, bad = _VOCABULARY_READERS[source.kind](data, source.path)
        except ValueError as error:
            raise UsageError(f"--annotations {error}") from None
        content[source.kind][source.path] = good
        counts.append(SourceCount(source.index, 0, len(good) + len(bad), len(bad), 0))
        if bad:
            failed.append(Failed(source.index, 0, elements.to_ipc(failures.to_table(bad))))
    classes = build_classes(*(content[kind] for kind in VOCABULARY), labels=())
    return Vocabulary(encode_classes(classes), tuple(counts), tuple(failed))


def _release_of(annotations: list[Source]) -> str:
    tables = [source for source in annotations if source.kind == "images"]
    return "v3" if tables and not any("Rotation" in source.columns for source in tables) else "v7"


def _count_buckets(annotations: list[Source], with_pictures: bool) -> int:
    """Depends on the inputs alone, so that the bytes don't depend on where or how it runs."""
    sizes = {
        source: source.size * (_GZIP_RATIO if source.compressed else 1)
        for source in annotations
        if source.kind in TABLES
    }
    total = sum(sizes.values())
    buckets = total / _BUCKET_BYTES
    if with_pictures:
        tables = sum(size for source, size in sizes.items() if source.kind == "images")
        images = tables / _IMAGE_ROW_BYTES if tables else total / _IMAGE_BYTES
        buckets = max(buckets, images / _BUCKET_IMAGES)
    return min(max(1, round(buckets)), _MAX_BUCKETS)


def _changed(source: Source, options: ObjectOptions) -> str | int | None:
    """What changes with a file; None for what isn't one, or is in an object store a folder."""
    if is_remote(source.path):
        return files.status_of(source.path, options).version if source.size else None
    return files.status_of(source.path).version if os.path.exists(source.path) else None


def _fingerprint(
    sources: Sequence[Source], recorded: dict, release: str, options: ObjectOptions
) -> str:
    """SHA-256 of all that decides about the output; inputs by name, size and time of change."""
    neutral = (
        *("annotations", "images", "masks", "s3_endpoint_url"),
        *("exchange", "chunk_size", "max_failure_rate"),
    )
    content = {
        "inputs": [
            (source.kind, os.path.basename(source.path), source.size, changed)
            for source, changed in zip(
                sources, _each(partial(_changed, options=options), sources), strict=True
            )
        ],
        "flags": {name: value for name, value in recorded.items() if name not in neutral},
        "release": release,
        "versions": {name: importlib.metadata.version(name) for name in _DECODERS},
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
