"""Work folders in an object store: each program renews an object in its own from time to time.

Without that sign of life for too long a folder belongs to a dead build, and any other build removes
it, with versions that have no manifest. The store's clock alone tells ages. A build that sleeps for
longer fails and publishes nothing.
"""

import contextlib
import os
import socket
import threading
import uuid
from collections.abc import Iterator

from transforms.dataset.naming import MANIFEST
from transforms.storage import files, objects
from transforms.storage.objects import Status, StorageError
from transforms.storage.stores import ObjectOptions

RENEWAL_SECONDS = 30.0
#: A build whose sign of life is older than the youngest by more is dead.
EXPIRY_SECONDS = 300.0
_JOIN_SECONDS = 1.0


@contextlib.contextmanager
def work_folder(output: str, options: ObjectOptions) -> Iterator[str]:
    """Makes a folder below an output for one program, and removes it at the end.

    What dead builds have left is removed too, at the beginning and at the end.

    Raises:
        StorageError: The output can't be written, read, listed or deleted from.
    """
    work = os.path.join(output, ".work", uuid.uuid4().hex)
    hasty = options.hasty()
    _renew(work, hasty)
    _sweep(output, work, hasty)
    ended = threading.Event()
    thread = threading.Thread(target=_renew_until, args=(work, options, ended), daemon=True)
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
    """Returns what a build that begins now would remove: folders, and versions without a manifest.

    Raises:
        StorageError: The output can't be written, read or listed.
    """
    with _moment(output, options) as work:
        return _find_leftovers(output, work, options)


def time_in(output: str, options: ObjectOptions) -> float:
    """Returns the time by the store's clock, in seconds since 1970.

    Raises:
        StorageError: The output can't be written or read.
    """
    with _moment(output, options) as work:
        return objects.status(_sign_of_life(work), options).modified


@contextlib.contextmanager
def _moment(output: str, options: ObjectOptions) -> Iterator[str]:
    """Makes a folder with a sign of life, whose time is the store's, and removes it at the end."""
    work = os.path.join(output, ".work", uuid.uuid4().hex)
    _renew(work, options)
    try:
        yield work
    finally:
        files.delete_folder(work, options)


def _renew_until(work: str, options: ObjectOptions, ended: threading.Event) -> None:
    while not ended.wait(RENEWAL_SECONDS):
        with contextlib.suppress(StorageError):
            _renew(work, options)


def _renew(work: str, options: ObjectOptions) -> None:
    owner = f"{socket.gethostname()} {os.getpid()}\n"
    objects.upload(_sign_of_life(work), owner.encode(), options)


def _sign_of_life(work: str) -> str:
    return os.path.join(work, "lease")


def _sweep(output: str, work: str, options: ObjectOptions) -> None:
    """Removes what dead builds have left."""
    for folder in _find_leftovers(output, work, options):
        files.delete_folder(folder, options)


def _find_leftovers(output: str, work: str, options: ObjectOptions) -> list[str]:
    """Returns what dead builds have left; `work` is the folder of the program that asks."""
    versions = os.path.join(output, "versions")
    # Looked up before the folders: so what a build that begins just now writes isn't among them.
    unpublished = _unpublished(versions, options)
    now = objects.status(_sign_of_life(work), options).modified
    found = []
    others_live = False
    for name in objects.children(os.path.dirname(work), options):
        other = os.path.join(os.path.dirname(work), name.rstrip("/"))
        if other != work and name.endswith("/"):  # and not the lease on the output
            sign = _status(_sign_of_life(other), options)
            if sign and sign.modified > now - EXPIRY_SECONDS:
                others_live = True
            else:
                found.append(other)
    if not others_live:
        # One that ended since may have published its version.
        found += sorted(set(unpublished) & set(_unpublished(versions, options)))
    return found


def _unpublished(versions: str, options: ObjectOptions) -> list[str]:
    """Returns the versions that have no manifest, or an empty one."""
    names = objects.children(versions, options)
    found = [os.path.join(versions, name.rstrip("/")) for name in names]
    manifests = [_status(os.path.join(path, MANIFEST), options) for path in found]
    return [path for path, its in zip(found, manifests, strict=True) if not its or not its.size]


def _status(path: str, options: ObjectOptions) -> Status | None:
    with contextlib.suppress(objects.AbsentError):
        return objects.status(path, options)
    return None
