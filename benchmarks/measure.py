"""Runs a command in its own process and measures what it and all its descendants take."""

import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

_INTERVAL = 0.1

#: Looking at 5 GB of memory takes 40 ms of a core, so large processes are looked at less often:
#: this many times as long passes between two looks as a look takes of a core.
_PAUSE = 25


@dataclass(frozen=True)
class Measurement:
    """What a command took.

    Attributes:
        seconds: from its start to its end.
        cpu_seconds: of all its processes together, user and system.
        peak_bytes: the largest sum, over the samples taken, of the memory of all its processes. A
            page that several of them share counts once; pages of mapped files count too.
    """

    seconds: float
    cpu_seconds: float
    peak_bytes: int


class CommandError(Exception):
    """The command failed; the message holds the end of what it printed."""


def run(command: Sequence[str], log: Path) -> Measurement:
    """Runs a command to its end.

    Args:
        command: the program and its arguments.
        log: where its output goes.

    Raises:
        CommandError: it exited with another code than 0.
    """
    with log.open("wb") as output:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        sampler = _Sampler(process.pid)
        sampler.start()
        try:
            process.wait()
        except BaseException:
            process.terminate()
            process.wait()
            raise
        finally:
            seconds = time.perf_counter() - started
            sampler.stop()
    if process.returncode:
        end = log.read_text(errors="replace")[-2000:]
        raise CommandError(f"{' '.join(command)} exited with {process.returncode}:\n{end}")
    return Measurement(seconds, sampler.cpu_seconds, sampler.peak_bytes)


class _Sampler(threading.Thread):
    """Looks at a process and all its descendants, ten times a second where that is cheap."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid = pid
        self._stopped = threading.Event()
        self._cpu_seconds: dict[int, float] = {}
        self.peak_bytes = 0

    @property
    def cpu_seconds(self) -> float:
        return sum(self._cpu_seconds.values())

    def run(self) -> None:
        pause = _INTERVAL
        while not self._stopped.wait(pause):
            before = time.thread_time()
            self._look()
            pause = max(_INTERVAL, _PAUSE * (time.thread_time() - before))

    def stop(self) -> None:
        self._stopped.set()
        self.join()

    def _look(self) -> None:
        total = 0
        for process in _tree(self._pid):
            try:
                total += memory_of(process)
                self._cpu_seconds[process.pid] = sum(process.cpu_times()[:2])
            except psutil.Error:
                continue  # it ended meanwhile
        self.peak_bytes = max(self.peak_bytes, total)


def _tree(pid: int) -> list[psutil.Process]:
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.Error:
        return []


def memory_of(process: psutil.Process) -> int:
    """Bytes in memory: its proportional share of them where the system tells that."""
    try:
        for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass  # not Linux, or it ended meanwhile
    return process.memory_info().rss
