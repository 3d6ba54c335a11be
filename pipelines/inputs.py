"""Which files and other sources the flags name, and what they are."""

import contextlib
import dataclasses
import os
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from transforms.elements import LISTED, Notice, Source
from transforms.formats.detect import KINDS, SourceError, detect
from transforms.pixels.listing import kind_of
from transforms.pixels.objects import ObjectFetcher
from transforms.storage import files, objects
from transforms.storage.objects import StorageError, is_remote
from transforms.storage.stores import ObjectOptions

_ANNOTATION_SUFFIXES = (".csv", ".jsonl", ".json", ".txt")
_ARCHIVE_SUFFIXES = (".zip", ".tar", ".tgz")
_CONTAINERS = ("folder", "tar", "zip")
#: Files that are looked at together.
AT_ONCE = 16

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class UsageError(ValueError):
    """A mistake in what the user asked for; the message is one line with the remedy."""


def find_sources(
    annotations: list[str], images: list[str], masks: list[str], options: ObjectOptions
) -> tuple[list[Source], list[Source], list[Notice]]:
    """Finds and recognises what flags name; `images` and `masks` may be `none`.

    Returns:
        Annotation files, then sources of pictures and masks; `index` counts through both. Then
        what is to be said of them, and of files that are there and aren't used.

    Raises:
        UsageError: A file is missing or isn't what it should be, or addresses are wrong.
    """
    tables = _number(_find_annotations(annotations, options))
    pictures = _find_containers("--images", "pictures", images, options)
    pixels = [*pictures, *_find_containers("--masks", "mask_files", masks, options)]
    _check_remote(pictures, tables, options)
    first = len(tables)
    pixels = [dataclasses.replace(source, index=first + i) for i, source in enumerate(pixels)]
    return tables, pixels, []


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
                yield from each(partial(detect, kind=kind, root=root, options=options), paths)
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
                kinds = list(each(partial(kind_of, options=options), paths))
            except (ValueError, StorageError) as error:
                raise UsageError(f"{flag} {error}") from None
            for container, actual in zip(paths, kinds, strict=True):
                if wanted and not actual.startswith(wanted) and container == found:
                    raise UsageError(
                        f"{flag} {argument}: it is a {actual}, not a {wanted}: drop '{wanted}='"
                    )
                sources.append(Source(0, kind, container, 0, medium=actual))
    sizes = each(partial(_size_of, options=options), sources)
    return [dataclasses.replace(each, size=size) for each, size in zip(sources, sizes, strict=True)]


def _size_of(source: Source, options: ObjectOptions) -> int:
    """Bytes of an archive; 0 for anything else."""
    archive = source.medium in LISTED and source.medium != "folder"
    return files.status_of(source.path, options).size if archive else 0


def each(
    function: Callable[[_Item], _Result], items: Iterable[_Item], at_once: int = AT_ONCE
) -> Iterator[_Result]:
    """What a function gives for each of some files, in order; for several at a time, since object
    stores take a while to answer."""
    with ThreadPoolExecutor(at_once) as threads:
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
