"""Unpacking a `.tar.gz`, which can't be sought into."""

import os
import uuid
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import BinaryIO, NamedTuple

from isal import igzip_lib

from transforms.dataset.failures import PixelError, Reason
from transforms.storage import files
from transforms.storage.claims import describe_excess
from transforms.storage.stores import ObjectOptions
from transforms.storage.streams import ObjectWriter

_PACKED_BYTES = 256 << 10
# What is inflated in one call is lost where the call meets damage, so it isn't much.
_INFLATED_BYTES = 512 << 10
_STREAM_BYTES = 8 << 20
#: Inflated blocks that are handed over together, to be written while the next ones are inflated.
_BLOCKS_BEHIND = 8


class Unpacked(NamedTuple):
    """A tar that was unpacked.

    Attributes:
        path: the new file.
        damage: TRUNCATED or CORRUPT, or TOO_LARGE for more than may come of the compressed data
            (`storage.claims`); the file then ends before that place.
    """

    path: str
    damage: PixelError | None


def unpack(
    path: str, folder: str, options: ObjectOptions = files.DEFAULTS, stamp: str = ""
) -> Unpacked:
    """Decompresses a file into a folder, under a name unique to the attempt.

    ISA-L inflates faster than zlib (docs/decisions.md).

    Raises:
        ChangedError: The file hasn't the stamp that is given.
    """
    target = os.path.join(folder, f"{uuid.uuid4().hex}.tar")
    damage = None
    with (
        files.create_file(target, options) as unpacked,
        files.open_file(path, options, buffer_size=_STREAM_BYTES, stamp=stamp) as packed,
    ):
        try:
            _write_behind(unpacked, _inflate(packed))
        except PixelError as error:
            damage = error
        except EOFError as error:
            damage = PixelError(Reason.TRUNCATED, f"compressed data: {error}")
        except igzip_lib.error as error:  # pyrefly: ignore[not-a-type]
            damage = PixelError(Reason.CORRUPT, f"compressed data: {error}")
    return Unpacked(target, damage)


def _write_behind(file: BinaryIO | ObjectWriter, blocks: Iterable[bytes]) -> None:
    """Writes blocks in a thread, as they come: all of them, even if an error ends them.

    Raises:
        OSError, StorageError: They can't be written.
    """

    def write(some: list[bytes]) -> None:
        for block in some:
            file.write(block)

    behind: Future[None] | None = None
    ahead: list[bytes] = []
    with ThreadPoolExecutor(1, "unpacking") as writer:
        try:
            for block in blocks:
                ahead.append(block)
                if len(ahead) == _BLOCKS_BEHIND:
                    if behind:
                        behind.result()
                    behind, ahead = writer.submit(write, ahead), []
        finally:
            if behind:
                behind.result()
            write(ahead)


def _inflate(packed: BinaryIO) -> Iterator[bytes]:
    """Inflates gzip members up to the end of a file, or to the padding after them.

    Raises:
        PixelError: TOO_LARGE.
        EOFError: The last member isn't complete.
        igzip_lib.error: The data is no gzip, or a checksum doesn't hold.
    """
    data = packed.read(_PACKED_BYTES)
    found = 0
    while True:
        member = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
        while not member.eof:
            if member.needs_input and not data:
                data = packed.read(_PACKED_BYTES)
                if not data:
                    raise EOFError("it ends before the end-of-stream marker was reached")
            block = member.decompress(data, _INFLATED_BYTES)
            found += len(block)
            if excess := describe_excess(packed.tell(), found):
                raise PixelError(Reason.TOO_LARGE, f"compressed data: {excess}")
            yield block
            data = b""
        data = member.unused_data or packed.read(_PACKED_BYTES)
        if not data.strip(b"\0"):
            return
