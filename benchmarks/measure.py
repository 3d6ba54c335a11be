"""Runs a command in its own process and measures what it and all its descendants take."""

import contextlib
import os
import resource
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import psutil

_INTERVAL = 0.1
_FIRST_PAUSE = 0.01

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
        disk_bytes: the largest sum, over the samples taken, of what lies on disk below the folder
            that was watched; 0 where none was.
        spill_bytes: the largest sum of what lies in the folders for spill below it.
    """

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    disk_bytes: int = 0
    spill_bytes: int = 0


class Watch(NamedTuple):
    """A folder whose size on disk is measured.

    Attributes:
        folder: need not be there yet.
        spill: the name of folders below it whose size is measured by itself; may be empty.
    """

    folder: Path
    spill: str = ""


@dataclass(frozen=True)
class Limits:
    """What ends a command that takes more, so that it doesn't take the machine down.

    Attributes:
        memory_bytes: of all its processes.
        disk_bytes: below the folder that is watched.
        seconds: since its start.
    """

    memory_bytes: int
    disk_bytes: int
    seconds: float


class CommandError(Exception):
    """The command failed; the message holds the end of what it printed."""


class LimitError(CommandError):
    """The command was ended because it took too much; the message is one line."""


def run(
    command: Sequence[str], log: Path, watch: Watch | None = None, limits: Limits | None = None
) -> Measurement:
    """Runs a command to its end.

    Args:
        command: the program and its arguments.
        log: where its output goes.
        watch: what to measure on disk; default: nothing.
        limits: what it may take; default: no limits.

    Raises:
        CommandError: it exited with another code than 0.
        LimitError: it took more than `limits`.
    """
    with log.open("wb") as output:
        cpu_before = _cpu_of_children()
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        sampler = _Sampler(process.pid, watch, limits)
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
    if sampler.excess:
        raise LimitError(f"ended after {seconds:.0f} s: {sampler.excess}")
    if process.returncode:
        end = log.read_text(errors="replace")[-2000:]
        raise CommandError(f"{' '.join(command)} exited with {process.returncode}:\n{end}")
    # What was waited for is told exactly; what its parent has left to itself was at least sampled.
    cpu_seconds = max(sampler.cpu_seconds, _cpu_of_children() - cpu_before)
    return Measurement(
        seconds, cpu_seconds, sampler.peak_bytes, sampler.disk_bytes, sampler.spill_bytes
    )


def _cpu_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


class _Sampler(threading.Thread):
    """Looks at a process and all its descendants, ten times a second where that is cheap.

    It starts more often, for what ends soon.
    """

    def __init__(self, pid: int, watch: Watch | None, limits: Limits | None) -> None:
        super().__init__(daemon=True)
        self._pid = pid
        self._watch = watch
        self._limits = limits
        self._since = time.perf_counter()
        self._stopped = threading.Event()
        self._cpu_seconds: dict[int, float] = {}
        self.peak_bytes = 0
        self.disk_bytes = 0
        self.spill_bytes = 0
        self.excess = ""

    @property
    def cpu_seconds(self) -> float:
        return sum(self._cpu_seconds.values())

    def run(self) -> None:
        pause = _FIRST_PAUSE
        while not self._stopped.wait(pause):
            before = time.thread_time()
            self._look()
            if self.excess:
                _kill(self._pid)
            pause = max(min(2 * pause, _INTERVAL), _PAUSE * (time.thread_time() - before))

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
        disk, spill = disk_below(self._watch) if self._watch else (0, 0)
        self.peak_bytes = max(self.peak_bytes, total)
        self.disk_bytes = max(self.disk_bytes, disk)
        self.spill_bytes = max(self.spill_bytes, spill)
        if self._limits and total > self._limits.memory_bytes:
            self.excess = f"over {self._limits.memory_bytes / 2**30:.1f} GiB of memory"
        elif self._limits and disk > self._limits.disk_bytes:
            self.excess = f"over {self._limits.disk_bytes / 1e9:.1f} GB on disk"
        elif self._limits and time.perf_counter() - self._since > self._limits.seconds:
            self.excess = "too slow"


def _tree(pid: int) -> list[psutil.Process]:
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.Error:
        return []


def _kill(pid: int) -> None:
    for process in _tree(pid):
        with contextlib.suppress(psutil.Error):
            process.send_signal(signal.SIGKILL)


def memory_of(process: psutil.Process) -> int:
    """Bytes in memory: its proportional share of them where the system tells that."""
    try:
        for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass  # not Linux, or it ended meanwhile
    return process.memory_info().rss


def disk_below(watch: Watch) -> tuple[int, int]:
    """Bytes on disk of all files below a folder, each once however many names it has; of spill."""
    sizes: dict[int, int] = {}
    spilled: dict[int, int] = {}
    folders = [(str(watch.folder), False)]
    while folders:
        folder, is_spill = folders.pop()
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append((entry.path, is_spill or entry.name == watch.spill))
                    else:
                        stat = entry.stat(follow_symlinks=False)
                        into = spilled if is_spill else sizes
                        into[stat.st_ino] = stat.st_blocks * 512
        except OSError:
            continue  # it was removed meanwhile
    return sum((sizes | spilled).values()), sum(spilled.values())
