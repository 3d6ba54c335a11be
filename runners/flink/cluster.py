"""A Flink cluster on this machine: `python -m runners.flink.cluster up|down|status`.

A job manager and some task managers, each a process, on loopback addresses and free ports. Workers
are started by the task managers as processes; what starts them travels with the job.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from runners.flink import installed
from runners.flink.configuration import FRAMEWORK_HEAP_MB, write_configuration
from runners.flink.job_server import free_ports
from runners.flink.rest import Rest, RestError
from transforms.errors import UsageError
from transforms.wording import clean_lines, printable

_PROGRAM = "python -m runners.flink.cluster"
_JOB_MANAGER = "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint"
_TASK_MANAGER = "org.apache.flink.runtime.taskexecutor.TaskManagerRunner"
#: On a busy machine a process may get no CPU for longer than the 10 s after which it would end.
#: Flink's own setting of that (pekko.startup-timeout) doesn't reach Pekko.
_PATIENT = "-Dpekko.remote.classic.startup-timeout=90s"
_UP_SECONDS = 90
_DOWN_SECONDS = 10
_STATE = "state.json"


class ClusterError(RuntimeError):
    """The cluster can't be started, or isn't there; the message is one line."""


@dataclass(frozen=True)
class Cluster:
    """A cluster that was started.

    Attributes:
        folder: holds its configuration, logs and scratch files.
        rest_port: where the job manager listens on 127.0.0.1.
        heap_mb: MiB of Java heap for the tasks of a task manager.
        pids: of the job manager and the task managers. Each leads a session, of which its workers
            are part.
    """

    folder: str
    rest_port: int
    heap_mb: int
    pids: tuple[int, ...]

    @property
    def master(self) -> str:
        """What `--flink_master` takes."""
        return f"127.0.0.1:{self.rest_port}"


def up(folder: Path, task_managers: int = 2, slots: int = 1, heap_mb: int = 384) -> Cluster:
    """Starts a cluster and waits until all of its task managers have registered.

    Args:
        folder: is made for it.
        task_managers: how many.
        slots: of each: how many workers it runs at once.
        heap_mb: MiB of Java heap of each task manager.

    Raises:
        ClusterError: It didn't come up in time.
        UsageError: Java or Flink isn't there.
    """
    folder = folder.resolve()
    for name in ("conf", "log", "tmp"):
        shutil.rmtree(folder / name, ignore_errors=True)
        (folder / name).mkdir(parents=True)
    rest_port, rpc_port = free_ports(2)
    write_configuration(folder, rest_port, rpc_port, slots, heap_mb)

    started = {"jobmanager": _start(folder, "jobmanager", _JOB_MANAGER, 512)}
    for name in [f"taskmanager-{number}" for number in range(task_managers)]:
        started[name] = _start(folder, name, _TASK_MANAGER, heap_mb)
    pids = tuple(process.pid for process in started.values())
    cluster = Cluster(str(folder), rest_port, heap_mb, pids)
    _write(cluster)
    try:
        _wait(cluster, started)
    except BaseException:
        down(cluster)
        raise
    return cluster


def mend(cluster: Cluster) -> Cluster:
    """Starts task managers in place of those that are dead.

    Raises:
        ClusterError: They didn't come up in time.
    """
    cluster = find(Path(cluster.folder))
    pids, started = [], {}
    for number, pid in enumerate(cluster.pids):
        if number and not _lives(cluster, pid):
            name = f"taskmanager-{number - 1}-{pid}"
            process = _start(Path(cluster.folder), name, _TASK_MANAGER, cluster.heap_mb)
            started[name] = process
            pid = process.pid
        pids.append(pid)
    cluster = dataclasses.replace(cluster, pids=tuple(pids))
    _write(cluster)
    _wait(cluster, started)
    return cluster


def find(folder: Path) -> Cluster:
    """Returns the cluster that was started in a folder.

    Raises:
        ClusterError: There is none that lives.
    """
    try:
        state = json.loads((folder / _STATE).read_text())
    except (OSError, ValueError):
        raise ClusterError(f"no cluster was started in {folder}") from None
    cluster = Cluster(**state | {"pids": tuple(state["pids"])})
    if not any(_lives(cluster, pid) for pid in cluster.pids):
        raise ClusterError(f"the cluster of {folder} is no longer up")
    return cluster


def down(cluster: Cluster) -> None:
    """Ends all processes of a cluster, and those of its workers."""
    leaders = [pid for pid in cluster.pids if _lives(cluster, pid)]
    for pid in leaders:
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + _DOWN_SECONDS
    while any(_lives(cluster, pid) for pid in leaders) and time.monotonic() < deadline:
        time.sleep(0.1)
    for pid in processes(cluster):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    (Path(cluster.folder) / _STATE).unlink(missing_ok=True)


def status(cluster: Cluster) -> list[str]:
    """Returns lines with a cluster's slots and jobs.

    Raises:
        ClusterError: Its job manager doesn't answer.
    """
    rest = Rest(cluster.master)
    try:
        managers, jobs = rest.task_managers(), rest.jobs()
    except RestError as error:
        raise ClusterError(str(error)) from None
    slots, free = (sum(each[name] for each in managers) for name in ("slotsNumber", "freeSlots"))
    return [
        f"--flink_master {cluster.master}: Flink {rest.version()}, {len(managers)} task managers, "
        f"{free} of {slots} slots free; logs in {cluster.folder}/log",
        *(f"job {job} {name}: {state}" for job, (name, state) in jobs.items()),
    ]


def _start(folder: Path, name: str, main: str, heap_mb: int) -> subprocess.Popen:
    """Starts a process of the cluster, with so much heap beside that of the framework."""
    jars = ":".join(map(str, [*installed.libraries(), installed.JOB_SERVER]))
    command = [
        installed.find_java(),
        *installed.JAVA_FLAGS,
        f"-Xmx{heap_mb + FRAMEWORK_HEAP_MB}m",
        f"-Dlog4j.configurationFile={folder}/conf/log4j.properties",
        f"-Djava.io.tmpdir={folder}/tmp",
        _PATIENT,
        *("-classpath", jars, main, "--configDir", f"{folder}/conf"),
    ]
    # Beam's boot program writes into the current folder of a task manager.
    own = folder / "tmp" / name
    own.mkdir()
    with open(folder / "log" / f"{name}.log", "wb") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=own,
            start_new_session=True,
        )


def _write(cluster: Cluster) -> None:
    (Path(cluster.folder) / _STATE).write_text(json.dumps(dataclasses.asdict(cluster)))


def _wait(cluster: Cluster, started: Mapping[str, subprocess.Popen]) -> None:
    """Waits until all task managers have registered; `started` are just started, by log's name."""
    deadline = time.monotonic() + _UP_SECONDS
    rest = Rest(cluster.master)
    while True:
        with contextlib.suppress(RestError):
            if len(rest.task_managers()) == len(cluster.pids) - 1:
                return
        for name, process in started.items():
            if process.poll() is not None:
                log = Path(cluster.folder) / "log" / f"{name}.log"
                lines = log.read_text(errors="replace").strip().splitlines()
                why = next((line for line in lines if "Exception" in line), "".join(lines[-1:]))
                raise ClusterError(f"Flink didn't start: {why}: see {log}")
        if time.monotonic() > deadline:
            raise ClusterError(f"Flink wasn't up within {_UP_SECONDS} s: see {cluster.folder}/log")
        time.sleep(0.2)


def _lives(cluster: Cluster, pid: int) -> bool:
    """Returns whether a process is there and is one of the cluster's: ids are used again."""
    folder = _folder_of(pid)
    return folder is not None and folder.is_relative_to(cluster.folder)


def _folder_of(pid: int) -> Path | None:
    """Returns where a process works; None if it has ended."""
    try:
        return Path(os.readlink(f"/proc/{pid}/cwd"))
    except OSError:
        return None


def processes(cluster: Cluster) -> Iterator[int]:
    """Yields the ids of its processes, those of workers among them."""
    # The id of one that has ended may be another's by now, but not as long as workers are left.
    sessions = {p for p in cluster.pids if _folder_of(p) is None or _lives(cluster, p)}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # The fields after the name in brackets: state, parent, group, session.
            if int(status.read_text().rpartition(")")[2].split()[3]) in sessions:
                yield int(status.parent.name)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=_PROGRAM, description=__doc__, allow_abbrev=False)
    add = parser.add_argument
    add(
        "command",
        choices=("up", "down", "status"),
        help="up: start a cluster, or the dead task managers of one; down: end it; status: what "
        "it has, and its jobs",
    )
    add("--folder", type=Path, default=Path(".flink"), help="its files; default: .flink")
    add("--task_managers", type=int, default=2, metavar="N", help="default: 2")
    add("--slots", type=int, default=1, metavar="N", help="of each task manager; default: 1")
    return parser


def _up(flags: argparse.Namespace) -> Cluster:
    """Starts a cluster, or what is missing of the one that is there."""
    try:
        cluster = find(flags.folder)
    except ClusterError:
        return up(flags.folder, flags.task_managers, flags.slots)
    return mend(cluster)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the program."""
    flags = _parser().parse_args(arguments)
    try:
        cluster = _up(flags) if flags.command == "up" else find(flags.folder)
        if flags.command == "down":
            down(cluster)
        else:
            print(clean_lines("\n".join(status(cluster))))
    except (ClusterError, UsageError) as error:
        print(printable(f"{_PROGRAM}: error: {error}"), file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
