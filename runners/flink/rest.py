"""Flink's REST API: the little that is needed to follow and cancel a job."""

import http.client
import json
import re
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from typing import Any, NamedTuple

_TIMEOUT = 10.0

#: Job states that are final.
ENDED = frozenset({"FINISHED", "FAILED", "CANCELED"})


#: Beam names a stage `MapPartition at [2]Publish/Plan/{Map(…), …}`, or `[2]{BuildBucket, …}`.
_NAME = re.compile(r" at \[\d+\](?:\{(.+)\}|([^{()]+))")


class RestError(Exception):
    """Flink's job manager doesn't answer, or not as expected."""


class Slots(NamedTuple):
    """What a cluster has: task managers, slots in all, and slots free."""

    task_managers: int
    slots: int
    free: int


class Stages(NamedTuple):
    """How far a job is: stages done, those of them that workers did, stages, one that runs, tasks
    that run."""

    done: int
    done_by_workers: int
    total: int
    running: str
    tasks_running: int


class Rest:
    """A job manager.

    Args:
        address: `HOST:PORT`, or a URL.
    """

    def __init__(self, address: str) -> None:
        self.url = address.rstrip("/") if "://" in address else f"http://{address.rstrip('/')}"

    def slots(self) -> Slots:
        """What the cluster has."""
        found = self._ask("/overview")
        return Slots(found["taskmanagers"], found["slots-total"], found["slots-available"])

    def task_managers(self) -> list[dict[str, Any]]:
        """An account of each task manager that is registered."""
        return self._ask("/taskmanagers")["taskmanagers"]

    def version(self) -> str:
        """Flink's version."""
        return self._ask("/config")["flink-version"]

    def configuration(self) -> dict[str, str]:
        """The cluster's configuration, as far as it was set."""
        return {entry["key"]: entry["value"] for entry in self._ask("/jobmanager/config")}

    def jobs(self) -> dict[str, tuple[str, str]]:
        """The name and state of each job, by its id, ended ones included."""
        return {
            job["jid"]: (job["name"], job["state"]) for job in self._ask("/jobs/overview")["jobs"]
        }

    def stages(self, job: str) -> Stages:
        """How far a job is."""
        found = self._ask(f"/jobs/{job}")
        vertices = found["vertices"]
        states = Counter(vertex["status"] for vertex in vertices)
        names = {
            state: [_short(vertex["name"]) for vertex in vertices if vertex["status"] == state]
            for state in states
        }
        running = [name for name in names.get("RUNNING", ()) if name]
        by_workers = sum(map(bool, names.get("FINISHED", ())))
        tasks = sum(vertex["tasks"].get("RUNNING", 0) for vertex in vertices)
        done = states["FINISHED"]
        return Stages(done, by_workers, len(vertices), running[0] if running else "", tasks)

    def places(self, job: str) -> list[set[str]]:
        """The task managers that each stage of a job ran on."""
        vertices = [vertex["id"] for vertex in self._ask(f"/jobs/{job}")["vertices"]]
        answers = [self._ask(f"/jobs/{job}/vertices/{vertex}/taskmanagers") for vertex in vertices]
        return [{one["taskmanager-id"] for one in found["taskmanagers"]} for found in answers]

    def cause(self, job: str) -> str:
        """Why a job, or a task of it, failed last: the exception with its trace; empty where none
        did."""
        history = self._ask(f"/jobs/{job}/exceptions?maxExceptions=1")["exceptionHistory"][
            "entries"
        ]
        return history[0]["stacktrace"] if history else ""

    def cancel(self, job: str) -> None:
        """Asks for a job to be cancelled."""
        self._ask(f"/jobs/{job}?mode=cancel", "PATCH")

    def _ask(self, path: str, method: str = "GET") -> Any:
        request = urllib.request.Request(self.url + path, method=method)
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            raise RestError(f"{self.url}{path} answers {error.code}") from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise RestError(f"{self.url} doesn't answer as a Flink would ({reason})") from error


def _short(name: str) -> str:
    """The transforms of a stage; empty for what Flink adds."""
    found = _NAME.search(name)
    return (found[1] or found[2]).rstrip("/") if found else ""
