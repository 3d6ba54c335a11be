"""Finds the tables in a zip, a tar or a `.tar.gz`; each is a source of its own."""

import dataclasses
import os
import posixpath
from typing import NamedTuple

from transforms.dataset.elements import Notice, Source
from transforms.kinds.parsing.head import HEAD_BYTES, SourceError, UnknownFileError
from transforms.kinds.reading.detect import recognise, split_of
from transforms.kinds.reading.filenames import Role, may_hold_table, understand
from transforms.kinds.reading.unused import Unused
from transforms.storage import archives, files
from transforms.storage.stores import ObjectOptions

#: A tar whose first so many pictures come before any table is taken for an archive of pictures, as
#: listing the rest would mean to read it.
_MANY_PICTURES = 100


class Found(NamedTuple):
    """The sources in an archive, and notices of its other files."""

    sources: list[Source]
    notices: list[Notice]


def detect_members(
    path: str,
    kind: str | None = None,
    root: str | None = None,
    options: ObjectOptions = files.DEFAULTS,
) -> Found:
    """Recognises the tables and class files in an archive; for the arguments see `detect`.

    Raises:
        StorageError: The object store can't be read.
        ChangedError: The archive changes while it is looked at.
        SourceError: The archive is damaged, or a table in it can't be a source.
    """
    sources: dict[str, Source] = {}
    unused = Unused()
    pictures = 0
    stamp = files.status_of(path, options).stamp
    is_zip = archives.archive_kind(archives.head_of(path, 512, options)) == "zip"
    try:
        with archives.open_archive(path, options, stamp) as members:
            for member in members:
                role = understand(member.name).role
                pictures += role is Role.PICTURE
                if role is Role.HIDDEN:
                    continue
                place = posixpath.normpath(member.name)  # `./a.csv` is unpacked to `a.csv`
                if place in sources:
                    raise SourceError(f"{path} has two files {place}: unpack it")
                if source := _detect_member(member, path, kind, root, unused):
                    sources[place] = dataclasses.replace(source, stamp=stamp)
                if pictures == _MANY_PICTURES and not sources and not is_zip:
                    reason = "an archive of pictures or masks: give it to --images or --masks"
                    return Found([], [Notice(path, f"not used: {reason}")])
    except archives.MemberDamageError as error:
        if posixpath.normpath(str(error)) not in sources:  # else its reader reports the damage
            raise SourceError(f"{path} is cut or damaged at {error}: download it again") from None
    except archives.DAMAGE as error:
        raise SourceError(f"{path} is cut or damaged ({error}): download it again") from None
    return Found(list(sources.values()), unused.notices())


def _detect_member(
    member: archives.Member, path: str, kind: str | None, root: str | None, unused: Unused
) -> Source | None:
    """Returns a member as a source; or adds it to `unused` with the reason and returns None.

    Raises:
        SourceError: It is a table that can't be read.
        EOFError, OSError, zlib.error: It is damaged at its beginning.
    """
    name = f"{path}/{member.name}"
    found = understand(member.name)
    looked_at = found.role in (Role.TABLE, Role.UNKNOWN)
    if found.role is Role.UNREADABLE and may_hold_table(member.name):
        raise SourceError(f"{name} is compressed by {found.suffix}: {found.reason}")
    if member.refusal:
        unused.add(name, found.suffix, member.refusal)
    elif found.role is Role.ARCHIVE:
        unused.add(name, found.suffix, "an archive in an archive: unpack it")
    elif not looked_at:
        unused.add_name(name, found)
    else:
        head = archives.Inflated(member.open()).read(HEAD_BYTES)
        split = split_of(name, root or os.path.dirname(path))
        source = Source(0, "", path, member.size, split, compressed=True, member=member.name)
        try:
            return recognise(source, head, kind)
        except UnknownFileError as error:
            unused.add(name, found.suffix, error.reason)
        except SourceError:
            if found.role is Role.TABLE:
                raise
            unused.add(name, found.suffix, "no annotations of Open Images")
    return None
