"""Runs inputs in a process of their own, and names each that isn't survived.

A target is a function of a number: it makes the input of that number, tries it, and returns in one
word what became of it. To run the input 4711 of a target alone, with what it says:

    python -m tests.fuzz.driver tests.fuzz.picture_targets:jpeg_picture 4711 4712 256
"""

import faulthandler
import importlib
import os
import re
import resource
import select
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import psutil

ROOT = Path(__file__).parents[2]

#: Seconds that an input may take; they take milliseconds.
SECONDS = 5.0
#: MiB that the process may have in memory at any time, some 100 of them for Python and libraries.
MEBIBYTES = 256

_START_SECONDS = 120.0
#: How many times as long a process may wait for the CPU as it may use it.
_STARVED = 6
_ENOUGH = 10

# None gets at more, so that the machine keeps its memory until an input is found out.
_ADDRESS_SPACE = 8 << 30


class Finding(NamedTuple):
    """An input that wasn't survived: `what` is `hang`, `died`, `raised` or `memory`."""

    number: int
    what: str
    detail: str


class Report(NamedTuple):
    """What became of some inputs; each is counted in `outcomes` or named in `findings`."""

    outcomes: Counter[str]
    findings: list[Finding]


def run(
    target: str, numbers: range, seconds: float = SECONDS, mebibytes: int = MEBIBYTES
) -> Report:
    """Runs a target, given as `module:function`, until too much is found.

    An input that kills its process, or must be killed with it, costs no other its turn.
    """
    report = Report(Counter(), [])
    while numbers and len(report.findings) < _ENOUGH:
        arguments = [target, str(numbers.start), str(numbers.stop), str(mebibytes)]
        with tempfile.TemporaryDirectory() as folder:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.fuzz.driver", *arguments],
                cwd=ROOT,
                env={**os.environ, "TMPDIR": folder},
                stdout=subprocess.PIPE,
            )
            try:
                done = _follow(process, numbers.start, seconds, report)
            finally:
                process.kill()
                process.communicate()
        numbers = numbers[done:]
    return report


def outcomes_of(
    module: str, counts: Mapping[str, int], mebibytes: Mapping[str, int] = MappingProxyType({})
) -> dict[str, Counter[str]]:
    """Runs targets of a module, two at a time, and asserts that nothing is found.

    Args:
        module: its name.
        counts: how many inputs of each target, by name.
        mebibytes: limits of memory other than the usual one, by target.
    """

    def run_one(target: str) -> Report:
        limit = mebibytes.get(target, MEBIBYTES)
        return run(f"{module}:{target}", range(counts[target]), mebibytes=limit)

    with ThreadPoolExecutor(2) as pool:
        reports = dict(zip(counts, pool.map(run_one, counts), strict=True))
    findings = {target: report.findings[:5] for target, report in reports.items()}
    assert not any(findings.values()), findings
    assert all(reports[target].outcomes.total() == count for target, count in counts.items())
    return {target: report.outcomes for target, report in reports.items()}


def _follow(process: subprocess.Popen, first: int, seconds: float, report: Report) -> int:
    """Watches a process to its end; returns how many numbers it has dealt with."""
    assert process.stdout is not None
    done, rest, patience = 0, b"", _START_SECONDS
    ready = ended = False
    while _speaks(process, patience):
        data = os.read(process.stdout.fileno(), 1 << 16)
        if not data:
            break
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            what, _, detail = line.decode().partition("\t")
            if what == "ready":
                ready, patience = True, seconds
            elif what == "end":
                ended = True
            else:
                if what == "outcome":
                    report.outcomes[detail] += 1
                else:
                    report.findings.append(Finding(first + done, what, detail))
                done += 1
    else:
        report.findings.append(Finding(first + done, "hang", f"more than {patience:g} s"))
        return done + 1
    code = process.wait()
    if not ready:
        raise RuntimeError(f"the target didn't start: exit code {code}")
    if ended:
        return done
    cause = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    report.findings.append(Finding(first + done, "died", cause))
    return done + 1


def _speaks(process: subprocess.Popen, patience: float) -> bool:
    """Whether a process says more within so many seconds.

    Of its own: if others use the machine it may take longer, but not many times as long.
    """
    before = _cpu_seconds(process)
    for _ in range(_STARVED):
        if select.select([process.stdout], [], [], patience)[0]:
            return True
        if _cpu_seconds(process) - before >= 0.9 * patience:
            return False
    return False


def _cpu_seconds(process: subprocess.Popen) -> float:
    times = psutil.Process(process.pid).cpu_times()
    return times.user + times.system


def _peak_mebibytes() -> int:
    # Not ru_maxrss, in which that of the process before exec counts.
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert peak
    return int(peak[1]) >> 10


def _serve(target: Callable[[int], str], numbers: range, mebibytes: int) -> None:
    """Runs inputs and says a line for each, up to one after which there was too much in memory."""
    print("ready", flush=True)
    for number in numbers:
        try:
            line = f"outcome\t{target(number)}"
        except BaseException as error:
            line = f"raised\t{type(error).__name__}: {error!s:.300}".replace("\n", " ")
        over = (peak := _peak_mebibytes()) > mebibytes
        print(f"memory\t{peak} MiB" if over else line, flush=True)
        if over:
            break
    print("end", flush=True)


def _main(name: str, first: str, stop: str, mebibytes: str) -> None:
    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE, _ADDRESS_SPACE))
    module, _, function = name.partition(":")
    target = getattr(importlib.import_module(module), function)
    _serve(target, range(int(first), int(stop)), int(mebibytes))


if __name__ == "__main__":
    _main(*sys.argv[1:])
