"""A Flink cluster, as its REST API and the job server's jar tell of it."""

import ipaddress
import re
import socket
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from apache_beam.options.pipeline_options import (
    FlinkRunnerOptions,
    PipelineOptions,
    PortableOptions,
)

from runners.checks.finding import Finding, fix, ok, skip
from runners.flink import installed
from runners.flink.rest import Rest, RestError
from runners.launch import RunnerFlags

_EMBEDDED = ("[local]", "[auto]")
_RUNNER = re.compile(r"META-INF/maven/org\.apache\.beam/beam-runners-flink-([\d.]+)/")
_HOST = re.compile(r"@\[?([^]/]+?)\]?:\d+")


def check_flink(flags: RunnerFlags, beam_arguments: Sequence[str]) -> Iterator[Finding]:
    """Checks the job server and, where there is one, the cluster."""
    options = PipelineOptions(list(beam_arguments))
    flink = options.view_as(FlinkRunnerOptions)
    endpoint = options.view_as(PortableOptions).job_endpoint
    if endpoint:
        yield _check_endpoint(endpoint)
    jar = flink.flink_job_server_jar or str(installed.JOB_SERVER)
    made_for = None if endpoint or "://" in jar else _flink_of(jar)
    if not endpoint and "://" not in jar:
        if made_for:
            yield ok(f"job server: {jar}, for Flink {made_for}")
        else:
            yield fix(
                f"job server: {jar} is no job server of Beam for Flink: run 'make flink', or name "
                "one with --flink_job_server_jar"
            )
    if flink.flink_master in _EMBEDDED:
        yield skip("Flink: inside the job server; for a cluster give --flink_master HOST:PORT")
        return
    rest = Rest(flink.flink_master)
    try:
        version, managers = rest.version(), rest.task_managers()
        configuration = rest.configuration()
    except RestError as error:
        yield fix(
            f"Flink: {error}: check --flink_master, or start a cluster with "
            "'python -m runners.flink.cluster up'"
        )
        return
    yield _check_version(version, made_for)
    yield from _check_slots(flags, flink.parallelism, managers)
    yield _check_restarts(configuration)
    yield from _check_environment(options.view_as(PortableOptions), managers)


def _check_endpoint(endpoint: str) -> Finding:
    host, _, port = endpoint.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, ValueError) as error:
        return fix(f"job server: --job_endpoint {endpoint} doesn't answer ({error}): start it")
    return ok(f"job server: {endpoint} answers")


def _flink_of(jar: str) -> str | None:
    """Returns the version of Flink that a job server is for; None if it is none."""
    try:
        with zipfile.ZipFile(jar) as archive:
            found = [_RUNNER.match(name) for name in archive.namelist()]
    except (OSError, zipfile.BadZipFile):
        return None
    return next((match[1] for match in found if match), None)


def _check_version(version: str, made_for: str | None) -> Finding:
    if made_for and not f"{version}.".startswith(f"{made_for}."):
        return fix(
            f"Flink: the cluster is {version}, the job server for {made_for}: jobs would fail when "
            "they are submitted: take a cluster or a job server of the same version"
        )
    return ok(f"Flink: {version}")


def _check_slots(
    flags: RunnerFlags, parallelism: int, managers: list[dict[str, Any]]
) -> Iterator[Finding]:
    slots = sum(manager["slotsNumber"] for manager in managers)
    free = sum(manager["freeSlots"] for manager in managers)
    wanted = max(parallelism or 0, flags.num_workers or 0) or slots
    if not slots:
        yield fix("slots: the cluster has no task manager: start some, or see why they don't come")
    elif wanted > slots:
        yield fix(
            f"slots: {wanted} are wanted (--parallelism, --num_workers) and the cluster has "
            f"{slots}: the job would wait for them and fail: ask for {slots}, or start more"
        )
    elif wanted > free:
        yield fix(
            f"slots: {wanted} are wanted, {free} of {slots} are free: wait for the other jobs, or "
            "ask for fewer by --num_workers"
        )
    else:
        yield ok(f"slots: {free} of {slots} free, in {len(managers)} task managers")


def _check_restarts(configuration: dict[str, str]) -> Finding:
    kind = configuration.get("restart-strategy.type", configuration.get("restart-strategy", "none"))
    if kind in ("none", "off", "disable"):
        return fix(
            "restarts: the cluster has no restart strategy, and that of a job isn't minded: the "
            "loss of one task manager fails the build: set restart-strategy.type: "
            "exponential-delay, restart-strategy.exponential-delay.attempts-before-reset-backoff: 3"
        )
    return ok(f"restarts: {kind}")


def _check_environment(
    options: PortableOptions, managers: list[dict[str, Any]]
) -> Iterator[Finding]:
    """What is known to hang, by the kind of the workers' environment."""
    kind = (options.environment_type or "PROCESS").upper()
    hosts = Counter(_host_of(manager) for manager in managers)
    if kind == "EXTERNAL" and _is_local(options.environment_config or ""):
        for host, count in hosts.items():
            if count > 1:
                yield fix(
                    f"environment: {count} task managers on {host} share the worker pool "
                    f"{options.environment_config}, and would stop each other's workers: one pool "
                    "a task manager, or --environment_type PROCESS"
                )
                return
    if kind == "LOOPBACK" and not all(_is_here(host) for host in hosts):
        yield fix(
            "environment: LOOPBACK runs workers here, where task managers elsewhere don't find "
            "them: --environment_type PROCESS, or EXTERNAL with a pool beside each task manager"
        )
        return
    yield ok(f"environment: {kind} on {', '.join(sorted(hosts))}")


def _host_of(manager: dict[str, Any]) -> str:
    match = _HOST.search(manager["path"])
    return match[1] if match else manager["id"]


def _is_local(address: str) -> bool:
    return bool(re.search(r"\b(localhost|127\.0\.0\.1)\b|\[::1\]", address))


def _is_here(host: str) -> bool:
    """Returns whether a host is this machine."""
    try:
        address = ipaddress.ip_address(socket.gethostbyname(host))
        if address.is_loopback:
            return True
        with socket.socket() as probe:
            probe.bind((str(address), 0))  # which only one's own addresses allow
    except (OSError, ValueError):
        return False
    return True
