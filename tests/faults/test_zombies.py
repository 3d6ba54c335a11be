"""Who was taken for dead and comes back when another has published changes nothing."""

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from open_images.building import plan
from pipelines.cli import build_flags
from tests.faults.conftest import Target
from tests.faults.launcher import Fault
from tests.faults.test_matrix import cells, place
from tests.releases.test_publish import ROWS, commit, write_part
from transforms.releases import heartbeat, lease, workspace
from transforms.releases.lease import LostLeaseError
from transforms.releases.publication import Publication
from transforms.releases.shards import plan_shards, seal_shard
from transforms.storage import conditional


@pytest.fixture
def short_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases expire at once, for those who come now."""
    monkeypatch.setattr(heartbeat, "EXPIRY_SECONDS", -2.0)
    monkeypatch.setattr(lease, "EXPIRY_SECONDS", 0.5)
    monkeypatch.setattr(lease, "RENEWAL_SECONDS", 0.2)
    monkeypatch.setattr(lease, "POLL_SECONDS", 0.1)


@cells("bucket, verify, rename, pointer")
def test_a_build_that_was_stopped_and_goes_on(
    target: Target, phase: str, whole: dict[str, str], short_leases: None
):
    was = target.latest()
    with target.reader() as reader:
        zombie = target.launch(Fault("stop", place(target, phase)), quick=True)
        zombie.wait_for(zombie.is_stopped)
        reader.read()
        built = target.build("--wait", "30")
        assert built.returncode == 0, built.stderr
        assert f"taking over from a build that gives no sign of life (process {zombie.pid} on " in (
            built.stderr
        )
        published = target.latest()
        after = target.content()
        zombie.go_on()
        assert zombie.wait() == 1, zombie.said
        line = zombie.said.splitlines()[-1]
        assert f"has taken over {target.path}; nothing was published by this one" in line
        assert "Traceback" not in zombie.said
        assert target.content() == after
        reader.read()
    assert reader.wrong == []
    assert reader.seen == [was, published]
    if phase == "pointer":  # its version was whole and in its place, and isn't named
        assert len({name.split("/")[1] for name in after if name.startswith("versions/")}) == 3
    target.assert_clean(whole)


def sealed(target: Target, work: str, token: str, name: str) -> tuple[Publication, list]:
    """A build whose shards are sealed and not yet published."""
    path = target.folder / "train-labels.csv"
    rows = (f"{i:016x},machine,/m/01,1\n" for i in range(ROWS))
    path.write_text("ImageID,Source,LabelName,Confidence\n" + "".join(rows))
    endpoint = target.options.s3_endpoint_url
    given = ["--annotations", str(path), "--images", "none", "--output", target.path]
    given += ["--s3_endpoint_url", endpoint] if endpoint else []
    config = plan.make_plan(build_flags.parse(given)[0], work)
    config = dataclasses.replace(config, version=name, lease=token)
    folder = target.folder / name
    folder.mkdir()
    parts = [write_part(folder, form, 0) for form in ("parquet", "tfrecord")]
    plans = plan_shards(parts, 1 << 20)
    settings = (config.version_folder, config.settings, config.object_options)
    return config, [seal_shard(each, *settings) for each in plans]


@contextlib.contextmanager
def to_commit(target: Target, name: str) -> Iterator[tuple[Publication, list]]:
    """A build up to its commit, and to its end."""
    with (
        lease.hold(target.path, 0, target.options, lambda _: None) as held,
        workspace.workspace(
            target.path,
            options=target.options,
            shares_files=False,
            fingerprint="",
            token=held.token,
        ) as (work, _),
    ):
        yield sealed(target, work, held.token, name)


@pytest.mark.parametrize("target", ["local", "s3"], indirect=True)
@pytest.mark.parametrize("at", ["first", "second", "pointer"])
def test_a_commit_that_an_engine_tried_twice(
    target: Target, at: str, monkeypatch: pytest.MonkeyPatch
):
    """One attempt sleeps while the other ends, and while the next build publishes."""
    after: dict[str, bytes] = {}

    def sleep() -> None:
        monkeypatch.undo()
        # The other attempt, with which the build ends; and the next build.
        commit(*attempt)
        this.close()
        with to_commit(target, "next") as other:
            commit(*other)
        after.update(target.content())

    checks = iter(range(1, 9))
    check, replace, write = lease.check, os.replace, conditional.write

    def check_then_sleep(*arguments: Any) -> None:
        check(*arguments)
        if next(checks) == (1 if at == "first" else 2):
            sleep()

    def sleep_then(path: str, function: Callable) -> Callable:
        def slept(*arguments: Any) -> Any:
            if any(str(each).endswith(path) for each in arguments[:2]):
                sleep()
            return function(*arguments)

        return slept

    this = contextlib.ExitStack()
    attempt = this.enter_context(to_commit(target, "this"))
    if at == "pointer":
        monkeypatch.setattr(os, "replace", sleep_then("/output/latest", replace))
        monkeypatch.setattr(conditional, "write", sleep_then("/latest", write))
    else:
        monkeypatch.setattr(lease, "check", check_then_sleep)
    with pytest.raises((LostLeaseError, FileNotFoundError)):
        commit(*attempt)
    assert after
    assert target.content() == after
    assert target.latest() == "next"
