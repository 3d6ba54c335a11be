"""The driver's machine: Python and its libraries, Java, ports, free space."""

import importlib.metadata
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence

from apache_beam.options.pipeline_options import JobServerOptions, PipelineOptions
from packaging.requirements import Requirement

from runners.checks import software
from runners.checks.finding import Finding, fix, ok
from runners.flink.installed import find_java
from transforms.errors import UsageError

_JAVA = (11, 21)
_OLDEST_PYTHON = (3, 11)


def check_python() -> Iterator[Finding]:
    """Python, and whether its libraries are those that the project asks for."""
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < _OLDEST_PYTHON:
        yield fix(f"Python: {version} here: 3.11 or later is needed")
    wrong = list(_wrong_libraries())
    for line in wrong:
        yield fix(f"libraries: {line}: pip install -e .")
    if not wrong:
        beam = importlib.metadata.version("apache-beam")
        yield ok(f"Python: {version} with Beam {beam} and all that the project needs")


def _wrong_libraries() -> Iterator[str]:
    for text in software.requirements():
        requirement = Requirement(text)
        try:
            version = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            yield f"{requirement.name} is missing"
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            yield f"{requirement.name} is {version}, {requirement.specifier} is needed"


def check_java() -> Finding:
    """Java, which Beam's job server for Flink needs."""
    try:
        java = find_java()
    except UsageError as error:
        return fix(f"Java: {error}")
    done = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)
    found = re.search(r'version "(?:1\.)?(\d+)[^"]*"', done.stderr)
    if done.returncode != 0 or not found:
        said = (done.stderr or done.stdout).strip().partition("\n")[0]
        return fix(f"Java: {java} doesn't run ({said}): install openjdk-17-jre-headless")
    if not _JAVA[0] <= int(found[1]) <= _JAVA[1]:
        return fix(f"Java: {java} is of version {found[1]}: install openjdk-17-jre-headless")
    return ok(f"Java: {found[1]}, {java}")


def check_ports(beam_arguments: Sequence[str]) -> Iterator[Finding]:
    """Checks the ports that were asked for, and loopback as such."""
    options = PipelineOptions(list(beam_arguments)).view_as(JobServerOptions)
    asked = {
        name: getattr(options, name) for name in ("job_port", "artifact_port", "expansion_port")
    }
    taken = [f"--{name} {port}" for name, port in asked.items() if port and not _connects(port)]
    for which in taken:
        yield fix(f"ports: {which} is in use: name another, or leave the flag out")
    if not _connects(0):
        yield fix("ports: this machine can't reach itself by localhost: see its firewall")
    elif not taken:
        yield ok("ports: free")


def _connects(port: int) -> bool:
    """Returns whether one can listen on a port of localhost and reach that."""
    try:
        with socket.create_server(("localhost", port)) as server:
            socket.create_connection(server.getsockname()[:2], timeout=5).close()
    except OSError:
        return False
    return True


def check_space(folder: str, needed: int) -> Finding:
    """Checks the free space of the work folder's file system."""
    free = shutil.disk_usage(folder).free
    gib = f"{free / (1 << 30):,.1f} GiB free in {folder}"
    if free < needed:
        return fix(
            f"space: {gib}, {needed / (1 << 30):,.1f} are wanted (--free_space): free some, or "
            "name another folder"
        )
    return ok(f"space: {gib}")
