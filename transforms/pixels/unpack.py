"""Unpacking a `.tar.gz`, which can't be sought into."""

import gzip
import os
import uuid

from isal import igzip, isal_zlib

from transforms.failures import PixelError, Reason

# What a read that meets the end of the data has inflated is lost, so reads are small.
_COPY_BYTES = 1 << 16


def unpack(path: str, folder: str) -> tuple[str, PixelError | None]:
    """Decompresses a file into a folder, under a name unique to the attempt.

    ISA-L inflates several times as fast as zlib (docs/decisions.md).

    Returns:
        The new file, and what is wrong with the compressed data, if anything: TRUNCATED or CORRUPT;
        the file then ends before that place.
    """
    target = os.path.join(folder, f"{uuid.uuid4().hex}.tar")
    damage = None
    with open(target, "wb") as unpacked, open(path, "rb") as packed:
        try:
            with igzip.GzipFile(fileobj=packed) as stream:
                while data := stream.read1(_COPY_BYTES):
                    unpacked.write(data)
        except EOFError as error:
            damage = PixelError(Reason.TRUNCATED, f"compressed data: {error}")
        except (gzip.BadGzipFile, isal_zlib.error) as error:  # pyrefly: ignore[not-a-type]
            damage = PixelError(Reason.CORRUPT, f"compressed data: {error}")
    return target, damage
