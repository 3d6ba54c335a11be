"""Small objects that are written only if they are still as they were seen, or not there yet.

Of those who try at the same time one succeeds, and one who slept meanwhile doesn't.
"""

from typing import NamedTuple

import obstore
from obstore.exceptions import AlreadyExistsError, PreconditionError
from obstore.store import ObjectStore

from transforms.storage.objects import AbsentError, StorageError, locate
from transforms.storage.stores import ObjectOptions


class Mark(NamedTuple):
    """What an object was when it was seen, by which a store knows whether it still is.

    Attributes:
        e_tag: of its content.
        version: its generation, where the store counts these.
        modified: when it was written, in seconds by the store's clock.
    """

    e_tag: str | None
    version: str | None
    modified: float


class ChangedError(StorageError):
    """The object isn't any more as it was seen."""


def read(uri: str, options: ObjectOptions) -> tuple[bytes, Mark] | None:
    """An object and its mark; None where there is none.

    Raises:
        StorageError: it can't be read.
    """
    bucket, key = locate(uri, options)

    def ask(store: ObjectStore) -> tuple[bytes, Mark]:
        found = obstore.get(store, key)
        meta = found.meta
        mark = Mark(meta["e_tag"], meta["version"], meta["last_modified"].timestamp())
        return bytes(found.bytes()), mark

    try:
        return bucket.ask(key, ask)
    except AbsentError:
        return None


def write(uri: str, data: bytes, seen: Mark | None, options: ObjectOptions) -> None:
    """Writes an object that nobody else has written since.

    Args:
        uri: the object.
        data: its content, which is nobody else's.
        seen: what it was; None if it wasn't there.
        options: how object stores are reached.

    Raises:
        ChangedError: somebody has; it is as they left it.
        StorageError: it can't be written.
    """
    bucket, key = locate(uri, options)

    def put(store: ObjectStore) -> bool:
        try:
            # A large object, in several requests, can't be written conditionally.
            if seen is None:
                obstore.put(store, key, data, mode="create", use_multipart=False)
            else:
                mode = {"e_tag": seen.e_tag, "version": seen.version}
                obstore.put(store, key, data, mode=mode, use_multipart=False)
        except (AlreadyExistsError, PreconditionError, FileNotFoundError):
            return False
        return True

    if not bucket.write(key, put):
        # A request whose answer was lost is sent again, and then finds what it has written.
        found = read(uri, options)
        if found is None or found[0] != data:
            raise ChangedError(f"{uri} was changed by somebody else meanwhile")
