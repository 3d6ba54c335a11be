"""Python's fork server, with what workers need imported: each worker is there at once.

A Python that imports Beam and all steps takes two seconds. The server begins while the driver does
the same; it is a process of its own, since a driver with threads can't be forked. Light to import,
so that it can be started first.
"""

import multiprocessing
from collections.abc import Sequence
from multiprocessing import forkserver

CONTEXT = multiprocessing.get_context("forkserver")


def start(modules: Sequence[str]) -> None:
    """Starts the server, unless it runs.

    Args:
        modules: what workers will need imported, beside Beam.
    """
    CONTEXT.set_forkserver_preload(["runners.preload", *modules])
    forkserver.ensure_running()
