"""Functions called in several processes, which end with the program. Light to import.

The executor of Python's library may wait for ever after the death of a process that is starting.
Here each process has a pipe of its own, whose end tells of its death at any moment.
"""

import contextlib
import itertools
import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Generic, TypeVar

from transforms.system.program import INTERRUPTED

_Task = TypeVar("_Task")
_Result = TypeVar("_Result")

#: Tasks that a process has at once, so that it needn't wait for the next.
_TASKS_EACH = 2
#: Results that may wait for whoever takes them, a process: more would fill the memory.
_RESULTS_EACH = 3


class WorkerError(Exception):
    """A process died."""

    def __init__(self) -> None:
        super().__init__("a process died: is memory short? Try --num_workers 1")


def in_order(
    function: Callable[[_Task], _Result], tasks: Iterable[_Task], num_workers: int
) -> Iterator[_Result]:
    """Maps a function over tasks as `map` does, in several processes and bounded memory.

    Args:
        function: a picklable function.
        tasks: its arguments, each less than a pipe takes at once.
        num_workers: processes; 1 stays in this one.

    Yields:
        The results in the order of the tasks.

    Raises:
        WorkerError: A process died.
        Exception: What the function raises.
    """
    if num_workers == 1:
        yield from map(function, tasks)
        return
    with contextlib.closing(_Pool(function, tasks, num_workers)) as pool:
        places = itertools.takewhile(pool.has, itertools.count())
        yield from map(pool.take, places)


@contextlib.contextmanager
def spread(
    function: Callable[[_Task], _Result], tasks: Sequence[_Task], num_workers: int
) -> Iterator[list[Callable[[], _Result]]]:
    """Begins to work at tasks in their order; their results may be taken in another.

    Args:
        function: a picklable function.
        tasks: its arguments, each less than a pipe takes at once.
        num_workers: processes; 1 is this one, which works when it is asked.

    Yields:
        For each task a function that gives its result, or raises what the task did; WorkerError
        where a process died. To be called once.
    """
    if num_workers == 1 or len(tasks) < 2:
        yield [partial(function, task) for task in tasks]
        return
    with contextlib.closing(_Pool(function, tasks, min(num_workers, len(tasks)))) as pool:
        yield [partial(pool.take, place) for place in range(len(tasks))]


class _Pool(Generic[_Task, _Result]):
    """Processes that call a function with tasks."""

    def __init__(
        self, function: Callable[[_Task], _Result], tasks: Iterable[_Task], num_workers: int
    ) -> None:
        self._tasks = enumerate(tasks)
        self._num_given = 0
        self._done: dict[int, tuple[_Result, Exception | None]] = {}
        self._under_way: dict[Connection, int] = {}
        self._processes: list[BaseProcess] = []
        # Started afresh: a fork copies locks that threads of this process may hold.
        context = multiprocessing.get_context("spawn")
        try:
            for _ in range(num_workers):
                connection, its_end = context.Pipe()
                self._under_way[connection] = 0
                process = context.Process(target=_work, args=(function, its_end), daemon=True)
                with its_end, _deaths():
                    process.start()
                self._processes.append(process)
        except BaseException:
            self.close()
            raise

    def has(self, place: int) -> bool:
        """Returns whether there is a task at a place, which is then given to a process."""
        self._give(place)
        return place < self._num_given

    def take(self, place: int) -> _Result:
        """Returns what the task at a place gives, or raises what it did; to be called once."""
        self._give(place)
        while place not in self._done:
            self._receive()
            self._give(place)
        result, error = self._done.pop(place)
        if error is not None:
            raise error
        return result

    def _give(self, place: int) -> None:
        """Gives tasks to processes that have few; beyond a place only while few results wait."""
        for connection in sorted(self._under_way, key=self._under_way.__getitem__):
            while self._under_way[connection] < _TASKS_EACH:
                waiting = len(self._done) + sum(self._under_way.values())
                if self._num_given > place and waiting >= _RESULTS_EACH * len(self._processes):
                    return
                numbered = next(self._tasks, None)
                if numbered is None:
                    return
                with _deaths():
                    connection.send(numbered)
                self._num_given += 1
                self._under_way[connection] += 1

    def _receive(self) -> None:
        """Waits for results."""
        for connection in wait(list(self._under_way)):
            assert isinstance(connection, Connection)
            with _deaths():
                place, outcome = connection.recv()
            self._under_way[connection] -= 1
            self._done[place] = outcome

    def close(self) -> None:
        """Kills the processes: they have nothing to put in order."""
        for process in self._processes:
            process.kill()
        for connection in self._under_way:
            connection.close()
        for process in self._processes:
            process.join()


@contextlib.contextmanager
def _deaths() -> Iterator[None]:
    """Turns the errors of a pipe whose other end is gone, also within a message, into one."""
    try:
        yield
    except (EOFError, OSError):
        raise WorkerError from None


def _work(function: Callable[[_Task], _Result], connection: Connection) -> None:
    """Calls a function with what comes by a pipe, until its other end is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with contextlib.suppress(EOFError, OSError):
        while True:
            place, task = connection.recv()
            try:
                outcome = (function(task), None)
            except Exception as error:
                error.add_note(traceback.format_exc())
                outcome = (None, error)
            connection.send((place, outcome))


def _end_with_parent() -> None:
    """Ends this process once its parent has ended."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(INTERRUPTED)
