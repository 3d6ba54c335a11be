"""Object stores on loopback: moto's S3 and gcp-storage-emulator, each in an environment of its own.

Their pins conflict with the project's. The environments are made once, below `.venv`.
"""

import fcntl
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

import pytest

from transforms.storage.stores import ObjectOptions

_FOLDER = Path(__file__).parents[1] / ".venv" / "emulators"
# `moto[server]` would bring what all of Amazon's services need, and take twice as long.
_MOTO = ("moto[s3]>=5,<6", "flask>=3,<4", "flask-cors>=5,<7")
_GCS_EMULATOR = ("gcp-storage-emulator>=2024.8.3",)
_GCS = Path(__file__).with_name("gcs_xml.py")
_READY_SECONDS = 60


class ObjectServer(Protocol):
    """A server of objects: where it listens, and how tests put things there."""

    url: str

    def make_bucket(self, bucket: str) -> None: ...

    def put(self, bucket: str, key: str, data: bytes) -> None: ...


class S3Server(NamedTuple):
    url: str

    def make_bucket(self, bucket: str) -> None:
        _send("PUT", f"{self.url}/{bucket}")

    def put(self, bucket: str, key: str, data: bytes, public: bool = True) -> None:
        """Puts an object, which any may read, or just those with credentials."""
        headers = {
            "Content-Type": "image/jpeg",
            "x-amz-acl": "public-read" if public else "private",
        }
        _send("PUT", f"{self.url}/{bucket}/{urllib.parse.quote(key)}", data, headers)


class GcsServer(NamedTuple):
    url: str

    def make_bucket(self, bucket: str) -> None:
        body = f'{{"name": "{bucket}"}}'.encode()
        _send("POST", f"{self.url}/storage/v1/b", body, {"Content-Type": "application/json"})

    def put(self, bucket: str, key: str, data: bytes) -> None:
        url = f"{self.url}/{bucket}/{urllib.parse.quote(key)}"
        _send("PUT", url, data, {"Content-Type": "image/jpeg"})


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """An empty S3, which takes any credentials."""
    python = made_once("moto", _MOTO, _install) / "python"
    port = _free_port()
    command = [str(python), "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with _running(command, port, tmp_path_factory.mktemp("moto")) as url:
        yield S3Server(url)


@pytest.fixture(scope="session")
def gcs_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GcsServer]:
    """An empty Google Cloud Storage; its `url` is what STORAGE_EMULATOR_HOST wants."""
    python = made_once("gcs", _GCS_EMULATOR, _install) / "python"
    port = _free_port()
    command = [str(python), str(_GCS), "start", "--host", "127.0.0.1", "--port", str(port), "-M"]
    command.append("-q")
    with _running(command, port, tmp_path_factory.mktemp("gcs")) as url:
        yield GcsServer(url)


def forget_credentials(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """Hides whatever credentials, endpoints and metadata services the environment names."""
    for name in os.environ:
        if name.startswith(("AWS_", "GOOGLE_", "GCE_")) or name == "STORAGE_EMULATOR_HOST":
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("GCE_METADATA_HOST", "127.0.0.1:9")


@pytest.fixture
def store_options(
    s3_server: S3Server, gcs_server: GcsServer, monkeypatch: pytest.MonkeyPatch
) -> ObjectOptions:
    """How both are reached."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs_server.url)
    return ObjectOptions(s3_endpoint_url=s3_server.url)


def made_once(
    name: str, requirements: tuple[str, ...], make: Callable[[Path, tuple[str, ...]], object]
) -> Path:
    """The folder of an environment's programs; made first unless it stands as required."""
    folder = _FOLDER / name
    _FOLDER.mkdir(parents=True, exist_ok=True)
    with open(f"{folder}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        installed = folder / "installed"
        if not installed.exists() or installed.read_text() != "\n".join(requirements):
            shutil.rmtree(folder, ignore_errors=True)
            make(folder, requirements)
            installed.write_text("\n".join(requirements))
    return folder / "bin"


def _install(folder: Path, requirements: tuple[str, ...]) -> None:
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, *requirements], check=True)


@contextmanager
def _running(command: list[str], port: int, folder: Path) -> Iterator[str]:
    """Runs a server and waits until it answers; gives its URL, and ends it afterwards."""
    url = f"http://127.0.0.1:{port}"
    log = folder / "log"
    with open(log, "wb") as out:
        server = subprocess.Popen(command, cwd=folder, stdout=out, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + _READY_SECONDS
        while not _answers(url):
            assert server.poll() is None, f"{command[0]} ended: {log.read_text()}"
            assert time.monotonic() < deadline, f"{command[0]} doesn't answer: {log.read_text()}"
            time.sleep(0.1)
        yield url
    finally:
        server.terminate()
        try:
            server.wait(5)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def _send(
    method: str, url: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> None:
    request = urllib.request.Request(url, data=body, headers=headers or {}, method=method)
    with urllib.request.urlopen(request, timeout=30):
        pass
