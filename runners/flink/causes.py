"""Why a job failed, in a line: Flink wraps the cause into many others."""

import re

from transforms.progress import WorkFolderError

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


def beyond_mending(text: str) -> str | None:
    """The cause of a task's failure, if no retry can mend it, from the text of an error."""
    match = _BEYOND_MENDING.search(text)
    return match[1] if match else None


def explain(text: str) -> str | None:
    """The cause of a failure, if it is Flink's, from the text of an error; else None."""
    return next((remedy for known, remedy in _REMEDIES.items() if known in text), None)
