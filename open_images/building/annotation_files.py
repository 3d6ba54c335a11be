"""Finds the annotation files that `--annotations` names, and why other files aren't used."""

import os
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from open_images.building.paths import Claimed, File, each, expand, files_below
from transforms.dataset.elements import Notice, Source
from transforms.errors import UsageError
from transforms.kinds.names import KINDS
from transforms.kinds.parsing.head import SourceError, UnknownFileError
from transforms.kinds.reading.archived import detect_members
from transforms.kinds.reading.detect import detect
from transforms.kinds.reading.filenames import Role, may_hold_table, understand
from transforms.kinds.reading.unused import PICTURES_GO, Unused
from transforms.kinds.registry import UNUSED
from transforms.redaction import redact_url
from transforms.storage import archives, files
from transforms.storage.kind_path import split_kind
from transforms.storage.objects import AbsentError, StorageError
from transforms.storage.stores import ObjectOptions
from transforms.storage.tars import BLOCK

_LOCAL_HEADER = 30  # of a zip's member; then comes its name
_NO_TABLES = "nothing in it is an annotation file of Open Images"


class _Looked(NamedTuple):
    """The sources and notices of a file; or its suffix, and the reason why it isn't used."""

    sources: Sequence[Source] = ()
    notices: Sequence[Notice] = ()
    suffix: str = ""
    reason: str = ""


def find_annotations(
    arguments: Sequence[str],
    pixels: Claimed,
    options: ObjectOptions,
    flag: str = "--annotations",
) -> tuple[list[Source], list[Notice], Claimed]:
    """Finds and recognises annotation files.

    A file that is named by itself must be an annotation file. In a folder, a file that has nothing
    of Open Images gets a notice; one that looks like a table of Open Images must be sound.

    Args:
        arguments: of `--annotations`.
        pixels: the sources of `--images` and `--masks`, whose pictures are used.
        options: how object stores are reached.
        flag: that has the arguments, for messages.

    Returns:
        The annotation files; remarks on files that aren't used; the files and folders that were
        named.

    Raises:
        UsageError: A file is missing or can't be a source.
        OSError, StorageError: Something can't be read.
    """
    sources: list[Source] = []
    notices: list[Notice] = []
    named: list[str] = []
    # A kind that is given goes before what the file's folder, named too, makes of it.
    wanted = sorted(map(_split_kind, arguments), key=lambda each: each[0] is None)
    for kind, path in wanted:
        for found, is_folder in expand(flag, path, options):
            named.append(found)
            try:
                if is_folder:
                    looked = _look_through(found, kind, pixels, options)
                else:
                    looked = _look_at_named(found, kind, options)
            except (SourceError, StorageError) as error:
                raise UsageError(f"{flag}: {error}") from None
            sources += looked.sources
            notices += looked.notices
    used = {source.name for source in sources}
    notices = [notice for notice in notices if notice.path not in used]
    notices += [
        Notice(source.name, f"not used: {UNUSED[source.kind].reason}")
        for source in sources
        if source.kind in UNUSED
    ]
    return sources, notices, Claimed(paths=named)


def _split_kind(argument: str) -> tuple[str | None, str]:
    """Splits `KIND=PATH`; the kind is None for a path alone.

    Raises:
        UsageError: There is no such kind.
    """
    kind, path = split_kind(argument)
    if kind is not None and kind not in KINDS:
        raise UsageError(
            f"--annotations {redact_url(argument)}: {redact_url(kind)} is no kind: use one of "
            f"{', '.join(KINDS)}"
        )
    return kind, path


def _look_at_named(path: str, kind: str | None, options: ObjectOptions) -> _Looked:
    """Recognises a file that was named by itself.

    Raises:
        SourceError: It is no annotation file.
    """
    name = understand(os.path.basename(path))
    if name.role is Role.UNREADABLE:
        raise SourceError(f"{path} is compressed by {name.suffix}: {name.reason}")
    if name.role in (Role.ARCHIVE, Role.UNKNOWN) and _is_archive(path, options):
        found = detect_members(path, kind, None, options)
        if not found.sources:
            why = found.notices[0].text if found.notices else "it is empty"
            raise SourceError(f"{path}: {_NO_TABLES} ({why})")
        return _Looked(*found)
    return _Looked([detect(path, kind, None, options)])


def _look_through(
    folder: str, kind: str | None, pixels: Claimed, options: ObjectOptions
) -> _Looked:
    """Recognises the files below a folder."""
    below = list(files_below(folder, options))
    look = partial(_look_at, folder=folder, kind=kind, pixels=pixels, options=options)
    sources: list[Source] = []
    notices: list[Notice] = []
    unused = Unused()
    for file, looked in zip(below, each(look, below), strict=True):
        sources += looked.sources
        notices += looked.notices
        if looked.reason:
            unused.add(file.path, looked.suffix, looked.reason)
    return _Looked(sources, [*notices, *unused.notices()])


def _look_at(
    file: File, folder: str, kind: str | None, pixels: Claimed, options: ObjectOptions
) -> _Looked:
    """Recognises a file in a folder that was named.

    Raises:
        SourceError: It looks like an annotation file, and can't be read.
    """
    name = understand(file.name)
    not_used = partial(_Looked, (), (), name.suffix)
    if name.role is Role.HIDDEN:
        return _Looked()
    if file.trouble:
        return not_used(file.trouble)
    if name.role in (Role.PICTURE, Role.OTHER):
        if pixels.holds(file.path):
            return _Looked()
        return not_used(name.reason or PICTURES_GO)
    if name.role is Role.UNREADABLE:
        if may_hold_table(file.name):
            raise SourceError(f"{file.path} is compressed by {name.suffix}: {name.reason}")
        return not_used(name.reason)
    try:
        if name.role is not Role.TABLE and _is_archive(file.path, options):
            if pixels.holds(file.path) and _begins_with_picture(file.path, options):
                return _Looked()
            found = detect_members(file.path, kind, folder, options)
            return _Looked(*found) if any(found) else not_used(_NO_TABLES)
        return _Looked([detect(file.path, kind, folder, options)])
    except (FileNotFoundError, AbsentError):
        return not_used("it vanished while its folder was looked through")
    except UnknownFileError as error:
        if name.role is Role.ARCHIVE:
            raise SourceError(
                f"{file.path} is no archive, though its name says so ({error.reason}): download it "
                "again or move it away"
            ) from None
        return not_used(error.reason)
    except SourceError:
        if name.role is not Role.UNKNOWN:
            raise
        return not_used("no annotations of Open Images")


def _is_archive(path: str, options: ObjectOptions) -> bool:
    return archives.archive_kind(archives.head_of(path, BLOCK, options)) is not None


def _begins_with_picture(path: str, options: ObjectOptions) -> bool:
    """Returns whether the first member of an archive is a picture; a zip isn't listed for that."""
    with files.open_file(path, options) as file:
        first = file.read(BLOCK)
    if first.startswith(b"PK"):
        length = int.from_bytes(first[26:28], "little")
        name = first[_LOCAL_HEADER:][:length].decode(errors="replace")
        return understand(name).role is Role.PICTURE
    try:
        with archives.open_archive(path, options) as members:
            member = next(members, None)
            return member is not None and understand(member.name).role is Role.PICTURE
    except archives.DAMAGE:
        return False
