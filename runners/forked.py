"""Beam's environment of workers that are forked by the server of `runners/fork_server.py`."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Mapping
from typing import Any, Self

from apache_beam.runners.portability.fn_api_runner.worker_handlers import (
    GrpcWorkerHandler,
    WorkerHandler,
)
from apache_beam.transforms.environments import Environment, python_sdk_capabilities
from google.protobuf import json_format, text_format

from runners import fork_server

_URN = "open_images:env:forked:v1"


@Environment.register_urn(_URN, None)
class ForkedEnvironment(Environment):
    """Workers that are forked on this machine."""

    @classmethod
    def default(cls) -> Self:
        """With what this Beam can do."""
        return cls(capabilities=python_sdk_capabilities())

    def to_runner_api_parameter(self, context: Any) -> tuple[str, None]:
        """The environment as Beam passes it on; it has no parameters."""
        return _URN, None

    @staticmethod
    def from_runner_api_parameter(
        _: None, capabilities: Any, artifacts: Any, resource_hints: Any, __: Any
    ) -> "ForkedEnvironment":
        """The environment that was passed on."""
        return ForkedEnvironment(capabilities, artifacts, resource_hints)


@WorkerHandler.register_environment(_URN, None)
class ForkedWorkerHandler(GrpcWorkerHandler):
    """Starts a worker for Beam's FnApiRunner, and waits for its end."""

    def __init__(self, _: None, state: Any, provision_info: Any, grpc_server: Any) -> None:
        super().__init__(state, provision_info, grpc_server)

    def start_worker(self) -> None:
        options = self.provision_info.provision_info.pipeline_options
        logging_service = self.logging_api_service_descriptor()
        environment = {
            "WORKER_ID": self.worker_id,
            "CONTROL_API_SERVICE_DESCRIPTOR": text_format.MessageToString(
                self.control_api_service_descriptor()
            ),
            "LOGGING_API_SERVICE_DESCRIPTOR": text_format.MessageToString(logging_service),
            "PIPELINE_OPTIONS": json_format.MessageToJson(options),
        }
        self._process = fork_server.CONTEXT.Process(target=_work, args=(environment,), daemon=True)
        self._process.start()

    def stop_worker(self) -> None:
        self._process.join()


def _work(environment: Mapping[str, str]) -> None:
    """Runs a worker in a new process until the runner has no more for it to do."""
    # An interrupt reaches all processes of a terminal; the driver is who ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_driver, daemon=True).start()
    os.environ |= environment
    from apache_beam.runners.worker import sdk_worker_main

    sdk_worker_main.main([])
    # Beam leaves threads behind, which can abort an interpreter that shuts down in order.
    os._exit(0)


def _end_with_driver() -> None:
    driver = multiprocessing.parent_process()
    assert driver is not None
    driver.join()
    os._exit(1)
