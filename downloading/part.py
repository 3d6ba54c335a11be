"""Files that grow until they are whole, and are moved to their place then."""

import contextlib
import errno
import os
from pathlib import Path
from typing import BinaryIO

from transforms.storage.stamps import describe_other


def open_part(path: Path, append: bool) -> BinaryIO:
    """Opens a file to write, unless it is a pipe, which would wait for its reader, or a device.

    Raises:
        OSError: It is one of these, or can't be opened.
    """
    with contextlib.suppress(FileNotFoundError):
        if other := describe_other(os.stat(path).st_mode):
            raise OSError(errno.EINVAL, f"it is {other}, not a file: remove it", str(path))
    return open(path, "ab" if append else "wb")
