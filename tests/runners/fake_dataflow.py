"""The part of Dataflow's REST API that submits a job and waits for it, on loopback.

Written from https://cloud.google.com/dataflow/docs/reference/rest/v1b3/projects.locations.jobs. A
job takes the real states. It is run as by Dataflow's workers: they install the staged packages into
an environment that lacks the project, and run the staged pipeline there.
"""

import dataclasses
import http.server
import itertools
import json
import re
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

_JOBS = r"/v1b3/projects/[^/]+/locations/[^/]+/jobs"
_NAME = re.compile(r"[a-z]([-a-z0-9]{0,1022}[a-z0-9])?")
_STORAGE = "storage.googleapis.com/"
_ENDED = ("JOB_STATE_DONE", "JOB_STATE_FAILED", "JOB_STATE_CANCELLED")
_CANCEL = ("JOB_STATE_CANCELLED", 5)  # by name, or with enum-encoding=int
_WORKER = Path(__file__).with_name("dataflow_worker.py")


class ApiError(Exception):
    """An answer with an error, as Google's services have it."""

    def __init__(self, code: HTTPStatus, status: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.body = {"error": {"code": code, "status": status, "message": message}}


@dataclasses.dataclass
class Job:
    """A job that was submitted.

    Attributes:
        resource: as the API has it.
        states: which it has had, in order.
        messages: of the job, as the API has them.
        process: that runs it.
    """

    resource: dict[str, Any]
    states: list[str] = dataclasses.field(default_factory=list)
    messages: list[dict[str, str]] = dataclasses.field(default_factory=list)
    process: subprocess.Popen | None = None

    @property
    def ended(self) -> bool:
        return self.states[-1] in _ENDED

    def enter(self, state: str) -> None:
        self.states.append(state)
        self.resource |= {"currentState": state, "currentStateTime": _now()}

    def tell(self, importance: str, text: str) -> None:
        number = len(self.messages)
        self.messages.append(
            {
                "id": f"m{number}",
                "time": _now(),
                "messageText": text,
                "messageImportance": f"JOB_MESSAGE_{importance}",
            }
        )


class FakeDataflow:
    """A service with its jobs.

    Args:
        storage_url: of the Google Cloud Storage where packages are staged.
        worker_python: of an environment in which the packages are installed.
        folder: for what workers download.
        environment: variables of the workers; PYTHONPATH is left out.

    Attributes:
        jobs: by id.
        url: for `--dataflow_endpoint`, while it is served.
        sabotage: Python that workers of new jobs run in place of the pipeline.
    """

    def __init__(
        self, storage_url: str, worker_python: Path, folder: Path, environment: Mapping[str, str]
    ) -> None:
        self.jobs: dict[str, Job] = {}
        self.url = ""
        self.sabotage: str | None = None
        self._environment = {k: v for k, v in environment.items() if k != "PYTHONPATH"}
        self._storage_url = storage_url
        self._python = worker_python
        self._folder = folder
        self._numbers = itertools.count(1)

    def create(self, resource: dict[str, Any]) -> dict[str, Any]:
        """Takes a job and begins to run it."""
        name = resource.get("name", "")
        if not _NAME.fullmatch(name):
            raise ApiError(HTTPStatus.BAD_REQUEST, "INVALID_ARGUMENT", f"job name {name!r}")
        environment = resource.get("environment", {})
        if not environment.get("tempStoragePrefix", "").startswith(_STORAGE):
            raise ApiError(HTTPStatus.BAD_REQUEST, "INVALID_ARGUMENT", "no tempStoragePrefix")
        if "use_runner_v2" not in environment.get("experiments", []):
            raise ApiError(HTTPStatus.BAD_REQUEST, "INVALID_ARGUMENT", "runner v1 is no more")
        for job in self.jobs.values():
            if job.resource["name"] == name and not job.ended:
                message = f"There is already an active job named {name}."
                raise ApiError(HTTPStatus.CONFLICT, "ALREADY_EXISTS", message)
        number = next(self._numbers)
        job_id = f"{datetime.now(UTC):%Y-%m-%d_%H_%M_%S}-{number:019}"
        job = Job(resource | {"id": job_id, "createTime": _now()})
        job.enter("JOB_STATE_PENDING")
        self.jobs[job_id] = job
        threading.Thread(target=self._run, args=(job,), daemon=True).start()
        return job.resource

    def find(self, job_id: str) -> Job:
        if job_id not in self.jobs:
            message = f"Information about job {job_id} could not be found."
            raise ApiError(HTTPStatus.NOT_FOUND, "NOT_FOUND", message)
        return self.jobs[job_id]

    def update(self, job_id: str, change: dict[str, Any]) -> dict[str, Any]:
        """Cancels a job, the one change that is asked for here."""
        job = self.find(job_id)
        if change.get("requestedState") not in _CANCEL:
            raise ApiError(HTTPStatus.BAD_REQUEST, "INVALID_ARGUMENT", f"not known: {change}")
        if not job.ended:
            job.enter("JOB_STATE_CANCELLING")
            if job.process is not None:
                job.process.kill()
        return job.resource

    def folder_of(self, job: Job) -> Path:
        """What the workers of a job have downloaded, and their log."""
        return self._folder / job.resource["id"]

    def _run(self, job: Job) -> None:
        try:
            self._run_to_end(job)
        except Exception as error:
            job.tell("ERROR", f"Workflow failed. Causes: {error}")
            job.enter("JOB_STATE_FAILED")

    def _run_to_end(self, job: Job) -> None:
        folder = self.folder_of(job)
        folder.mkdir()
        environment = job.resource["environment"]
        (pool,) = environment["workerPools"]
        for package in pool.get("packages", []):
            bucket, _, key = package["location"].removeprefix(_STORAGE).partition("/")
            (folder / package["name"]).write_bytes(self._download(bucket, key))
        options = environment["sdkPipelineOptions"]["options"]
        bucket, _, key = options["pipelineUrl"].removeprefix("gs://").partition("/")
        (folder / "pipeline").write_bytes(self._download(bucket, key))
        (folder / "options").write_text(json.dumps(options))
        job.enter("JOB_STATE_RUNNING")
        job.tell("BASIC", "Worker configuration: e2-standard-2 in us-central1-a.")
        if (folder / "workflow.tar.gz").exists():
            # As the boot program of Beam's container does.
            command = [str(self._python), "-m", "pip", "install", "--no-deps", "--no-index"]
            command += ["--no-build-isolation", "--quiet", "workflow.tar.gz"]
            subprocess.run(command, cwd=folder, env=self._environment, check=True)
        with open(folder / "log", "wb") as log:
            program = ["-c", self.sabotage] if self.sabotage else [str(_WORKER)]
            job.process = subprocess.Popen(
                [str(self._python), "-P", *program, "pipeline", "options"],
                cwd=folder,
                env=self._environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
            code = job.process.wait()
        if job.states[-1] == "JOB_STATE_CANCELLING":
            job.enter("JOB_STATE_CANCELLED")
        elif code == 0:
            job.tell("DETAILED", "Workers have been stopped.")
            job.enter("JOB_STATE_DONE")
        else:
            job.tell("ERROR", (folder / "log").read_text())
            job.enter("JOB_STATE_FAILED")

    def _download(self, bucket: str, key: str) -> bytes:
        path = f"/download/storage/v1/b/{bucket}/o/{urllib.parse.quote(key, safe='')}?alt=media"
        with urllib.request.urlopen(self._storage_url + path, timeout=30) as answer:
            return answer.read()


@contextmanager
def serving(service: FakeDataflow) -> Iterator[FakeDataflow]:
    """Serves the API on loopback; ends the jobs that run still."""

    class Handler(_Handler):
        fake = service

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    service.url = f"http://localhost:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()
        for job in service.jobs.values():
            if job.process is not None:
                job.process.kill()
                job.process.wait()


class _Handler(http.server.BaseHTTPRequestHandler):
    fake: FakeDataflow

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def do_PUT(self) -> None:
        self._answer("PUT")

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, method: str) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            answer = self._route(method, json.loads(body or b"{}"))
            code = HTTPStatus.OK
        except ApiError as error:
            answer, code = error.body, error.code
        data = json.dumps(answer).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _route(self, method: str, body: dict[str, Any]) -> dict[str, Any]:
        match = re.fullmatch(_JOBS + r"(/(?P<id>[^/]+)(/(?P<part>\w+))?)?", self.path.split("?")[0])
        if match is None:
            raise ApiError(HTTPStatus.NOT_FOUND, "NOT_FOUND", self.path)
        match method, match["id"], match["part"]:
            case "POST", None, None:
                return self.fake.create(body)
            case "GET", str(job_id), None:
                return self.fake.find(job_id).resource
            case "PUT", str(job_id), None:
                return self.fake.update(job_id, body)
            case "GET", str(job_id), "messages":
                return {"jobMessages": self.fake.find(job_id).messages}
            case "GET", str(job_id), "metrics":
                self.fake.find(job_id)
                return {"metricTime": _now(), "metrics": []}
        raise ApiError(HTTPStatus.METHOD_NOT_ALLOWED, "UNIMPLEMENTED", f"{method} {self.path}")


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Waits until something holds.

    Raises:
        AssertionError: it doesn't, in that time.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)
