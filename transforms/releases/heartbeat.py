"""Which builds of an output in an object store live: each renews an object from time to time.

So what dead ones have left can be told from what living ones, and programs that remove versions,
write. No clocks are compared: the store's own tells all ages. If one sleeps for longer than a lease
lasts, its files may be cleared away, and it fails and publishes nothing.
"""

import contextlib
import os
import socket
import threading
import uuid
from collections.abc import Iterator

from transforms.dataset.naming import MANIFEST
from transforms.storage import files, objects
from transforms.storage.objects import StorageError
from transforms.storage.stores import ObjectOptions

RENEWAL_SECONDS = 30.0
#: A lease that is older than the youngest by more is that of a dead build.
EXPIRY_SECONDS = 300.0
_JOIN_SECONDS = 1.0


@contextlib.contextmanager
def work_folder(output: str, options: ObjectOptions) -> Iterator[str]:
    """A folder below an output for one build, which lives as long as this is open.

    What dead builds have left is removed, at the beginning and at the end: their folders, and
    versions without a manifest.

    Raises:
        StorageError: the output can't be written, read, listed or deleted from.
    """
    work = os.path.join(output, ".work", uuid.uuid4().hex)
    hasty = options.hasty()
    _renew(work, hasty)
    _sweep(output, work, hasty)
    ended = threading.Event()
    thread = threading.Thread(target=_keep, args=(work, options, ended), daemon=True)
    thread.start()
    try:
        yield work
    finally:
        ended.set()
        thread.join(_JOIN_SECONDS)  # it may be waiting for the store
        # What can't be cleared away now is so by a later build.
        with contextlib.suppress(StorageError):
            _renew(work, hasty)
            _sweep(output, work, hasty)
            files.delete_folder(work, options)


def leftovers(output: str, options: ObjectOptions) -> list[str]:
    """What a build would remove that begins now: folders of dead builds, and what they left.

    Raises:
        StorageError: the output can't be written, read or listed.
    """
    with _sign(output, options) as work:
        return _find_leftovers(output, work, options)


def time_in(output: str, options: ObjectOptions) -> float:
    """The time by the store's clock, in seconds since 1970.

    Raises:
        StorageError: the output can't be written or read.
    """
    with _sign(output, options) as work:
        return objects.status(_lease(work), options).modified


@contextlib.contextmanager
def _sign(output: str, options: ObjectOptions) -> Iterator[str]:
    """A folder with a sign of life, for a moment: it tells the store's time."""
    work = os.path.join(output, ".work", uuid.uuid4().hex)
    _renew(work, options)
    try:
        yield work
    finally:
        files.delete_folder(work, options)


def _keep(work: str, options: ObjectOptions, ended: threading.Event) -> None:
    while not ended.wait(RENEWAL_SECONDS):
        with contextlib.suppress(StorageError):
            _renew(work, options)


def _renew(work: str, options: ObjectOptions) -> None:
    owner = f"{socket.gethostname()} {os.getpid()}\n"
    objects.upload(_lease(work), owner.encode(), options)


def _lease(work: str) -> str:
    return os.path.join(work, "lease")


def _sweep(output: str, work: str, options: ObjectOptions) -> None:
    """Removes what builds that live no more have left."""
    for folder in _find_leftovers(output, work, options):
        files.delete_folder(folder, options)


def _find_leftovers(output: str, work: str, options: ObjectOptions) -> list[str]:
    """What builds that live no more have left; `work` is that of the one that asks."""
    versions = os.path.join(output, "versions")
    # Before it is known who lives: what a build that begins just now writes isn't among them.
    unpublished = _unpublished(versions, options)
    now = objects.status(_lease(work), options).modified
    found = []
    others_live = False
    for name in objects.children(os.path.dirname(work), options):
        other = os.path.join(os.path.dirname(work), name.rstrip("/"))
        if other != work and name.endswith("/"):  # and not the lease on the output
            if _modified(other, options) > now - EXPIRY_SECONDS:
                others_live = True
            else:
                found.append(other)
    if not others_live:
        # One that ended since may have published its version.
        found += sorted(set(unpublished) & set(_unpublished(versions, options)))
    return found


def _unpublished(versions: str, options: ObjectOptions) -> list[str]:
    """The versions that have no manifest, or an empty one."""
    names = objects.children(versions, options)
    found = [os.path.join(versions, name.rstrip("/")) for name in names]
    return [path for path in found if not _is_published(path, options)]


def _is_published(version: str, options: ObjectOptions) -> bool:
    with contextlib.suppress(objects.AbsentError):
        return objects.status(os.path.join(version, MANIFEST), options).size > 0
    return False


def _modified(work: str, options: ObjectOptions) -> float:
    """When a build's lease was renewed last, in seconds; 0 where it has none."""
    with contextlib.suppress(objects.AbsentError):
        return objects.status(_lease(work), options).modified
    return 0
