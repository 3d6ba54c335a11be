"""Shorter ways for what Beam does many times at each start: a fifth of a small build.

Only where driver and workers are this project's own processes, which read each other's pickles and
nobody else's.
"""

import contextlib
import zlib
from collections.abc import Callable, Iterator
from typing import Any

Arguments = tuple[list[str], list[Any]]


@contextlib.contextmanager
def taken() -> Iterator[None]:
    """Has this process take them while this is open."""
    from apache_beam.internal import cloudpickle_pickler
    from apache_beam.transforms import core

    pickler: Any = cloudpickle_pickler
    steps: Any = core
    compression, look = pickler.bz2, steps.get_function_args_defaults
    pickler.bz2, steps.get_function_args_defaults = _Deflate, _remembering(look)
    try:
        yield
    finally:
        pickler.bz2, steps.get_function_args_defaults = compression, look


class _Deflate:
    """In place of `bz2`, which needs milliseconds to set up whatever the size."""

    @staticmethod
    def compress(data: bytes, compresslevel: int) -> bytes:
        del compresslevel  # as much as possible is asked for, which takes too long
        return zlib.compress(data, 1)

    @staticmethod
    def decompress(data: bytes) -> bytes:
        return zlib.decompress(data)


def _remembering(look: Callable[[Any], Arguments]) -> Callable[[Any], Arguments]:
    """Looks at each method once: Beam asks for the arguments of all those of a step eight times."""
    seen: dict[Any, Arguments] = {}

    def arguments(function: Any) -> Arguments:
        method = getattr(function, "__func__", None)
        if method is None:
            return look(function)
        if method not in seen:
            seen[method] = look(function)
        names, defaults = seen[method]
        return [*names], [*defaults]

    return arguments
