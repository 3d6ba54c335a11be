"""Following a job to its end: it is shown, watched for signs of life, and cancelled if need be."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

from runners.flink.rest import ENDED, Rest, RestError
from runners.launch import JobError, Monitor

_POLL_SECONDS = 1.0
#: How long a job manager may be away; it may be restarted meanwhile.
_AWAY_SECONDS = 60
_CANCEL_SECONDS = 30


class Follower:
    """Follows a job, known by its name, on a cluster.

    Args:
        rest: the cluster; None for a Flink inside the job server, which can't be asked.
        job_name: of this job alone.
        monitor: is told of the job.
        patience: seconds for which no worker may give a sign of life while tasks run.
    """

    def __init__(self, rest: Rest | None, job_name: str, monitor: Monitor, patience: float) -> None:
        self._rest = rest
        self._job_name = job_name
        self._monitor = monitor
        self._patience = patience
        self._job: str | None = None
        self._sign: object = None
        now = time.monotonic()
        self._sign_at = now
        self._answer_at = now

    def wait(self, wait_until_finish: Callable[[], object]) -> None:
        """Waits for the end of the job.

        Args:
            wait_until_finish: returns when the job is done, or raises; called in a thread.

        Raises:
            JobError: No worker, or no job manager, gives a sign of life.
            Exception: whatever `wait_until_finish` raised.
        """
        errors: list[BaseException] = []

        def wait() -> None:
            try:
                wait_until_finish()
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=wait, daemon=True)
        thread.start()
        while thread.is_alive():
            thread.join(_POLL_SECONDS)
            self._look()
        if errors:
            raise errors[0]

    def _look(self) -> None:
        now = time.monotonic()
        running = True
        if self._rest is not None:
            try:
                running = self._look_at(self._rest)
                self._answer_at = now
            except RestError as error:
                if now - self._answer_at > _AWAY_SECONDS:
                    raise JobError(f"the job manager is gone: {error}") from None
                running = False
        sign = self._monitor.last_sign()
        if sign is None or sign != self._sign or not running:
            self._sign, self._sign_at = sign, now
        elif now - self._sign_at > self._patience:
            raise JobError(
                f"no worker has given a sign of life for {self._patience:g} s: see that workers "
                "start, hold this project, and see the work folder (--worker_timeout)"
            )

    def _look_at(self, rest: Rest) -> bool:
        """Shows the job; returns whether some of its tasks run."""
        if self._job is None:
            self._job = _find(rest, self._job_name)
            if self._job is None:
                return False
            self._monitor.tell(f"Flink job {self._job} on {rest.url}")
        stages = rest.stages(self._job)
        self._monitor.show_stages(stages.done, stages.total, stages.running)
        return stages.tasks_running > 0


@contextlib.contextmanager
def cancelled_unless_done(rest: Rest | None, job_name: str) -> Iterator[None]:
    """Cancels a job on the cluster if it runs at the end of the context."""
    try:
        yield
    finally:
        if rest is not None:
            with contextlib.suppress(RestError):
                _cancel(rest, job_name)


def _cancel(rest: Rest, job_name: str) -> None:
    deadline = time.monotonic() + _CANCEL_SECONDS
    while time.monotonic() < deadline:
        job = _find(rest, job_name)
        if job is None or rest.jobs()[job][1] in ENDED:
            return
        rest.cancel(job)
        time.sleep(_POLL_SECONDS)


def _find(rest: Rest, job_name: str) -> str | None:
    return next((job for job, (name, _) in rest.jobs().items() if name == job_name), None)
