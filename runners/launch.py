"""What all runners have in common: how one is found by name, its flags, and who watches a build.

A runner is a module with a function `run(define, flags, beam_arguments, monitor)` that runs a
pipeline to its end. It turns our few flags into Beam's, as defaults, and passes on all that the
user gave.
"""

import concurrent.futures
import importlib
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from runners import fork_server
from transforms.errors import UsageError

if TYPE_CHECKING:  # it takes a second, and `--help` shall not
    import apache_beam as beam
    from apache_beam.metrics.metric import MetricResults

#: Adds the transforms to a pipeline.
Define = Callable[["beam.Pipeline"], None]

_Result = TypeVar("_Result")
_MODULES = {
    "direct": "runners.direct",
    "prism": "runners.prism",
    "flink": "runners.flink.submit",
    "dataflow": "runners.dataflow",
}
RUNNERS = tuple(_MODULES)
#: As many processes as one machine can bear; more of them than cores wait for pictures' servers.
MOST_PROCESSES = max(32, 8 * (os.cpu_count() or 1))
#: As many tasks at once as Flink can number.
_MOST_TASKS = 1 << 15


class JobError(RuntimeError):
    """A job failed; the message is one line if the cause is known, else its last line is."""


class NotRunError(RuntimeError):
    """As was asked for, no job was run; the message is a line that says what was done instead."""


class Job(NamedTuple):
    """A job of a build, as its engine knows it.

    Attributes:
        engine: Flink, or Dataflow.
        job_id: by which the engine knows it.
        url: where it is to be seen.
    """

    engine: str
    job_id: str
    url: str

    def __str__(self) -> str:
        return f"{self.engine} job {self.job_id}"


class Monitor:
    """Watches a build: a runner tells it of its job, and may ask how far the workers are.

    This one shows nothing.
    """

    def submitted(self, job: Job) -> None:
        """Shows and records a job that was submitted."""

    def log(self, line: str) -> None:
        """Shows a line."""

    def show_stages(self, done: int, total: int, running: str) -> None:
        """Shows how many stages of a job are done, and the name of one that runs."""

    def last_sign(self) -> object:
        """Something else whenever a worker has given a sign of life; None if none can be seen.

        Raises:
            JobError: The build can't go on.
        """


class RunnerFlags(Protocol):
    """What runners and their checks use of the flags of a build."""

    @property
    def runner(self) -> str: ...

    @property
    def num_workers(self) -> int | None: ...

    @property
    def worker_timeout(self) -> int: ...

    @property
    def annotations(self) -> Sequence[str]: ...

    @property
    def images(self) -> Sequence[str]: ...

    @property
    def masks(self) -> Sequence[str]: ...

    @property
    def voices(self) -> Sequence[str]: ...

    @property
    def output(self) -> str: ...

    @property
    def work_folder(self) -> str | None: ...

    @property
    def exchange(self) -> str | None: ...

    @property
    def s3_endpoint_url(self) -> str | None: ...


#: The function `run` of a runner's module, which runs a pipeline to its end. It takes what adds the
#: transforms to a pipeline, our flags, flags for Beam, which win over the runner's defaults, and
#: who watches the build. It returns what the workers have counted, and raises UsageError where the
#: runner can't be used that way, JobError where the job failed, NotRunError where a dry run or a
#: template was asked for, and whatever a worker raised where the engine passes that on.
Run = Callable[[Define, RunnerFlags, Sequence[str], Monitor], "MetricResults"]


def load(name: str) -> Run:
    """Returns the function `run` of a runner, which is imported only now: each takes a while."""
    return importlib.import_module(_MODULES[name]).run


def prepare(flags: RunnerFlags, modules: Sequence[str]) -> None:
    """Begins what takes a runner time, before anything is imported that takes time as well.

    Args:
        flags: ours.
        modules: what workers will need imported.
    """
    if flags.runner == "direct" and (flags.num_workers or os.cpu_count()) != 1:
        fork_server.start(modules)


def too_many(number: int, most: int) -> str:
    """Returns the error message for a number of processes that is too high."""
    cores = os.cpu_count() or 1
    where = f"for a machine of {cores} cores" if most == MOST_PROCESSES else "for a cluster"
    return f"{number:,} is too many {where}: give {most:,} at most"


def refuse_too_many(flags: RunnerFlags, beam_arguments: Sequence[str]) -> None:
    """Checks the number of workers, before any is started.

    Raises:
        UsageError: There are too many.
    """
    given = flags_given(beam_arguments)
    is_elsewhere = flags.runner == "dataflow" or (
        flags.runner == "flink" and not given.isdisjoint({"--flink_master", "--job_endpoint"})
    )
    most = _MOST_TASKS if is_elsewhere else MOST_PROCESSES
    if flags.num_workers and flags.num_workers > most:
        raise UsageError(f"argument --num_workers: {too_many(flags.num_workers, most)}")


def check(flags: RunnerFlags, beam_arguments: Sequence[str]) -> None:
    """Checks flags for a runner, if its module has a function for that.

    Raises:
        UsageError: The runner can't be used that way.
    """
    module = importlib.import_module(_MODULES[flags.runner])
    if hasattr(module, "check"):
        module.check(flags, beam_arguments)


def with_defaults(beam_arguments: Sequence[str], defaults: Mapping[str, object]) -> list[str]:
    """Puts flags before those for Beam, but for flags that the user gave.

    Args:
        beam_arguments: as given on a command line.
        defaults: name without dashes to value: True for a flag without one; None and False leave
            the flag out.

    >>> with_defaults(["--parallelism", "4"], {"parallelism": 2, "environment_type": "PROCESS"})
    ['--environment_type=PROCESS', '--parallelism', '4']
    """
    given = {name.removeprefix("--") for name in flags_given(beam_arguments)}
    given |= {name.removeprefix("no_") for name in given}
    return [
        *(
            f"--{name}" if value is True else f"--{name}={value}"
            for name, value in defaults.items()
            if name not in given and value is not None and value is not False
        ),
        *beam_arguments,
    ]


def call_watched(
    function: Callable[[], _Result], watch: Callable[[], None], poll_seconds: float
) -> _Result:
    """Calls a function in a thread, which is left behind if this one is interrupted.

    Args:
        function: the result is its own.
        watch: called every `poll_seconds`, and at the end; what it raises ends the wait.
        poll_seconds: at the most how long after an interrupt the wait ends.

    Raises:
        Exception: What either of the functions raises.
    """
    promise: concurrent.futures.Future[_Result] = concurrent.futures.Future()

    def work() -> None:
        try:
            promise.set_result(function())
        except BaseException as error:
            promise.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    is_done = False
    while not is_done:
        is_done = bool(concurrent.futures.wait([promise], poll_seconds).done)
        watch()
    return promise.result()


def is_run_later(beam_arguments: Sequence[str]) -> bool:
    """Returns whether a job is only described, to be run when this program has ended."""
    return "--template_location" in flags_given(beam_arguments)


def flags_given(arguments: Sequence[str]) -> set[str]:
    """Returns the flags on a command line, with their dashes and without values."""
    return {argument.partition("=")[0] for argument in arguments if argument.startswith("--")}
