"""Shards looked at by several processes, and their examples brought together in key order.

The shards of a split are in key order, and so is a shard within, so that splits, formats and
versions can be compared by a merge: of each stream no more than a shard's keys are held.
"""

import contextlib
import multiprocessing
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import TypeVar

import numpy as np

from runners import program

_Task = TypeVar("_Task")
_Result = TypeVar("_Result")
_Name = TypeVar("_Name", bound=Hashable)

#: Keys first, then arrays of the same length.
Batch = tuple[np.ndarray, ...]


class WorkerError(Exception):
    """A process that looked at a shard died."""


@contextlib.contextmanager
def spread(
    function: Callable[[_Task], _Result], tasks: Sequence[_Task], num_workers: int
) -> Iterator[list[Callable[[], _Result]]]:
    """Begins to work at tasks in their order.

    Args:
        function: a function of a module.
        tasks: what it is called with.
        num_workers: processes; 1 is this one, which works when it is asked.

    Yields:
        For each task a function that gives its result, or raises what the task did; WorkerError
        where a process died. To be called once.
    """
    if num_workers == 1 or len(tasks) < 2:
        yield [partial(function, task) for task in tasks]
        return
    others = set(multiprocessing.active_children())
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(min(num_workers, len(tasks)), context, program.begin_child)
    try:
        waiting = {place: executor.submit(function, task) for place, task in enumerate(tasks)}

        def result(place: int) -> _Result:
            try:
                # Out of the dictionary, so that it is given up once it was used.
                return waiting.pop(place).result()
            except BrokenProcessPool:
                raise WorkerError("a process died: is memory short? Try --num_workers 1") from None

        yield [partial(result, place) for place in range(len(tasks))]
    except BaseException:
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()
        raise
    finally:
        executor.shutdown(cancel_futures=True)


def align(streams: Mapping[_Name, Iterator[Batch]]) -> Iterator[dict[_Name, Batch]]:
    """Brings streams of batches with ascending keys together.

    Args:
        streams: batches by name.

    Yields:
        By name, what the streams have in one range of keys after another; a stream that has nothing
        there is left out.
    """
    pending: dict[_Name, Batch] = {}
    while True:
        for name, stream in streams.items():
            while name not in pending:
                batch = next(stream, None)
                if batch is None:
                    break
                if len(batch[0]):
                    pending[name] = batch
        if not pending:
            return
        frontier = min(batch[0][-1] for batch in pending.values())
        window = {}
        for name, batch in list(pending.items()):
            count = int(np.searchsorted(batch[0], frontier, side="right"))
            if count:
                window[name] = tuple(array[:count] for array in batch)
            if count == len(batch[0]):
                del pending[name]
            else:
                pending[name] = tuple(array[count:] for array in batch)
        yield window
