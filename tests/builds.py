"""Running builds in tests, and reading what they published."""

import contextlib
import dataclasses
import functools
import hashlib
import io
import json
import logging
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines import build
from pipelines.cli.progress import ProgressDisplay

COMMAND = (sys.executable, "-m", "pipelines.build")
#: Seconds for which processes of a killed build may live on.
LINGER_SECONDS = 10.0
#: Runs a command and prints the most memory of its process, in KiB. Pages of files aren't counted:
#: of libraries there are more where they were just installed, as the kernel maps larger pieces.
_MEASURED = """
import contextlib, pathlib, subprocess, sys, time
process = subprocess.Popen(sys.argv[1:])
status, most = pathlib.Path(f"/proc/{process.pid}/status"), 0
while process.poll() is None:
    with contextlib.suppress(OSError):
        for line in status.read_text().splitlines():
            if line.startswith("RssAnon:"):
                most = max(most, int(line.split()[1]))
    time.sleep(0.002)
print(most, file=sys.stderr)
sys.exit(process.returncode)
"""


@dataclasses.dataclass(frozen=True)
class Version:
    """A published version, read back."""

    folder: Path

    @functools.cached_property
    def manifest(self) -> dict:
        return json.loads((self.folder / "manifest.json").read_text())

    @functools.cached_property
    def failures(self) -> list[dict]:
        return pq.read_table(self.folder / "failures").to_pylist()

    def shards(self, split: str, form: str) -> list[Path]:
        """The shards of a split in order."""
        shards = self.manifest["splits"][split]["shards"]
        return [self.folder / shard["path"] for shard in shards if shard["format"] == form]

    @functools.cached_property
    def table(self) -> pa.Table:
        """All examples of all splits, from the Parquet shards."""
        return pa.concat_tables(
            pq.read_table(shard)
            for split in self.manifest["splits"]
            for shard in self.shards(split, "parquet")
        )

    @functools.cached_property
    def examples(self) -> dict[str, dict]:
        """Examples by ImageID."""
        return {example["image_id"]: example for example in self.table.to_pylist()}

    def source(self, name: str) -> dict:
        """The manifest's account of the one source with this base name."""
        (source,) = [s for s in self.manifest["sources"] if Path(s["path"]).name == name]
        return source

    def digests(self) -> dict[str, str]:
        """SHA-256 of every file but the manifest and what follows from it, which tell when and how
        the version was built."""
        return {
            str(path.relative_to(self.folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(self.folder.rglob("*"))
            if path.is_file() and path.name not in ("manifest.json", "croissant.json")
        }

    def assert_whole(self) -> None:
        """Asserts that every shard of the manifest is there, as long and with the bytes it says."""
        for split in self.manifest["splits"].values():
            for shard in split["shards"]:
                data = (self.folder / shard["path"]).read_bytes()
                assert len(data) == shard["bytes"], shard["path"]
                assert hashlib.sha256(data).hexdigest() == shard["sha256"], shard["path"]


@dataclasses.dataclass(frozen=True)
class Build:
    """A build that has run."""

    returncode: int
    stdout: str
    stderr: str
    output: Path

    @functools.cached_property
    def version(self) -> Version:
        """The version that `latest` names; the same object each time, since reading is slow."""
        return latest_version(self.output)


def latest_version(output: Path) -> Version:
    """The version that readers of an output folder see now."""
    return Version(output / "versions" / (output / "latest").read_text().strip())


def run_build(
    *arguments: object, own_process: bool = False, display: ProgressDisplay | None = None
) -> Build:
    """Runs `python -m pipelines.build`.

    Args:
        arguments: of the command line. Without `--num_workers` there is one worker.
        display: shows how far it is, where it runs in this process.
        own_process: whether to start a process; else it runs inside this one, some seconds faster.
    """
    texts = [str(argument) for argument in arguments]
    output = Path(texts[texts.index("--output") + 1]) if "--output" in texts else Path()
    if "--num_workers" not in texts:
        texts += ["--num_workers", "1"]
    if own_process:
        done = subprocess.run([*COMMAND, *texts], capture_output=True, text=True, check=False)
        return Build(done.returncode, done.stdout, done.stderr, output)
    stdout, stderr = io.StringIO(), io.StringIO()
    logged = logging.StreamHandler(stderr)
    logged.setLevel(logging.ERROR)
    on_terminate = signal.getsignal(signal.SIGTERM)
    logging.getLogger().addHandler(logged)
    try:
        with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
            # Lines that come after seconds, on a busy machine, would make what is said differ.
            code = build.main(texts, display or ProgressDisplay(line_seconds=3600))
    except SystemExit as error:
        code = error.code
    finally:
        logging.getLogger().removeHandler(logged)
        signal.signal(signal.SIGTERM, on_terminate)
    return Build(code, stdout.getvalue(), stderr.getvalue(), output)


def build_corpus(corpus: Path, output: Path, *flags: object) -> Version:
    """The version that a build of a corpus with its pictures and masks publishes."""
    inputs = (f"--{name}={corpus / name}" for name in ("annotations", "images", "masks"))
    built = run_build(*inputs, "--output", output, *flags)
    assert built.returncode == 0, built.stderr
    return built.version


def build_measured(annotations: Path, output: Path, *flags: str) -> tuple[Version, int]:
    """Builds annotations alone in one worker, however many rows are bad.

    Returns:
        The version, and the most bytes that its process had in memory, pages of files apart.
    """
    flags = ("--images", "none", "--format", "parquet", "--num_workers", "1", *flags)
    flags += ("--max_failure_rate", "1", "--max_bad_rate", "1")
    command = [*COMMAND, "--annotations", str(annotations), "--output", str(output), *flags]
    done = subprocess.run(
        [sys.executable, "-c", _MEASURED, *command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return latest_version(output), int(done.stderr.split()[-1]) * 1024


def members_of_session(session: int) -> set[int]:
    """The processes of a session, by `/proc`."""
    found = set()
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # The fields after the name in brackets: state, parent, group, session.
            state, _, _, its_session = status.read_text().rpartition(")")[2].split()[:4]
            if int(its_session) == session and state != "Z":
                found.add(int(status.parent.name))
    return found


def survivors(session: int) -> set[int]:
    """The processes that are still there after some seconds."""
    deadline = time.monotonic() + LINGER_SECONDS
    while (alive := members_of_session(session)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return alive
