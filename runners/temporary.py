"""Temporary files of a program: in one folder, which goes with it, or by the next program.

Beam and other libraries leave theirs in the system's folder when their process is killed.
"""

import contextlib
import os
import tempfile
from collections.abc import Iterator

from transforms.storage import temporary
from transforms.system.program import Cleanup


@contextlib.contextmanager
def temporary_folder() -> Iterator[str]:
    """Sends temporary files of this process, and of those that it starts, to a new folder."""
    before = tempfile.tempdir, os.environ.get("TMPDIR")
    stack = contextlib.ExitStack()
    folder = stack.enter_context(temporary.temporary_folder())
    cleanup = Cleanup(stack.close)
    try:
        tempfile.tempdir = os.environ["TMPDIR"] = folder
        yield folder
    finally:
        tempfile.tempdir = before[0]
        if before[1] is None:
            del os.environ["TMPDIR"]
        else:
            os.environ["TMPDIR"] = before[1]
        cleanup()
