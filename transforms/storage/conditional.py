"""Small objects that are written only if they are still as they were seen, or not there yet.

Of those who try at the same time one succeeds, and one who slept meanwhile doesn't.
"""

from typing import TYPE_CHECKING, NamedTuple, cast

import obstore
from obstore.exceptions import AlreadyExistsError, PreconditionError
from obstore.store import ObjectStore

from transforms.storage.objects import AbsentError, locate
from transforms.storage.stores import ObjectOptions

if TYPE_CHECKING:
    from obstore import UpdateVersion


class Mark(NamedTuple):
    """What an object was when it was seen, by which a store knows whether it still is.

    Attributes:
        version: the ETag of its content, and its generation where the store counts these.
        modified: when it was written, in seconds by the store's clock.
    """

    version: "UpdateVersion"
    modified: float


def read(uri: str, options: ObjectOptions) -> tuple[bytes, Mark] | None:
    """Returns an object and its mark; None where there is none.

    Raises:
        StorageError: it can't be read.
    """
    bucket, key = locate(uri, options)

    def ask(store: ObjectStore) -> tuple[bytes, Mark]:
        found = obstore.get(store, key)
        meta = found.meta
        version = {name: meta[name] for name in ("e_tag", "version") if meta[name] is not None}
        mark = Mark(cast("UpdateVersion", version), meta["last_modified"].timestamp())
        return bytes(found.bytes()), mark

    try:
        return bucket.ask(key, ask)
    except AbsentError:
        return None


def write(uri: str, data: bytes, seen: Mark | None, options: ObjectOptions) -> bool:
    """Writes an object that nobody else has written since.

    Args:
        uri: the object.
        data: its content.
        seen: what it was; None if it wasn't there.
        options: how object stores are reached.

    Returns:
        Whether it was written. A request whose answer was lost is sent again and then fails,
        because of what it has written itself.

    Raises:
        StorageError: it can't be written.
    """
    bucket, key = locate(uri, options)

    def put(store: ObjectStore) -> bool:
        try:
            # A large object, in several requests, can't be written conditionally.
            mode = "create" if seen is None else seen.version
            obstore.put(store, key, data, mode=mode, use_multipart=False)
        except (AlreadyExistsError, PreconditionError, FileNotFoundError):
            return False
        return True

    return bucket.write(key, put)
