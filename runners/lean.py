"""Programs that start sooner than Python makes them. Light to import, as it comes first."""

import ctypes
import gc
import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import LazyLoader

#: What Beam imports for connectors, flags and type hints of its own, and pyarrow to see whether a
#: list is an object of pandas. Where they aren't installed both do without, and so can we.
_NEEDLESS = ("absl", "apache_beam.io.gcp.bigquery", "bson", "pandas", "pymongo")
#: What Beam imports for jobs that it sends to Google.
_SELDOM = ("httplib2",)
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # of <malloc.h>
#: Blocks of rows come and go. What the system took back it would give out page by page again.
_KEPT_BYTES, _BLOCK_BYTES = 96 << 20, 32 << 20
#: New objects, and collections among the young and the middle-aged.
_COLLECT_AFTER = 20_000, 20, 50
_USUAL = gc.get_threshold()


def save_imports() -> None:
    """Has this process import what we need and no more, in 0.6 seconds less.

    What we don't need it takes for not installed; what is seldom used it imports then. NumPy's
    linear algebra, which nothing here does, starts no threads. And the collector looks for garbage
    seldom, until `collect_again`: some 100,000 objects are imported to stay, and it would look
    through them at every few hundred. For a process of ours alone.
    """
    sys.meta_path.insert(0, _LeanFinder())
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    gc.set_threshold(*_COLLECT_AFTER)


def collect_again() -> None:
    """Ends the collector's leisure: it looks as ever, but not among what is there by now.

    Does nothing in a process that isn't ours.
    """
    if gc.get_threshold() == _COLLECT_AFTER:
        gc.freeze()
        gc.set_threshold(*_USUAL)


def keep_one_heap() -> None:
    """Has this process, and those that it starts, allocate from one heap: 60 MiB a process.

    Arrow would have a heap of its own, and glibc one a thread, and each keeps what was freed in it.
    For a process of ours alone, before it imports `pyarrow`.
    """
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:  # glibc's
        mallopt(_M_ARENA_MAX, 1)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
        mallopt(_M_MMAP_THRESHOLD, _BLOCK_BYTES)


class _LeanFinder:
    """Finds nothing where there may be something, and what is seldom used for when it is."""

    @staticmethod
    def find_spec(fullname: str, path: Sequence[str] | None, *_: object) -> ModuleSpec | None:
        if fullname in _NEEDLESS:
            raise ModuleNotFoundError(f"{fullname} isn't needed here", name=fullname)
        if fullname not in _SELDOM:
            return None
        spec = PathFinder.find_spec(fullname, path)
        if spec and spec.loader:
            spec.loader = LazyLoader(spec.loader)
        return spec
