"""The doctor and what a Flink cluster says of itself; of a real one it is asked in `test_flink`."""

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines import doctor
from runners.checks import flink as checks

Serve = Callable[..., str]


def task_manager(number: int, host: str = "10.0.0.7", free: int = 1) -> dict[str, Any]:
    return {
        "id": f"{host}:4000{number}-abc",
        "path": f"pekko.tcp://flink@{host}:4000{number}/user/rpc/taskmanager_0",
        "slotsNumber": 1,
        "freeSlots": free,
    }


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serves what a job manager says of its cluster."""
    servers = []

    def start(
        version: str = "1.19.3",
        managers: tuple[dict[str, Any], ...] = (task_manager(1), task_manager(2, "10.0.0.8")),
        **configuration: str,
    ) -> str:
        named = {name.replace("__", "-"): value for name, value in configuration.items()}
        answers = {
            "/config": {"flink-version": version},
            "/taskmanagers": {"taskmanagers": managers},
            "/jobmanager/config": [{"key": key, "value": named[key]} for key in named],
        }

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200 if self.path in answers else 404)
                self.end_headers()
                self.wfile.write(json.dumps(answers.get(self.path)).encode())

            def log_message(self, *_: object) -> None:
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


RESTARTS = {"restart__strategy.type": "fixed-delay"}


def look(master: str, *more: str) -> dict[str, tuple[str, str]]:
    """Marks and texts by subject."""
    arguments = ["--runner=flink", f"--flink_master={master}", *more]
    flags, beam_arguments = doctor.parse(arguments)
    found = checks.check_flink(flags, beam_arguments)
    return {finding.subject: (finding.mark, finding.text) for finding in found}


def test_a_cluster_that_is_well(serve: Serve):
    found = look(serve(**RESTARTS))
    assert {mark for mark, _ in found.values()} == {"ok"}
    assert set(found) == {"job server", "Flink", "slots", "restarts", "environment"}


@pytest.mark.parametrize(
    ("cluster", "flags", "subject", "expected"),
    [
        ({"version": "1.20.1"}, (), "Flink", "the cluster is 1.20.1, the job server for 1.19"),
        ({"managers": ()}, (), "slots", "no task manager"),
        ({}, ("--parallelism=3",), "slots", "3 are wanted"),
        ({}, ("--num_workers=3",), "slots", "the cluster has 2"),
        ({"managers": (task_manager(1, free=0),)}, (), "slots", "0 of 1 are free"),
        ({}, ("--environment_type=LOOPBACK",), "environment", "LOOPBACK runs workers here"),
        (
            {"managers": (task_manager(1), task_manager(2))},
            ("--environment_type=EXTERNAL", "--environment_config=localhost:50000"),
            "environment",
            "2 task managers on 10.0.0.7 share the worker pool localhost:50000",
        ),
    ],
)
def test_a_cluster_that_is_not(
    serve: Serve, cluster: dict[str, Any], flags: tuple[str, ...], subject: str, expected: str
):
    found = look(serve(**cluster, **RESTARTS), *flags)
    mark, text = found.pop(subject)
    assert mark == "fix"
    assert expected in text
    assert {mark for mark, _ in found.values()} == {"ok"}


def test_one_pool_beside_each_task_manager(serve: Serve):
    pool = ("--environment_type=EXTERNAL", "--environment_config=localhost:50000")
    assert look(serve(**RESTARTS), *pool)["environment"][0] == "ok"


@pytest.mark.parametrize("configuration", [{}, {"restart__strategy.type": "none"}])
def test_a_cluster_that_does_not_restart(serve: Serve, configuration: dict[str, str]):
    mark, text = look(serve(**configuration))["restarts"]
    assert mark == "fix"
    assert "restart-strategy.type: exponential-delay" in text


def test_a_cluster_that_is_not_there():
    mark, text = look("localhost:1")["Flink"]
    assert mark == "fix"
    assert "check --flink_master" in text


def test_a_jar_that_is_no_job_server(serve: Serve, tmp_path: Path):
    jar = tmp_path / "some.jar"
    jar.write_bytes(b"PK")
    mark, text = look(serve(**RESTARTS), f"--flink_job_server_jar={jar}")["job server"]
    assert mark == "fix"
    assert "run 'make flink'" in text


def test_a_job_server_that_does_not_answer(serve: Serve):
    mark, text = look(serve(**RESTARTS), "--job_endpoint=localhost:1")["job server"]
    assert mark == "fix"
    assert "doesn't answer" in text
