"""Shorter ways for what Beam does at each start, and at the end of each stage.

Only where driver and workers are this project's own processes, which read each other's pickles and
nobody else's.
"""

import contextlib
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

Arguments = tuple[list[str], list[Any]]


#: How often Beam looks where a worker is. By itself it does so five times a second, and waits for
#: the next time at the end of each stage.
_SAMPLING_MS = 10


@contextlib.contextmanager
def taken() -> Iterator[None]:
    """Has this process take them while this is open."""
    from apache_beam.internal import cloudpickle_pickler
    from apache_beam.runners.worker import statesampler
    from apache_beam.transforms import core, userstate

    sampler = partial(statesampler.StateSampler, sampling_period_ms=_SAMPLING_MS)
    shorter: list[tuple[Any, str, Any]] = [
        (cloudpickle_pickler, "bz2", _Stored),
        (core, "get_function_args_defaults", _remembering(core.get_function_args_defaults)),
        (userstate, "get_dofn_specs", _once_a_step(userstate.get_dofn_specs)),
        (statesampler, "StateSampler", sampler),
    ]
    usual = [getattr(module, name) for module, name, _ in shorter]
    for module, name, way in shorter:
        setattr(module, name, way)
    try:
        yield
    finally:
        for (module, name, _), way in zip(shorter, usual, strict=True):
            setattr(module, name, way)


class _Stored:
    """In place of `bz2`, which needs milliseconds to set up whatever the size."""

    @staticmethod
    def compress(data: bytes, compresslevel: int) -> bytes:
        del compresslevel  # what is compressed here is unpacked again several times
        return data

    @staticmethod
    def decompress(data: bytes) -> bytes:
        return data


def _once_a_step(specify: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Looks once at all methods of a step for state and timers: Beam does so eight times."""
    seen: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()

    def specs(step: Any) -> Any:
        if step not in seen:
            seen[step] = specify(step)
        return seen[step]

    return specs


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
