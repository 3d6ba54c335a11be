"""What a pixel source holds, as rows that are keyed like those of a table."""

from collections.abc import Iterator

import pyarrow as pa
import xxhash

from transforms.dataset.elements import Source, in_one_piece, to_ipc
from transforms.dataset.failures import PixelError, Reason
from transforms.dataset.keys import image_keys
from transforms.sources import listing
from transforms.sources.unpack import Unpacked, unpack
from transforms.storage.stamps import ChangedError
from transforms.storage.stores import ObjectOptions

#: Kinds of source that are listed, with what counts as a member.
CONTENTS = {
    "pictures": listing.PICTURES,
    "mask_files": listing.MASKS,
    "voice_files": listing.VOICES,
}


def list_source(
    source: Source, options: ObjectOptions, unpacked: Unpacked | None = None
) -> Iterator[listing.Listing]:
    """Lists a folder or archive.

    Args:
        source: of a kind in `CONTENTS`.
        options: how object stores are reached.
        unpacked: the tar of a `.tar.gz`, which can't be sought into: its members are listed.

    Raises:
        ChangedError: The archive hasn't the source's stamp, or the folder not its digest.
        PixelError: TRUNCATED or CORRUPT for a damaged archive, TOO_LARGE for one that unpacks to
            far more than it has, after what could still be listed.
    """
    contents = CONTENTS[source.kind]
    if unpacked is None:
        expected = source.digest if source.medium == "folder" else ""
        digest = xxhash.xxh3_128()
        for listed in listing.list_members(source.path, contents, options, source.stamp):
            if expected:
                _add_to_digest(digest, listed)
            yield listed
        if expected and expected != _named(digest):
            raise ChangedError.of(source.path)
        return
    try:
        yield from listing.list_members(unpacked.path, contents, options)
    except (PixelError, ValueError) as error:
        # Where the compressed data is damaged, so is the tar: the former is the cause.
        raise unpacked.damage or PixelError(Reason.CORRUPT, str(error)) from None
    if unpacked.damage:
        raise unpacked.damage


def unpack_source(source: Source, folder: str, options: ObjectOptions) -> Unpacked | None:
    """Unpacks a `.tar.gz` into a folder; returns None for a source that can be read where it lies.

    Raises:
        ChangedError: The archive hasn't the source's stamp.
    """
    if source.medium != "tar.gz":
        return None
    return unpack(source.path, folder, options, source.stamp)


def path_of(source: Source, container: str) -> str:
    """Returns the path by which a user knows the container of a member.

    An unpacked archive is in a temporary file, whose name would tell nobody anything.
    """
    return source.path if source.medium == "tar.gz" else container


def digest_folder(source: Source, options: ObjectOptions) -> str:
    """Returns a hash of the listing of a folder.

    Args:
        source: of a kind in `CONTENTS`, and `folder` its medium.
        options: how object stores are reached.

    Raises:
        StorageError: The object store can't be read.
        OSError: A folder can't be read.
    """
    digest = xxhash.xxh3_128()
    for listed in listing.list_members(source.path, CONTENTS[source.kind], options):
        _add_to_digest(digest, listed)
    return _named(digest)


def _add_to_digest(digest: xxhash.xxh3_128, listed: listing.Listing) -> None:
    """Adds the names and stamps of a folder's members to a hash, in the order of the listing.

    Other files don't count, such as those that a download has yet to rename.
    """
    digest.update(to_ipc(listed.table.select(["name", "stamp"])))
    refused = [(failure.reason, failure.detail) for failure in listed.failures]
    digest.update(repr((refused, listed.similar)).encode())


def _named(digest: xxhash.xxh3_128) -> str:
    return f"list:{digest.hexdigest()}"


def keyed(members: pa.Table, index: int) -> pa.RecordBatch:
    """Returns the members of source `index`, (n,) of `listing.SCHEMA`, as n rows of `key` and
    `value`."""
    members = members.combine_chunks()
    keys, _ = image_keys(members["image_id"].chunk(0))
    source_index = pa.array([index] * len(members), pa.int32())
    members = members.append_column("source", source_index).drop_columns("image_id")
    return pa.record_batch({"key": keys, "value": in_one_piece(members.to_struct_array())})
