"""Functions called in several processes: order, errors, and processes that are killed."""

import multiprocessing
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from transforms.system.processes import WorkerError, in_order, spread


def doubled(number: int) -> int:
    time.sleep(random.random() / 100)
    if number == 13:
        raise ValueError("13 brings bad luck")
    return 2 * number


def slowly(number: int) -> bytes:
    time.sleep(0.05)
    return bytes(1 << 20) + bytes([number])


def ended(number: int) -> int:
    if number == 5:
        os._exit(0)
    return number


@pytest.mark.parametrize("num_workers", [1, 2, 5])
def test_results_come_in_the_order_of_tasks(num_workers: int):
    assert list(in_order(doubled, range(100, 160), num_workers)) == [*range(200, 320, 2)]
    assert list(in_order(doubled, [], num_workers)) == []


@pytest.mark.parametrize("num_workers", [1, 2])
def test_results_are_taken_in_any_order(num_workers: int):
    places = [*range(40)]
    random.Random(3).shuffle(places)
    with spread(doubled, range(100, 140), num_workers) as results:
        assert [results[place]() for place in places] == [2 * (100 + place) for place in places]


def test_no_more_tasks_are_taken_than_memory_holds():
    taken = 0

    def tasks() -> Iterator[int]:
        nonlocal taken
        for number in range(200):
            taken += 1
            yield number

    for result in in_order(slowly, tasks(), 2):
        assert taken <= result[-1] + 8
        if result[-1] == 20:
            break
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("num_workers", [1, 3])
def test_what_a_function_raises_is_raised(num_workers: int):
    with pytest.raises(ValueError, match="13 brings bad luck"):
        list(in_order(doubled, range(20), num_workers))
    with spread(doubled, range(20), num_workers) as results:
        assert results[12]() == 24
        with pytest.raises(ValueError, match="13 brings bad luck"):
            results[13]()
    assert multiprocessing.active_children() == []


def test_a_process_that_ends_is_an_error():
    with pytest.raises(WorkerError, match="a process died: is memory short"):
        list(in_order(ended, range(20), 2))


def test_processes_that_are_killed_at_any_moment():
    """Also while they start, and within a result."""
    moments = random.Random(11)
    for _ in range(12):
        killer = threading.Timer(moments.random() * 0.6, kill_a_child)
        killer.start()
        with pytest.raises(WorkerError):
            list(in_order(slowly, range(200), 2))
        killer.join()
        assert multiprocessing.active_children() == []


def kill_a_child() -> None:
    """Kills a process of this one's, once there is one."""
    while True:
        for process in Path("/proc").glob("[0-9]*"):
            try:
                parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
                is_worker = b"spawn_main" in (process / "cmdline").read_bytes()
            except OSError:
                continue
            if parent == os.getpid() and is_worker:
                os.kill(int(process.name), signal.SIGKILL)
                return
