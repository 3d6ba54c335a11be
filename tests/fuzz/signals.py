"""Sends signals to builds at drawn moments: `python -m tests.fuzz.signals --seed N --count N`.

Each number draws a build: one worker or two, SIGTERM or SIGINT, to the process alone or to its
whole group as a terminal does, once or twice, at some moment from the start of Python to after the
end: by the clock, or some time after something is seen of the build. It must end within `SECONDS`
of the first signal, leave no process, and let the next build publish a whole version and clear the
folder for temporary files.

Where others use the machine a build takes longer: a second counts as the share of it that each
process that wants the CPU gets.
"""

import argparse
import contextlib
import dataclasses
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from pipelines import synthesize, verify
from runners.flink import cluster
from runners.flink.rest import ENDED, Rest
from tests.builds import COMMAND, latest_version

#: Within which a build ends, of a machine of its own.
SECONDS = 15.0
#: Within which all processes of a build that has ended have ended, too.
_LINGER_SECONDS = 5.0
#: Within which a cluster has ended its job.
_CANCEL_SECONDS = 30.0
_POLL_SECONDS = 0.02
_IMAGES = 40
_MARK = "SIGNALLED_BUILD"
#: The share of signals that come by the clock; the others come up to so long after something is
#: seen in the output: a lease, a lock, files of the steps, and what readers see.
_BY_CLOCK, _AFTER_SECONDS = 0.3, 0.4
_SEEN = (
    *(".work/lease", ".work/*.lock", ".work/*/progress/*", ".work/*/exchange/*"),
    *(".work/*/journal/*", ".work/*/parts/*", ".work/*/version/*", "versions/*", "latest"),
)
_ENOUGH, _SHOWN = 10, 600


@dataclasses.dataclass(frozen=True)
class Setting:
    """Where builds are signalled.

    Attributes:
        folder: for corpus, output and temporary files.
        flink: a cluster to build on; None for the direct runner.
        num_workers: of each build; None to draw it.
    """

    folder: Path
    flink: cluster.Cluster | None = None
    num_workers: int | None = None

    @property
    def output(self) -> Path:
        """Where all builds publish."""
        return self.folder / "output"

    @property
    def temporary(self) -> Path:
        """Their folder for temporary files."""
        return self.folder / "tmp"

    def command(self, number: int, num_workers: int, flink: cluster.Cluster | None) -> list[str]:
        """A build, whose fingerprint is that of its number."""
        corpus = self.folder / "corpus"
        parts = ("annotations", "images", "masks")
        flags = [text for part in parts for text in (f"--{part}", str(corpus / part))]
        flags += ["--output", str(self.output), "--shard_size", str((1 << 20) + number)]
        flags += ["--num_workers", str(num_workers), "--chunk_size", "64k"]
        if flink:
            flags += ["--runner", "flink", "--flink_master", flink.master]
        return [*COMMAND, *flags]


class Clock:
    """Seconds as a machine of one's own would have them."""

    def __init__(self) -> None:
        self._at = time.monotonic()
        self.seconds = 0.0

    def sleep(self) -> None:
        """Waits a moment."""
        time.sleep(_POLL_SECONDS)
        now = time.monotonic()
        with open("/proc/stat") as file:
            (running,) = (int(line.split()[1]) for line in file if line.startswith("procs_running"))
        self.seconds += (now - self._at) * min(1.0, (os.cpu_count() or 1) / max(running, 1))
        self._at = now

    def wait(self, condition: Callable[[], object], seconds: float) -> bool:
        """Waits for something; whether it came about in time."""
        until = self.seconds + seconds
        while not condition():
            if self.seconds > until:
                return False
            self.sleep()
        return True


@contextlib.contextmanager
def setting(flink: bool = False, num_workers: int | None = None) -> Iterator[Setting]:
    """Makes a corpus and, where wanted, starts a cluster."""
    with tempfile.TemporaryDirectory(prefix="signals-") as name:
        folder = Path(name)
        flags = ["--output", str(folder / "corpus"), "--images", str(_IMAGES)]
        assert synthesize.main([*flags, "--num_workers", "1"]) == 0
        (folder / "tmp").mkdir()
        started = cluster.up(folder / "flink", task_managers=2, slots=1) if flink else None
        try:
            yield Setting(folder, started, num_workers)
        finally:
            if started:
                cluster.down(started)


def measure(where: Setting) -> float:
    """How long an undisturbed build takes."""
    started = time.monotonic()
    done = _start(where, where.command(-1, where.num_workers or 2, where.flink), "measure")
    assert done.wait() == 0, _said(where)
    return time.monotonic() - started


def signal_build(number: int, where: Setting, duration: float) -> str:
    """Signals the build of a number; what became of it, in some words.

    Raises:
        AssertionError: Something doesn't hold.
    """
    drawn = random.Random(number)
    num_workers = where.num_workers or drawn.choice((1, 2))
    which = drawn.choice((signal.SIGTERM, signal.SIGINT))
    send = drawn.choice((os.kill, os.killpg))
    by_clock = drawn.random() < _BY_CLOCK
    seen = "" if by_clock else drawn.choice(_SEEN)
    moment = drawn.uniform(0, 1.05 * duration if by_clock else _AFTER_SECONDS)
    gaps = [0.0] if drawn.random() < 0.5 else [0.0, 10 ** drawn.uniform(-3, 0.5)]
    told = (
        f"{which.name} by {send.__name__} {moment:.2f} s after {seen or 'the start'}, "
        f"{num_workers} workers, gaps {gaps}"
    )
    before = _latest(where)
    mark = f"{os.getpid()}-{number}"
    jobs = set(Rest(where.flink.master).jobs()) if where.flink else set()
    old = _found(where, seen)
    process = _start(where, where.command(number, num_workers, where.flink), mark)
    try:
        while seen and process.poll() is None and _found(where, seen) == old:
            time.sleep(_POLL_SECONDS / 4)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(moment)
        was_over = process.poll() is not None
        clock = Clock()
        for gap in gaps:
            if gap and process.poll() is None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(gap)
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    send(process.pid, which)
        assert clock.wait(lambda: process.poll() is not None, SECONDS), f"{told}: doesn't end"
        left = _processes(mark)
        clock.wait(lambda: not _processes(mark), _LINGER_SECONDS)
        assert not _processes(mark), f"{told}: leaves {left}"
    finally:
        for pid in _processes(mark):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()
    said, code = _said(where), process.returncode
    if where.flink:
        rest = Rest(where.flink.master)
        own = set(rest.jobs()) - jobs
        clock.wait(lambda: all(rest.jobs()[job][1] in ENDED for job in own), _CANCEL_SECONDS)
        states = {rest.jobs()[job][1] for job in own}
        assert states <= ENDED, f"{told}: leaves a job {states}"
    outcome = _judge(code, said, was_over, before != _latest(where), which, told)
    _check_next(where, number, drawn.random() < 0.25, told)
    return outcome


def _found(where: Setting, pattern: str) -> dict[Path, int]:
    """What is seen of a build, with the times of change."""
    found = {}
    for path in where.output.glob(pattern) if pattern else ():
        with contextlib.suppress(FileNotFoundError):
            found[path] = path.stat().st_mtime_ns
    return found


def _judge(
    code: int, said: str, was_over: bool, is_published: bool, which: signal.Signals, told: str
) -> str:
    """What became of a build, by its exit code and what it said."""
    if code < 0 or "Traceback" in said:
        # Python hadn't come to the first line of the program.
        assert "/pipelines/" not in said, f"{told}: code {code}: {said}"
        assert code in (-which, 1), f"{told}: code {code}: {said}"
        return "in Python's own start"
    if code == 0:
        assert is_published, f"{told}: code 0, and nothing is published: {said}"
        return "over before the signal" if was_over else "published"
    assert (code, "interrupted" in said) == (1, True), f"{told}: code {code}: {said}"
    assert ("nothing was published" in said) != is_published, f"{told}: {said}"
    return "interrupted after it had published" if is_published else "interrupted"


def _check_next(where: Setting, number: int, on_flink: bool, told: str) -> None:
    """The same build, undisturbed, publishes a whole version and clears up."""
    flink = where.flink if on_flink else None
    process = _start(where, where.command(number, 2 if flink else 1, flink), "next")
    assert process.wait() == 0, f"{told}: then the next build says: {_said(where)}"
    name = (where.output / "latest").read_text().strip()
    checked = io.StringIO()
    with contextlib.redirect_stdout(checked):
        code = verify.main([str(where.output), "--sample", "all", "--num_workers", "1"])
    assert code == 0, f"{told}: then the next build's version: {checked.getvalue()}"
    manifest = json.loads((where.output / "versions" / name / "manifest.json").read_text())
    assert sum(split["num_examples"] for split in manifest["splits"].values()) == _IMAGES, told
    left = sorted(str(path.relative_to(where.folder)) for path in where.temporary.rglob("*"))
    shutil.rmtree(where.temporary)
    where.temporary.mkdir()
    assert not left, f"{told}: then the next build leaves {left}"
    assert not (where.output / ".work").exists(), f"{told}: then the next build leaves .work"


def _latest(where: Setting) -> str | None:
    return latest_version(where.output).folder.name if (where.output / "latest").exists() else None


def _start(where: Setting, command: Sequence[str], mark: str) -> subprocess.Popen:
    environment = {**os.environ, "TMPDIR": str(where.temporary), _MARK: mark}
    with open(where.folder / "said", "wb") as said:
        return subprocess.Popen(
            command, env=environment, stdout=said, stderr=said, start_new_session=True
        )


def _said(where: Setting) -> str:
    return (where.folder / "said").read_text(errors="replace")


def _processes(mark: str) -> dict[int, str]:
    """The processes of a build, by its mark in their environment."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"{_MARK}={mark}\0".encode() in (folder / "environ").read_bytes():
                found[int(folder.name)] = (folder / "cmdline").read_bytes().decode()[-200:]
    return found


def run(numbers: range, where: Setting) -> tuple[Counter[str], list[tuple[int, str]]]:
    """Signals builds until too much is found; returns outcomes, and what was found by number."""
    duration = measure(where)
    outcomes: Counter[str] = Counter()
    findings: list[tuple[int, str]] = []
    for number in numbers:
        try:
            outcomes[signal_build(number, where, duration)] += 1
        except AssertionError as error:
            findings.append((number, str(error)[:_SHOWN]))
            if len(findings) == _ENOUGH:
                break
    return outcomes, findings


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints seed, counts and findings; returns 1 if there are any."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.signals", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="the first number (default: 0)")
    parser.add_argument("--count", type=int, default=200, help="how many (default: 200)")
    parser.add_argument("--runner", choices=("direct", "flink"), default="direct")
    parser.add_argument("--num_workers", type=int, help="default: drawn, 1 or 2")
    flags = parser.parse_args(arguments)
    numbers = range(flags.seed, flags.seed + flags.count)
    with setting(flags.runner == "flink", flags.num_workers) as where:
        outcomes, findings = run(numbers, where)
    tried = outcomes.total() + len(findings)
    print(f"signals to builds ({flags.runner}): {tried:,} from seed {flags.seed}")
    for outcome, count in outcomes.most_common():
        print(f"  {outcome}: {count:,}")
    for number, detail in findings:
        print(f"  FOUND by seed {number}: {detail}")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
