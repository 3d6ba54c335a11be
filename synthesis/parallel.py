"""Work spread over processes, results in order."""

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from typing import TypeVar

from runners.program import begin_child

Job = TypeVar("Job")
Result = TypeVar("Result")


def in_order(
    function: Callable[[Job], Result], jobs: Iterable[Job], workers: int
) -> Iterator[Result]:
    """Maps a function over jobs as `map` does, in several processes and bounded memory.

    Args:
      function: a picklable function.
      jobs: its arguments.
      workers: processes; 1 stays in this one.

    Yields:
      The results in the order of the jobs.
    """
    if workers == 1:
        yield from map(function, jobs)
        return
    # Processes started afresh: a fork copies locks that threads of this process may hold.
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), begin_child) as pool:
        waiting: deque[Future[Result]] = deque()
        for job in jobs:
            waiting.append(pool.submit(function, job))
            # A few jobs ahead keep all processes busy, more would fill the memory with results.
            if len(waiting) > 3 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
