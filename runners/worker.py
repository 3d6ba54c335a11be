"""A worker process: Beam's own, made to keep quiet and to end with its parent.

Beam's logs its life at length to the terminal, and a driver or task manager that is killed leaves
its workers to run on.
"""

import argparse
import logging
import os
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

_POLL_SECONDS = 0.5


def _end_with(parent: int) -> None:
    """Ends this process once its parent has: an orphan is handed to another."""
    while os.getppid() == parent:
        time.sleep(_POLL_SECONDS)
    os._exit(1)


def serve(parent: int) -> None:
    """Runs the worker until the runner has no more for it to do.

    Args:
        parent: the process that started this one, which doesn't outlive it.
    """
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    # A root logger without a handler would be given one that writes to stderr. Records still go to
    # the runner, which shows errors.
    logging.getLogger().addHandler(logging.NullHandler())
    from apache_beam.runners.worker import sdk_worker_main

    sdk_worker_main.main(sys.argv)
    # Beam leaves threads behind, which can abort an interpreter that shuts down in order.
    os._exit(0)


def environment(
    worker_id: str, control: Any, logging_service: Any, pipeline_options: Any
) -> dict[str, str]:
    """What Beam's worker reads from its environment: who it is, and which runner's.

    Args:
        worker_id: by which the runner knows it.
        control: an `ApiServiceDescriptor` of Beam's.
        logging_service: likewise.
        pipeline_options: a `Struct` of protobuf.
    """
    from google.protobuf import json_format, text_format

    return {
        "WORKER_ID": worker_id,
        "CONTROL_API_SERVICE_DESCRIPTOR": text_format.MessageToString(control),
        "LOGGING_API_SERVICE_DESCRIPTOR": text_format.MessageToString(logging_service),
        "PIPELINE_OPTIONS": json_format.MessageToJson(pipeline_options),
    }


def provision(endpoint: str, worker_id: str, timeout: float | None = None) -> Any:
    """Asks a runner what a worker of its is to know: Beam's `ProvisionInfo`.

    Raises:
        grpc.RpcError: It doesn't answer, or not within `timeout` seconds.
    """
    import grpc
    from apache_beam.portability.api import beam_provision_api_pb2, beam_provision_api_pb2_grpc

    with grpc.insecure_channel(endpoint) as channel:
        return (
            beam_provision_api_pb2_grpc.ProvisionServiceStub(channel)
            .GetProvisionInfo(
                beam_provision_api_pb2.GetProvisionInfoRequest(),
                metadata=[("worker_id", worker_id)],
                timeout=timeout,
            )
            .info
        )


def start(arguments: Sequence[str]) -> None:
    """Runs a worker for whoever started this process, as Beam's boot program does in containers.

    That one lists all packages twice before it starts Python, which takes seconds. But it installs
    those that were sent along.

    Args:
        arguments: `--id` of the worker, and the address of the runner's `--provision_endpoint`.
    """
    parent = os.getppid()
    parser = argparse.ArgumentParser(prog="start_worker", allow_abbrev=False)
    parser.add_argument("--id", required=True)
    parser.add_argument("--provision_endpoint", required=True)
    flags, _ = parser.parse_known_args(arguments)

    info = provision(flags.provision_endpoint, flags.id)
    services = info.control_endpoint, info.logging_endpoint
    os.environ |= environment(flags.id, *services, info.pipeline_options)
    os.environ["RUNNER_CAPABILITIES"] = " ".join(info.runner_capabilities)
    serve(parent)


if __name__ == "__main__":  # for the process with the given id, which sets the environment
    serve(int(sys.argv[1]))
