"""Which files and other sources the flags name, and what they are."""

import contextlib
import dataclasses
import os
import re
from collections.abc import Iterable, Sequence
from functools import partial
from typing import NamedTuple

from open_images.building import paths
from open_images.building.annotation_files import find_annotations
from open_images.building.same_content import drop_copies
from transforms.dataset.elements import Notice, Source
from transforms.errors import UsageError
from transforms.kinds.narratives import NARRATIVES
from transforms.kinds.reading.filenames import PICTURES, RECORDINGS, Role, understand
from transforms.kinds.reading.unused import Unused
from transforms.redaction import redact_url
from transforms.sources.listing import kind_of
from transforms.sources.objects import ObjectFetcher
from transforms.sources.voices import PLACEHOLDER, ObjectVoices
from transforms.storage import files, objects
from transforms.storage.kind_path import split_kind
from transforms.storage.objects import StorageError, is_remote
from transforms.storage.stores import ObjectOptions

_ARCHIVE_SUFFIXES = (".zip", ".tar", ".tgz")


class _Containers(NamedTuple):
    """A flag that names folders, archives and addresses.

    Attributes:
        flag: its name.
        kind: of the sources.
        placeholders: that an address may have; the last one it must have over HTTP. Empty where
            nothing is asked for by address.
        suffixes: of the files that are meant, in a folder.
        noun: one of these.
    """

    flag: str
    kind: str
    placeholders: tuple[str, ...] = ()
    suffixes: tuple[str, ...] = PICTURES
    noun: str = "picture"


_IMAGES = _Containers("--images", "pictures", ("{split}", "{image_id}"))
_MASKS = _Containers("--masks", "mask_files")
_VOICES = _Containers(
    *("--voices", "voice_files", ("{split}", "{image_id}", PLACEHOLDER), RECORDINGS, "recording")
)


def find_sources(
    annotations: Sequence[str],
    images: Sequence[str],
    masks: Sequence[str],
    options: ObjectOptions,
    voices: Sequence[str] = (),
) -> tuple[list[Source], list[Source], list[Notice]]:
    """Finds and recognises what flags name; `images`, `masks` and `voices` may be `none`.

    Returns:
        Annotation files; sources of pictures, masks and recordings; notices about all these, and
        about files that aren't used. `index` counts through both lists of sources.

    Raises:
        UsageError: A file is missing or isn't what it should be, or addresses are wrong.
        ChangedError: A file changes while it is looked at.
    """
    try:
        pictures, others = _find_containers(_IMAGES, images, options)
        mask_files, of_masks = _find_containers(_MASKS, masks, options)
        voice_files, of_voices = _find_containers(_VOICES, voices, options)
        pixels = [*pictures, *mask_files, *voice_files]
        found, notices, named = find_annotations(annotations, paths.Claimed(pixels), options)
        tables, copies = drop_copies(_number(found), options)
    except OSError as error:
        raise paths.unreadable(error) from None
    except StorageError as error:
        raise UsageError(str(error)) from None
    tables = _with_indices(tables)
    _check_remote(pictures, tables, options)
    _check_voices(voice_files, tables, options)
    pixels = _with_indices(pixels, len(tables))
    unused = Unused()
    for path, suffix, reason in {*others, *of_masks, *of_voices}:
        if not named.holds(path):
            unused.add(path, suffix, reason)
    # Notes on tables are about columns that are ignored.
    ignored = [Notice(source.name, note) for source in tables for note in source.notes]
    return tables, pixels, sorted({*notices, *ignored, *copies, *unused.notices()})


def _number(sources: Iterable[Source]) -> list[Source]:
    """Sorts sources in published order, each file once, by a path without links if there is one."""
    by_file: dict[tuple[str, str], Source] = {}
    for source in sorted(sources, key=lambda source: (_is_linked(source.path), source.path)):
        path = source.path if is_remote(source.path) else os.path.realpath(source.path)
        by_file.setdefault((path, source.member), source)
    ordered = sorted(by_file.values(), key=lambda each: (os.path.basename(each.name), each.name))
    return _with_indices(ordered)


def _with_indices(sources: Iterable[Source], first: int = 0) -> list[Source]:
    return [dataclasses.replace(source, index=i) for i, source in enumerate(sources, first)]


def _is_linked(path: str) -> bool:
    return not is_remote(path) and os.path.realpath(path) != os.path.abspath(path)


#: A file that isn't used: path, suffix, reason.
_Other = tuple[str, str, str]


def _find_containers(
    wanted: _Containers, arguments: Sequence[str], options: ObjectOptions
) -> tuple[list[Source], list[_Other]]:
    """Returns folders and archives in the order given, and other files that aren't used.

    A folder stands for the archives in it too; other files are those in a folder that are neither
    meant nor archives.
    """
    flag, kind = wanted.flag, wanted.kind
    if "none" in arguments:
        if len(arguments) > 1:
            raise UsageError(f"{flag} none can't be combined with other sources: drop one of them")
        return [], []
    sources: list[Source] = []
    others: list[_Other] = []
    for argument in arguments:
        if wanted.placeholders and (remote := _remote_source(wanted, argument)):
            sources.append(remote)
            continue
        form, path = split_kind(argument, paths.CONTAINERS)
        for found, is_folder in paths.expand(flag, path, options):
            places = [found]
            if is_folder:
                archives, unused = _look_through(found, wanted, options)
                places += archives
                others += unused
            try:
                containers = list(paths.each(partial(_look_at, kind=kind, options=options), places))
            except (ValueError, StorageError) as error:
                raise UsageError(f"{flag} {error}") from None
            actual = containers[0].medium
            if form and not actual.startswith(form):
                raise UsageError(
                    f"{flag} {redact_url(argument)}: it is a {actual}, not a {form}: drop '{form}='"
                )
            sources += containers
    return sources, others


def _look_at(path: str, kind: str, options: ObjectOptions) -> Source:
    """Returns a folder or an archive as a source."""
    # The status first: a file that changes after it has another stamp when it is read.
    status = None if files.is_folder(path, options) else files.status_of(path, options)
    size, stamp = (status.size, status.stamp) if status else (0, "")
    return Source(0, kind, path, size, medium=kind_of(path, options), stamp=stamp)


def _look_through(
    folder: str, wanted: _Containers, options: ObjectOptions
) -> tuple[list[str], list[_Other]]:
    """Returns the archives below a folder, and the files that are neither meant nor archives."""
    archives: list[str] = []
    others: list[_Other] = []
    for file in paths.files_below(folder, options):
        if file.name.endswith(wanted.suffixes):  # nearly all, and there may be millions
            continue
        name = understand(file.name)
        if name.role is Role.ARCHIVE and not file.trouble:
            archives.append(file.path)
        elif name.role not in (Role.HIDDEN, Role.PICTURE):
            reason = "annotations go to --annotations" if name.role is Role.TABLE else name.reason
            others.append((file.path, name.suffix, file.trouble or reason or f"no {wanted.noun}"))
    return sorted(archives), others


def _remote_source(wanted: _Containers, argument: str) -> Source | None:
    """Returns a source of files that are asked for by name, if it is one.

    Raises:
        UsageError: A template lacks the placeholder that it must have, or names something else.
    """
    kind, path = split_kind(argument, paths.PICTURE_KINDS)
    shown = f"{wanted.flag} {redact_url(argument)}"
    if wanted is _IMAGES and path in ("original", "thumbnail"):
        return Source(0, wanted.kind, path, 0, medium=path)
    scheme, separator, _ = path.partition("://")
    if not separator or kind in paths.CONTAINERS or (is_remote(path) and _is_container(path)):
        return None
    if scheme not in ("http", "https", "s3", "gs"):
        raise UsageError(f"{shown}: use http://, https://, s3:// or gs://")
    fields = set(re.findall(r"{[^}]*}?|}", path))
    *others, needed = wanted.placeholders
    if fields - {*others, needed}:
        raise UsageError(f"{shown}: only {', '.join(others)} and {needed} are known")
    medium = "http" if scheme in ("http", "https") else scheme
    if needed not in fields and (medium == "http" or (fields and wanted is _VOICES)):
        too = f", and {others[0]}, where they belong" if wanted is _IMAGES else " where it belongs"
        raise UsageError(f"{shown}: put {needed}{too}")
    return Source(0, wanted.kind, path, 0, medium=medium)


def _is_container(uri: str) -> bool:
    """Returns whether a URI means archives, and not a prefix or template to ask by name."""
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
                raise UsageError(f"--images {source.name}: {error}") from None
        published = any("OriginalURL" in source.columns for source in annotations)
        if source.medium in ("original", "thumbnail") and not published:
            raise UsageError(
                f"--images {source.name}: its addresses are in the image tables: give one to "
                "--annotations"
            )


def _check_voices(
    voices: list[Source], annotations: list[Source], object_options: ObjectOptions
) -> None:
    """Checks that there are narratives, and what recordings that are asked for by name need.

    Raises:
        UsageError: There are none, or an object store can't be used.
    """
    if voices and not any(source.kind == NARRATIVES.name for source in annotations):
        raise UsageError(
            "--voices: no narratives are there that name recordings: give their .jsonl files to "
            "--annotations"
        )
    for source in voices:
        if source.medium in ("s3", "gs"):
            try:
                ObjectVoices(source, object_options).close()
                _probe(source.path, object_options)
            except (ValueError, StorageError) as error:
                raise UsageError(f"--voices {source.name}: {error}") from None


def _probe(uri: str, options: ObjectOptions) -> None:
    """Asks a bucket for a listing; that it may refuse, since none is needed.

    Raises:
        StorageError: There is no such bucket, it can't be reached, or nothing is below the prefix.
    """
    prefix = uri.partition("{")[0].rpartition("/")[0] if "{" in uri else uri
    with contextlib.suppress(objects.DeniedError):
        if not files.is_folder(prefix, options):
            raise StorageError("nothing is below it: check the path")
