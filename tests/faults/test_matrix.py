"""Each phase of a build by each fault, on a local disk and in an S3.

A reader polls throughout, and must have seen whole versions alone; the next build must succeed with
the bytes of an undisturbed one; and after `gc` nothing may be left but versions, `latest`, and the
dataset card, which names the same.

| phase            | kill -9 | exception | disk full | permission | clock | two builders |
| ---------------- | ------- | --------- | --------- | ---------- | ----- | ------------ |
| beginning        |         |           |           |            | L S   |              |
| read             | L S     | L S       | L         |            |       | L            |
| exchange         | L S     | L S       | L         | L          |       |              |
| bucket           | L S     | L S       |           | L   S      | L     | L   S        |
| write            | L S     | L S       | L   S     |            |       |              |
| verify           | L S     | L S       | L         | L          |       | L            |
| rename, manifest | L S     | L S       | L         | L          | L     |              |
| pointer          | L S     | L S       | L   S     | L   S      |       | L   S        |
| after it         | L S     | L S       |           |            |       |              |

L: local disk, S: S3. A slow disk and a slow store are slow from the beginning to the end. In a
store a full disk and a lost permission are its answers, by a proxy. Empty fields: nothing is
written in that phase (to read, to join), or a neighbour's is the same request.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.emulators import S3Server
from tests.faults import proxy
from tests.faults.conftest import BUCKET, Target, in_store
from tests.faults.launcher import Fault, Place
from tests.serving import served
from transforms.examples.join import join
from transforms.exchange.shuffle import encode_fragments
from transforms.exchange.spills import write_spill
from transforms.formats.part import StoredPart
from transforms.formats.tfrecord.writer import TFRecordWriter
from transforms.kinds.reading.text import parse_block
from transforms.releases import heartbeat, lease
from transforms.releases.commit import write_metadata
from transforms.storage import conditional, files
from transforms.storage.stores import ObjectOptions

LOCAL = {
    "read": Place(parse_block),
    "exchange": Place(write_spill),
    "bucket": Place(join),
    "write": Place(TFRecordWriter.write),
    "verify": Place(StoredPart.read),
    "rename": Place(os.rename, of="/output/versions/"),
    "pointer": Place(os.replace, of="/output/latest"),
    "after it": Place(os.replace, of="/output/latest", after=True),
}
STORE = LOCAL | {
    "exchange": Place(encode_fragments),
    "rename": Place(lease.check, after=True),
    "pointer": Place(conditional.write, of="/latest"),
    "after it": Place(conditional.write, of="/latest", after=True),
}

#: Where a local disk is written to in phases that else are but renames.
WRITTEN = {
    "rename": Place(write_metadata),
    "pointer": Place(files.write_file, of="/latest."),
}


def place(target: Target, phase: str) -> Place:
    return (STORE if target.is_remote else LOCAL)[phase]


def cells(phases: str, targets: str = "local s3") -> pytest.MarkDecorator:
    """A test for each phase and target."""
    each = [
        pytest.param(target, phase.strip(), id=f"{phase.strip()}-{target}")
        for phase in phases.split(",")
        for target in targets.split()
    ]
    return pytest.mark.parametrize(("target", "phase"), each, indirect=["target"])


def finish(
    target: Target, whole: dict[str, str], capfd: pytest.CaptureFixture[str], *, unchanged: bool
) -> None:
    """The next build, and clearing up."""
    built = target.build()
    assert built.returncode == 0, built.stderr
    assert ("unchanged" in built.stdout) == unchanged
    target.collect(capfd)
    target.assert_clean(whole)


@cells("read, exchange, bucket, write, verify, rename, pointer, after it")
def test_killed(
    target: Target,
    phase: str,
    whole: dict[str, str],
    impatient: None,
    capfd: pytest.CaptureFixture[str],
):
    was = target.latest()
    with target.reader() as reader:
        assert target.launch(Fault("kill", place(target, phase))).wait() == -9
        reader.read()
        assert (target.latest() == was) == (phase != "after it")
        finish(target, whole, capfd, unchanged=phase == "after it")
        reader.read()
    assert reader.wrong == []
    assert reader.seen == [was, target.latest()]


@cells("read, exchange, bucket, write, verify, rename, pointer, after it")
def test_an_exception(
    target: Target, phase: str, whole: dict[str, str], capfd: pytest.CaptureFixture[str]
):
    was = target.latest()
    with target.reader() as reader:
        failed = target.launch(Fault("exception", place(target, phase)))
        assert (failed.wait(), "injected" in failed.said) == (1, True), failed.said
        reader.read()
        assert (target.latest() == was) == (phase != "after it")
        now = f"{target.latest()} was published before that"
        assert ("nothing was published" in failed.said) == (phase != "after it")
        assert (now in failed.said) == (phase == "after it")
        finish(target, whole, capfd, unchanged=phase == "after it")
        reader.read()
    assert reader.wrong == []
    assert reader.seen == [was, target.latest()]


@pytest.fixture
def small_disk(local: Target) -> Iterator[Target]:
    """The same on a disk of 4 MiB."""
    disk = local.folder / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a small disk")
    shutil.copytree(local.path, disk / "output")
    yield Target(str(disk / "output"), local.flags, local.options, local.folder)
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


@cells("read, exchange, write, verify, rename, pointer", "small_disk")
def test_a_full_disk(
    target: Target, phase: str, whole: dict[str, str], capfd: pytest.CaptureFixture[str]
):
    disk = os.path.dirname(target.path)
    was = target.latest()
    at = WRITTEN.get(phase, place(target, phase))
    with target.reader() as reader:
        failed = target.launch(Fault("disk full", at, disk))
        assert (failed.wait(), "the disk is full" in failed.said) == (1, True), failed.said
        reader.read()
        assert target.latest() == was
        os.remove(f"{disk}/ballast")
        finish(target, whole, capfd, unchanged=False)
        reader.read()
    assert reader.wrong == []
    assert reader.seen == [was, target.latest()]


@cells("exchange, bucket, verify, rename, pointer", "local")
def test_a_lost_permission(
    target: Target, phase: str, whole: dict[str, str], capfd: pytest.CaptureFixture[str]
):
    was = target.latest()
    with target.reader() as reader:
        fault = Fault("permission lost", place(target, phase), target.path)
        failed = target.launch(fault, bound=True)
        assert (failed.wait(), "mind its permissions" in failed.said) == (1, True), failed.said
        reader.read()
        assert target.latest() == was
        for folder, _, _ in os.walk(target.path):
            os.chmod(folder, 0o755)
        finish(target, whole, capfd, unchanged=False)
        reader.read()
    assert reader.wrong == []
    assert reader.seen == [was, target.latest()]


@pytest.fixture
def refusing(
    s3_server: S3Server,
    store_options: ObjectOptions,
    before: Path,
    inputs: list[str],
    tmp_path: Path,
    fork_server: None,
) -> Iterator[tuple[Target, proxy.Proxy]]:
    """A store behind a proxy."""
    s3_server.make_bucket(BUCKET)
    with served(proxy.Proxy(s3_server.url, tmp_path / "refuse")) as server:
        yield in_store(server.url, before, inputs, tmp_path), server


@pytest.mark.parametrize(
    ("phase", "refusal"),
    [
        ("bucket", proxy.DENIED),
        ("pointer", proxy.DENIED),
        ("write", proxy.FULL),
        ("pointer", proxy.FULL),
    ],
)
def test_a_store_that_refuses(
    refusing: tuple[Target, proxy.Proxy],
    phase: str,
    refusal: tuple[int, str],
    whole: dict[str, str],
    impatient: None,
    capfd: pytest.CaptureFixture[str],
):
    target, server = refusing
    server.refusal = refusal
    was = target.latest()
    with target.reader() as reader:
        failed = target.launch(Fault("touch", place(target, phase), str(server.flag)))
        assert failed.wait() == 1, failed.said
        reader.read()
        assert str(refusal[0] if refusal == proxy.FULL else "denied") in failed.said
        assert "Traceback" not in failed.said
        server.flag.unlink()
        assert target.latest() == was
        finish(target, whole, capfd, unchanged=False)
        reader.read()
    assert reader.wrong == []
    assert reader.seen == [was, target.latest()]


def test_a_slow_disk(
    local: Target,
    whole: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
):
    """A build that takes longer than a lease lasts without a sign of life keeps it."""
    monkeypatch.setattr(lease, "EXPIRY_SECONDS", 1.0)
    monkeypatch.setattr(lease, "RENEWAL_SECONDS", 0.2)
    was = local.latest()
    with local.reader() as reader:
        slow = local.launch(Fault("slow disk", None), quick=True)
        slow.wait_for(lambda: os.path.exists(f"{local.path}/.work/lease"))
        time.sleep(1.2)
        assert local.build().returncode == 3
        assert slow.wait() == 0, slow.said
        reader.read()
        finish(local, whole, capfd, unchanged=True)
    assert reader.wrong == []
    assert reader.seen == [was, local.latest()]


def test_a_slow_store(
    refusing: tuple[Target, proxy.Proxy],
    whole: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
):
    target, server = refusing
    monkeypatch.setattr(heartbeat, "EXPIRY_SECONDS", 3.0)
    server.delay = 0.05
    was = target.latest()
    with target.reader() as reader:
        slow = target.launch(Fault("slow disk", None), quick=True)
        assert slow.wait() == 0, slow.said
        reader.read()
        server.delay = 0
        finish(target, whole, capfd, unchanged=True)
        reader.read()
    assert reader.wrong == []
    assert reader.seen == [was, target.latest()]


@pytest.mark.parametrize(
    ("target", "phase", "days"),
    [
        ("local", None, 1),
        ("local", None, -1),
        ("local", "bucket", 1),
        ("local", "rename", -1),
        ("s3", None, -1),
    ],
    indirect=["target"],
)
def test_a_clock_jump(
    target: Target,
    phase: str | None,
    days: int,
    whole: dict[str, str],
    capfd: pytest.CaptureFixture[str],
):
    was = target.latest()
    at = place(target, phase) if phase else None
    with target.reader() as reader:
        jumped = target.launch(Fault("clock", at, str(days * 86400)))
        assert jumped.wait() == 0, jumped.said
        reader.read()
        between = target.latest()
        # By a clock that is right again, whatever versions are called.
        built = target.build("--rebuild")
        assert built.returncode == 0, built.stderr
        finish(target, whole, capfd, unchanged=True)
        reader.read()
    assert reader.wrong == []
    assert reader.seen == [was, between, target.latest()]
    assert (between > target.latest()) == (phase is None and days > 0)


@cells("read, bucket, verify, pointer", "local")
def test_two_builders(
    target: Target, phase: str, whole: dict[str, str], capfd: pytest.CaptureFixture[str]
):
    meet(target, phase, whole, capfd)


@cells("bucket, pointer", "s3")
def test_two_builders_in_a_store(
    target: Target, phase: str, whole: dict[str, str], capfd: pytest.CaptureFixture[str]
):
    meet(target, phase, whole, capfd)


def meet(
    target: Target, phase: str, whole: dict[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    go = target.folder / "go"
    was = target.latest()
    with target.reader() as reader:
        first = target.launch(Fault("wait", place(target, phase), str(go)))
        first.wait_for(go.with_suffix(".reached").exists)
        second = target.build()
        assert (second.returncode, second.stdout) == (3, "")
        (line,) = second.stderr.splitlines()
        assert f"another build is at work on {target.path} (process {first.pid} on " in line
        # Which leaves the one that lives alone.
        target.collect(capfd)
        go.touch()
        assert first.wait() == 0, first.said
        reader.read()
        finish(target, whole, capfd, unchanged=True)
        reader.read()
    assert reader.wrong == []
    assert reader.seen == [was, target.latest()]
