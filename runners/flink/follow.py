"""Following a job to its end: it is shown, watched for signs of life, and cancelled if need be."""

import contextlib
import re
import time
from collections.abc import Callable, Iterator

from runners.flink.rest import ENDED, Rest, RestError
from runners.launch import Job, JobError, Monitor, call_watched
from transforms.progress import WorkFolderError
from transforms.redaction import redact_url
from transforms.system.program import Cleanup

_POLL_SECONDS = 1.0
#: How long a job manager may be away; it may be restarted meanwhile.
_AWAY_SECONDS = 60
#: How long to wait until a job is cancelled, and for one to appear that was just being submitted.
_CANCEL_SECONDS, _APPEAR_SECONDS = 6.0, 3.0
_CANCEL_POLL_SECONDS = 0.2

#: A task that is started again finds the folder as little.
_BEYOND_MENDING = re.compile(rf"\b{WorkFolderError.__name__}: (.*?)(?: \[while running .*)?$", re.M)

_REMEDIES = {
    "Insufficient number of network buffers": "the task managers lack network memory: raise "
    "taskmanager.memory.network.max, or lower taskmanager.network.sort-shuffle.min-buffers",
    "NoResourceAvailableException": "the cluster has too few free slots: wait for other jobs, or "
    "lower --num_workers",
    "NoRestartBackoffTimeStrategy": "a task was lost and the cluster doesn't restart any: set "
    "restart-strategy.type: exponential-delay in its configuration",
    "call already cancelled": "workers have died again and again: is memory short? See the task "
    "managers' logs",
    "Heartbeat of TaskManager": "task managers were lost, or too busy to answer, again and again: "
    "see their logs",
    "is no longer reachable": "task managers were lost again and again: see their logs",
    "Process died with exit code": "workers don't start on the task managers: see their logs, and "
    "that their Python is this one",
}


class Submission:
    """A job that is about to be submitted to a cluster, which will know it by its name.

    Args:
        rest: the cluster.
        job_name: that no other job gets from now on; earlier ones may have had it.

    Raises:
        RestError: The cluster doesn't answer.
    """

    def __init__(self, rest: Rest, job_name: str) -> None:
        self.rest = rest
        self._job_name = job_name
        self._earlier = frozenset(rest.jobs())
        self._job_id: str | None = None
        #: Whether the job may have been submitted.
        self.is_begun = False
        #: Ends whatever submits the job.
        self.stop_submitting: Callable[[], None] = lambda: None

    def find(self) -> str | None:
        """Returns the id of the job; None as long as the cluster has none.

        Raises:
            RestError: The cluster doesn't answer.
        """
        if self._job_id is None:
            new = self.rest.jobs().items()
            found = (job for job, (name, _) in new if name == self._job_name)
            self._job_id = next((job for job in found if job not in self._earlier), None)
        return self._job_id


class Follower:
    """Follows a job on a cluster.

    Args:
        submission: the job; None for a Flink inside the job server, which can't be asked.
        monitor: is told of the job.
        patience: seconds for which no worker may give a sign of life while tasks run. Where the
            monitor sees none, seconds for the first of them to have done something.
    """

    def __init__(self, submission: Submission | None, monitor: Monitor, patience: float) -> None:
        self._submission = submission
        self._monitor = monitor
        self._patience = patience
        self._told = False
        # Whether workers have done a stage; nobody knows of a Flink that can't be asked.
        self._begun = submission is None
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
        call_watched(wait_until_finish, self._look, _POLL_SECONDS)

    def _look(self) -> None:
        now = time.monotonic()
        sign = self._monitor.last_sign()
        running = True
        if self._submission is not None:
            try:
                running = self._look_at(self._submission)
                self._answer_at = now
            except RestError as error:
                if now - self._answer_at > _AWAY_SECONDS:
                    raise JobError(f"the job manager is gone: {error}") from None
                running = False
        watched = running and (sign is not None or not self._begun)
        if sign != self._sign or not watched:
            self._sign, self._sign_at = sign, now
        elif now - self._sign_at > self._patience:
            raise JobError(
                f"no worker has given a sign of life for {self._patience:g} s: see that workers "
                "start, hold this project, and see the work folder (--worker_timeout)"
            )

    def _look_at(self, submission: Submission) -> bool:
        """Shows the job; returns whether some of its tasks run.

        Raises:
            JobError: One of them has failed from a cause that no retry mends.
        """
        rest, job = submission.rest, submission.find()
        if job is None:
            return False
        if not self._told:
            self._monitor.submitted(
                Job("Flink", job, f"{redact_url(rest.url)}/#/job/running/{job}/overview")
            )
            self._told = True
        stages = rest.stages(job)
        self._monitor.show_stages(stages.done, stages.total, stages.running)
        self._begun = self._begun or stages.done_by_workers > 0
        cause = beyond_mending(rest.cause(job))
        if cause is not None:
            raise JobError(cause)
        return stages.tasks_running > 0


@contextlib.contextmanager
def cancelled_unless_done(submission: Submission | None) -> Iterator[None]:
    """Cancels a job on the cluster if it runs at the end of the context."""
    cancel = Cleanup(lambda: _cancel(submission))
    try:
        yield
    finally:
        cancel()


def _cancel(submission: Submission | None) -> None:
    if submission is None or not submission.is_begun:
        return
    submission.stop_submitting()  # else the job might come after nobody looks for it any more
    begun = time.monotonic()
    with contextlib.suppress(RestError):
        while (waited := time.monotonic() - begun) < _CANCEL_SECONDS:
            job = submission.find()
            if job is not None:
                if submission.rest.jobs()[job][1] in ENDED:
                    return
                submission.rest.cancel(job)
            elif waited > _APPEAR_SECONDS:
                return
            time.sleep(_CANCEL_POLL_SECONDS)


def beyond_mending(text: str) -> str | None:
    """Returns the cause of a task's failure, if no retry can mend it, from the text of an error."""
    match = _BEYOND_MENDING.search(text)
    return match[1] if match else None


def explain(text: str) -> str | None:
    """Returns the cause of a failure, if it is Flink's, from the text of an error; else None."""
    return next((remedy for known, remedy in _REMEDIES.items() if known in text), None)
