"""The lease on an output: who has it, who waits, and who takes it over."""

import json
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines import versions
from tests.builds import run_build
from tests.faults.conftest import Target
from tests.faults.launcher import Fault
from tests.faults.test_matrix import LOCAL
from transforms.releases import heartbeat, lease
from transforms.releases.lease import Owner, path_of, read_owner
from transforms.storage import files, objects

ELSEWHERE = Owner("0" * 32, f"not-{socket.gethostname()}", 1, "2026-01-01 00:00:00 UTC")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "EXPIRY_SECONDS", 1.0)
    monkeypatch.setattr(lease, "RENEWAL_SECONDS", 0.1)
    monkeypatch.setattr(lease, "POLL_SECONDS", 0.05)


def take(target: Target, wait: float = 0, told: list[str] | None = None) -> str:
    """Takes the lease for a moment; the token that it had."""
    with lease.hold(target.path, wait, target.options, (told or []).append) as held:
        now = read_owner(target.path, target.options)
        assert (now.token, now.pid) == (held.token, os.getpid())
        return held.token


def put(target: Target, owner: Owner) -> None:
    """Lets a lease be another's."""
    path = path_of(target.path)
    if target.is_remote:
        objects.upload(path, owner.encode(), target.options)
    else:
        Path(path).parent.mkdir()
        Path(path).write_bytes(owner.encode())


@pytest.mark.parametrize("target", ["local", "s3"], indirect=True)
def test_one_has_it_and_gives_it_up(target: Target):
    with lease.hold(target.path, 0, target.options, print) as held:
        with pytest.raises(lease.BusyError, match=f"process {os.getpid()} on "):
            take(target)
        assert read_owner(target.path, target.options).token == held.token
    assert take(target) != held.token
    assert ".work" not in {name.split("/")[0] for name in target.content()}


@pytest.mark.parametrize("target", ["local", "s3"], indirect=True)
def test_of_another_machine(target: Target, quick: None, monkeypatch: pytest.MonkeyPatch):
    """Whose lock can't be seen here, and whose signs of life can."""
    put(target, ELSEWHERE)
    with pytest.raises(lease.BusyError, match=f"process 1 on not-{socket.gethostname()}"):
        take(target)
    assert not lease.is_abandoned(target.path, target.options)
    assert not lease.remove_abandoned(target.path, target.options)
    if target.is_remote:
        monkeypatch.setattr(heartbeat, "EXPIRY_SECONDS", -2.0)
    else:
        os.utime(path_of(target.path), (0, 0))
    assert lease.is_abandoned(target.path, target.options)
    assert read_owner(target.path, target.options) == ELSEWHERE
    assert lease.remove_abandoned(target.path, target.options)
    assert read_owner(target.path, target.options) is None


@pytest.mark.parametrize("seconds", [-86400, 86400])
def test_a_clock_that_jumps_takes_no_lease_away(local: Target, quick: None, seconds: int):
    """Its file's time is far off between two renewals, in either direction."""
    path = path_of(local.path)
    stopped = threading.Event()

    def jump() -> None:
        while not stopped.wait(0.03):
            time = os.stat(path).st_mtime + seconds
            os.utime(path, (time, time))

    with lease.hold(local.path, 0, local.options, print) as held:
        thread = threading.Thread(target=jump)
        thread.start()
        other = threading.Timer(1, stopped.set)
        other.start()
        with pytest.raises(lease.BusyError):
            take(local)
        other.join()
        thread.join()
        assert read_owner(local.path, local.options).token == held.token


def test_waiting_for_the_same_build(local: Target, whole: dict[str, str]):
    go = local.folder / "go"
    first = local.launch(Fault("wait", LOCAL["bucket"], str(go)))
    first.wait_for(go.with_suffix(".reached").exists)
    threading.Timer(0.5, go.touch).start()
    second = local.build("--wait", "60")
    assert (second.returncode, second.stderr.count("\n")) == (0, 1)
    assert f"waiting for another build (process {first.pid} on " in second.stderr
    assert second.stdout.startswith("unchanged: ")
    assert first.wait() == 0
    local.assert_clean(whole)


def test_what_a_scheduler_is_told(local: Target, tmp_path: Path):
    figures = tmp_path / "figures.prom"
    with lease.hold(local.path, 0, local.options, print):
        built = local.build("--report", "json", "--metrics_file", str(figures))
    assert built.returncode == 3
    report = json.loads(built.stdout)
    assert (report["outcome"], report["exit_code"], report["version"]) == ("busy", 3, None)
    assert not figures.exists()  # which are those of the build that is at work


def test_unchanged_needs_no_lease(local: Target, before: Path, inputs: list[str]):
    with lease.hold(local.path, 0, local.options, print):
        built = run_build(*inputs, "--format", "parquet", "--output", local.path)
    assert (built.returncode, built.stdout.split(":")[0]) == (0, "unchanged")


@pytest.mark.parametrize("target", ["local", "s3"], indirect=True)
def test_other_commands_beside_a_build(
    target: Target, capfd: pytest.CaptureFixture[str], tmp_path: Path
):
    name = target.latest()
    endpoint = target.options.s3_endpoint_url
    more = ["--s3_endpoint_url", endpoint] if endpoint else []
    go = tmp_path / "go"
    run: Callable = lambda *words: versions.main([target.path, *words, *more])  # noqa: E731
    built = target.launch(Fault("wait", LOCAL["bucket"], str(go)))
    built.wait_for(go.with_suffix(".reached").exists)
    assert run("gc", "--keep", "1") == run("pin", name) == run("rollback", name) == 0
    assert run("gc", "--keep", "1", "--dry_run") == 0
    assert "dead build" not in capfd.readouterr().out
    go.touch()
    assert built.wait() == 0, built.said
    assert target.latest() != name
    assert files.read_file(f"{target.path}/versions/{name}/manifest.json", target.options)


def test_a_torn_lease(local: Target):
    Path(local.path, ".work").mkdir()
    Path(path_of(local.path)).write_bytes(b'{"token')
    assert take(local)
    assert sorted(os.listdir(local.path)) == ["README.md", "latest", "versions"]
