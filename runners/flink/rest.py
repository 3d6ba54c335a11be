"""Flink's REST API: the little that is needed to follow and cancel a job."""

import http.client
import json
import re
import urllib.error
import urllib.parse
import urllib.request
from collections import defaultdict
from typing import Any, NamedTuple

_TIMEOUT = 10.0

#: Job states that are final.
ENDED = frozenset({"FINISHED", "FAILED", "CANCELED"})


#: Beam names a stage `MapPartition at [2]Publish/Plan/{Map(…), …}`, or `[2]{BuildBucket, …}`.
_NAME = re.compile(r" at \[\d+\](?:\{(.+)\}|([^{()]+))")


class RestError(Exception):
    """Flink's job manager doesn't answer, or not as expected."""


class Stages(NamedTuple):
    """How far a job is: stages, of which `running` names one that runs, and tasks that run."""

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

    def task_managers(self) -> list[dict[str, Any]]:
        """Returns an account of each task manager that is registered."""
        return self._ask("/taskmanagers")["taskmanagers"]

    def version(self) -> str:
        """Flink's version."""
        return self._ask("/config")["flink-version"]

    def configuration(self) -> dict[str, str]:
        """Returns the cluster's configuration, as far as it was set."""
        return {entry["key"]: entry["value"] for entry in self._ask("/jobmanager/config")}

    def jobs(self) -> dict[str, tuple[str, str]]:
        """Returns the name and state of each job, by its id, ended ones included."""
        return {
            job["jid"]: (job["name"], job["state"]) for job in self._ask("/jobs/overview")["jobs"]
        }

    def stages(self, job: str) -> Stages:
        """How far a job is."""
        vertices = self._ask(f"/jobs/{job}")["vertices"]
        names = defaultdict(list)
        for vertex in vertices:
            names[vertex["status"]].append(_short(vertex["name"]))
        return Stages(
            done=len(names["FINISHED"]),
            done_by_workers=sum(map(bool, names["FINISHED"])),
            total=len(vertices),
            running=next(filter(None, names["RUNNING"]), ""),
            tasks_running=sum(vertex["tasks"].get("RUNNING", 0) for vertex in vertices),
        )

    def cause(self, job: str) -> str:
        """Returns the last exception of a job or its tasks, with its trace; or empty."""
        found = self._ask(f"/jobs/{job}/exceptions?maxExceptions=1")
        history = found["exceptionHistory"]["entries"]
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
    """Returns the transforms of a stage; empty for what Flink adds."""
    found = _NAME.search(name)
    return (found[1] or found[2]).rstrip("/") if found else ""
