"""How a process of ours allocates memory and collects garbage. Light to import: it comes first."""

import ctypes
import gc
import os

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # of <malloc.h>
#: Blocks of rows come and go. What the system took back it would give out page by page again.
_KEPT_BYTES, _BLOCK_BYTES = 96 << 20, 32 << 20
#: New objects, and collections among the young and the middle-aged.
_COLLECT_AFTER = 20_000, 20, 50
_USUAL = gc.get_threshold()


def begin_imports() -> None:
    """Prepares a process of ours for importing much: garbage is seldom looked for.

    Some 100,000 objects are imported to stay, and the collector would look through them at every
    few hundred. NumPy's linear algebra, which nothing here does, starts no threads.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    gc.set_threshold(*_COLLECT_AFTER)


def end_imports() -> None:
    """Freezes imported objects and restores the default GC thresholds, after `begin_imports`."""
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
