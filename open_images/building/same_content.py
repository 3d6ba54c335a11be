"""Drops annotation files that are copies of another one."""

import contextlib
import os
import re
from collections import defaultdict
from collections.abc import Hashable, Sequence

from transforms.dataset.elements import Notice, Source
from transforms.kinds.registry import TABLES
from transforms.storage import archives, files
from transforms.storage.objects import is_remote
from transforms.storage.stores import ObjectOptions

_READ_BYTES = 1 << 20
_NUMBERED = re.compile(r" \(\d+\)(\.|$)")


def drop_copies(
    sources: Sequence[Source], options: ObjectOptions
) -> tuple[list[Source], list[Notice]]:
    """Returns the annotation files without copies, and a notice for each copy.

    Only files of one kind and one size without compression are compared, up to the first different
    byte; objects by size and ETag. An uncompressed file is kept before a compressed one, and else
    the first one, but for names that a browser numbered, such as `boxes (1).csv`.

    Raises:
        StorageError: The object store can't be read.
    """
    alike: dict[Hashable, list[Source]] = defaultdict(list)
    for source in sources:
        if (size := _content_size(source)) is not None:
            alike[source.kind, size].append(source)
    originals: dict[str, Source] = {}  # name of a copy to its original
    for group in alike.values():
        group.sort(key=_preference)
        kept: list[Source] = []
        for source in group:
            same = next((other for other in kept if _is_copy(source, other, options)), None)
            if same:
                originals[source.name] = same
            else:
                kept.append(source)
    notices = [
        Notice(copy, f"not used: the same content as {original.name}, which is read once")
        for copy, original in originals.items()
    ]
    return [source for source in sources if source.name not in originals], notices


def _preference(source: Source) -> tuple:
    numbered = bool(_NUMBERED.search(os.path.basename(source.name)))
    return source.split is None, source.compressed, numbered, source.index


def _content_size(source: Source) -> Hashable:
    """Returns the size without compression, modulo 2^32: equal if contents are equal.

    None if it isn't known without unpacking.
    """
    if is_remote(source.path):
        return ("object", source.size, source.member)
    if source.member:
        return None if source.member.lower().endswith(".gz") else source.size % (1 << 32)
    if not source.compressed:
        return source.size % (1 << 32)
    with files.open_file(source.path, stamp=source.stamp) as file:
        file.seek(-4, os.SEEK_END)
        return int.from_bytes(file.read(4), "little")


def _is_copy(source: Source, other: Source, options: ObjectOptions) -> bool:
    """Returns whether two files of one kind have the same content, and belong to one split."""
    splits = {source.split, other.split} - {None}
    if source.kind in TABLES and len(splits) > 1:  # the rows belong to two splits
        return False
    if is_remote(source.path):
        return source.stamp != "" and source.stamp == other.stamp
    with contextlib.suppress(*archives.DAMAGE), contextlib.ExitStack() as stack:
        first, second = (
            stack.enter_context(archives.open_inflated(each.path, each.member, options, each.stamp))
            for each in (source, other)
        )
        while (block := first.read(_READ_BYTES)) == second.read(_READ_BYTES):
            if not block:
                return True
    return False
