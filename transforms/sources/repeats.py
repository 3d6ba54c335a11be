"""Members of an archive whose name it has twice: alike, or nobody can tell which one is meant."""

import hashlib
import posixpath
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from transforms.dataset.failures import PixelError, Reason

_T = TypeVar("_T")


def group_by_place(
    members: Iterable[_T], container: Callable[[_T], str], name: Callable[[_T], str]
) -> Iterator[list[_T]]:
    """Groups members that would be unpacked to the same file, in the order of the first ones.

    Args:
        members: some members.
        container: returns the archive of one.
        name: returns its name; `./a.jpg` is `a.jpg`.
    """
    groups: dict[tuple[str, str], list[_T]] = {}
    for member in members:
        place = container(member), posixpath.normpath(name(member))
        groups.setdefault(place, []).append(member)
    yield from groups.values()


def check_alike(contents: Iterable[bytes], name: str, offsets: Iterable[int]) -> None:
    """Checks that all members of one name have the same content.

    Args:
        contents: of each; one at a time is in memory.
        name: theirs.
        offsets: where each is in the archive.

    Raises:
        PixelError: CONFLICT.
    """
    if len({hashlib.blake2b(content).digest() for content in contents}) > 1:
        places = " and ".join(map(str, offsets))
        detail = f"{name!a} is there more than once, with other content: at bytes {places}"
        raise PixelError(Reason.CONFLICT, detail)
