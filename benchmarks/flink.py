"""Compares a build of annotations on a Flink cluster with the direct runner, on this machine.

The cluster has two task managers of one slot each, the direct runner two workers. Both read the
same files, once these are in the page cache, and must publish the same bytes. What a build of a
thousand images takes is the start-up of each. CPU seconds are those of all processes of a build,
those of the cluster among them; memory is that of each process at its peak.
"""

import argparse
import contextlib
import hashlib
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.measure import memory_of
from benchmarks.report import annotation_corpus, make_parser, read_all, say, work_folder
from runners.flink import cluster

_PYTHON = (sys.executable, "-m")
_START_UP_IMAGES = 1000
_SAMPLE_SECONDS = 0.5

#: What is in the command line of a process, and what it is called in the table.
_ROLES = {
    "StandaloneSessionClusterEntrypoint": "job manager",
    "TaskManagerRunner": "task manager",
    "start_worker": "worker",
    "multiprocessing.forkserver": "worker",
    "job-server.jar": "job server",
    "pipelines.build": "build",
}


@dataclass(frozen=True)
class Run:
    """A build that was measured.

    Attributes:
        seconds: from the start of the program to its end.
        cpu_seconds: user and system, of the processes of each kind together, by what they are.
        peaks: bytes of memory of each process at its peak, with what it is.
        digests: SHA-256 of what was published, by path.
    """

    seconds: float
    cpu_seconds: dict[str, float]
    peaks: list[tuple[str, int]]
    digests: dict[str, str]


class Sampler(threading.Thread):
    """Looks at the memory and CPU time of processes twice a second.

    Args:
        pids: of the processes to look at.
    """

    def __init__(self, pids: Callable[[], Iterable[int]]) -> None:
        super().__init__(daemon=True)
        self._pids = pids
        self._stopped = threading.Event()
        self._peaks: dict[int, tuple[str, int]] = {}
        self._cpu: dict[int, float] = {}
        # A cluster's processes have run before.
        self._before = {pid: _cpu_seconds(pid) for pid in pids()}

    def run(self) -> None:
        while not self._stopped.wait(_SAMPLE_SECONDS):
            for pid in self._pids():
                with contextlib.suppress(psutil.Error):
                    process = psutil.Process(pid)
                    role = _role(process)
                    if role:
                        _, before = self._peaks.get(pid, (role, 0))
                        self._peaks[pid] = role, max(before, memory_of(process))
                        self._cpu[pid] = _cpu_seconds(pid) - self._before.get(pid, 0.0)

    def stop(self) -> tuple[dict[str, float], list[tuple[str, int]]]:
        """Ends it and returns the CPU seconds of the processes of each kind, and what each process
        is with the bytes it had at its peak."""
        self._stopped.set()
        self.join()
        cpu: dict[str, float] = dict.fromkeys(sorted(role for role, _ in self._peaks.values()), 0.0)
        for pid, (role, _) in self._peaks.items():
            cpu[role] += self._cpu[pid]
        return cpu, sorted(self._peaks.values())


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the program."""
    flags = _parser().parse_args(arguments)
    with contextlib.ExitStack() as stack:
        work = stack.enter_context(work_folder(flags.work))
        corpora = {
            count: annotation_corpus(work, count) for count in (_START_UP_IMAGES, flags.images)
        }
        say("starting a cluster")
        started = time.perf_counter()
        flink = cluster.up(work / "cluster", task_managers=2, slots=1)
        stack.callback(cluster.down, flink)
        say(f"    {time.perf_counter() - started:.1f} s")
        on_flink = ("--runner", "flink", "--flink_master", flink.master)
        results = {
            count: {
                "direct": _build(work, corpus, ("--num_workers", "2"), lambda: ()),
                "Flink": _build(work, corpus, on_flink, lambda: cluster.processes(flink)),
            }
            for count, corpus in corpora.items()
        }
    for runs in results.values():
        if runs["direct"].digests != runs["Flink"].digests:
            print("the builds differ", file=sys.stderr)
            return 1
    print(_report(results[_START_UP_IMAGES], results[flags.images], flags.images))
    return 0


def _build(
    work: Path, corpus: Path, flags: Sequence[str], others: Callable[[], Iterable[int]]
) -> Run:
    """Builds a corpus; `others` are processes that take part beside the build's own."""
    say(f"{corpus.name}: {' '.join(flags)}")
    with tempfile.TemporaryDirectory(prefix="output-", dir=work) as output:
        files = ("--annotations", f"{corpus}/annotations", "--output", f"{output}/dataset")
        what = ("--images", "none", "--format", "parquet")
        read_all(corpus / "annotations")
        started = time.perf_counter()
        process = subprocess.Popen(
            [*_PYTHON, "pipelines.build", *files, *what, *flags],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        sampler = Sampler(lambda: {*_tree(process.pid), *others()})
        sampler.start()
        said = process.communicate()[1]
        seconds = time.perf_counter() - started
        cpu_seconds, peaks = sampler.stop()
        if process.returncode:
            raise SystemExit(f"the build failed:\n{said[-2000:]}")
        say(f"    {seconds:.1f} s")
        return Run(seconds, cpu_seconds, peaks, _digests(Path(output)))


def _tree(pid: int) -> list[int]:
    try:
        root = psutil.Process(pid)
        return [pid, *(child.pid for child in root.children(recursive=True))]
    except psutil.Error:
        return []


def _cpu_seconds(pid: int) -> float:
    with contextlib.suppress(psutil.Error):
        return sum(psutil.Process(pid).cpu_times()[:2])
    return 0.0


def _role(process: psutil.Process) -> str | None:
    command = " ".join(process.cmdline())
    return next((role for word, role in _ROLES.items() if word in command), None)


def _digests(output: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in output.rglob("*.parquet")
    }


def _report(small: dict[str, Run], large: dict[str, Run], images: int) -> str:
    lines = [f"{images:,} images; both published the same bytes"]
    for name in large:
        start_up, seconds = small[name].seconds, large[name].seconds
        lines.append(
            f"  {name:8} {seconds:6.1f} s; {_START_UP_IMAGES:,} images, the start-up: "
            f"{start_up:.1f} s; beyond it: {seconds - start_up:.1f} s"
        )
    beyond = {name: large[name].seconds - small[name].seconds for name in large}
    lines.append(f"  Flink / direct beyond start-up: {beyond['Flink'] / beyond['direct']:.2f}")
    for name, run in large.items():
        shares = ", ".join(f"{role} {cpu:.1f}" for role, cpu in run.cpu_seconds.items())
        start_up = sum(small[name].cpu_seconds.values())
        lines.append(
            f"  {name}: CPU seconds {sum(run.cpu_seconds.values()):.1f}, the start-up "
            f"{start_up:.1f}; {shares}"
        )
    for name, run in large.items():
        peaks = ", ".join(f"{role} {size >> 20:,}" for role, size in run.peaks)
        lines.append(f"  {name}: MiB at the peak of each process: {peaks}")
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = make_parser("benchmarks.flink", __doc__)
    parser.add_argument(
        "--images", type=int, default=1_000_000, metavar="N", help="default: 1000000"
    )
    parser.add_argument(
        "--work",
        type=Path,
        metavar="DIR",
        help="keeps the corpora here, or takes those of an earlier run; default: a new folder",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
