"""Pictures by an image list, over HTTP."""

import signal
import subprocess
import sys
import threading
import time
from itertools import count
from pathlib import Path

import pytest

from open_images.downloading.parallel import for_each
from tests.downloading import server as servers
from tests.downloading.conftest import IDS, Run, encoded, failures, picture
from tests.downloading.server import Server


def test_gets_pictures(run: Run, server: Server, listed: list[str], output: Path):
    result = run(*listed)
    assert result.code == 0, result.err
    assert "10 pictures downloaded, 0 were there, 0 missing, 0 failed" in result.out
    for image_id in IDS:
        path = output / "images" / "train" / f"{image_id}.jpg"
        assert path.read_bytes() == picture(image_id)
    assert sorted(path.name for path in output.iterdir()) == ["images"]
    assert "0 pictures downloaded, 10 were there" in run(*listed).out
    assert sum(map(len, server.requests.values())) == 10


def test_what_cannot_be_had_is_listed(run: Run, server: Server, listed: list[str], output: Path):
    lost = {i: server.files.pop(f"/train/{i}.jpg") for i in (IDS[7], IDS[3])}
    result = run(*listed)
    assert result.code == 1
    assert "2 of 10 pictures are missing or failed (20.00%)" in result.err
    assert "8 pictures downloaded, 0 were there, 2 missing, 0 failed" in result.out
    assert failures(output) == dict.fromkeys(
        (f"train/{IDS[3]}", f"train/{IDS[7]}"), ("missing", "404")
    )
    assert len(server.requests[f"/train/{IDS[3]}.jpg"]) == 1
    result = run(*listed, "--max_failure_rate", "0.2")
    assert result.code == 0
    assert f"those that can't be had are listed in {output}/failures.csv" in result.out
    server.files |= {f"/train/{image_id}.jpg": data for image_id, data in lost.items()}
    assert "2 pictures downloaded, 8 were there" in run(*listed).out
    assert sorted(path.name for path in output.iterdir()) == ["images"]


@pytest.mark.parametrize("name", ["images/train/{}.jpg.part", "failures.csv.part", ".download"])
def test_links_of_foreseeable_names_are_not_followed(
    run: Run, server: Server, listed: list[str], output: Path, tmp_path: Path, name: str
):
    """In a folder where others may write, too."""
    victim = tmp_path / "victim"
    victim.write_text("ours")
    link = output / name.format(IDS[5])
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(victim)
    server.files.pop(f"/train/{IDS[3]}.jpg")
    result = run(*listed)
    if link.name == "failures.csv.part":  # which is removed, as what a killed run has left
        assert not (output / "failures.csv").is_symlink()
    else:
        assert result.code in (1, 2)
        assert "is a link" in result.err
    assert victim.read_text() == "ours"


def test_a_placeholder_is_missing(run: Run, server: Server, listed: list[str], output: Path):
    server.behaviours[f"/train/{IDS[2]}.jpg"] = [
        servers.fail(302, Location="/images/photo_unavailable.png")
    ]
    server.files["/images/photo_unavailable.png"] = encoded("PNG")
    assert "9 pictures downloaded, 0 were there, 1 missing" in run(*listed).out
    assert failures(output)[f"train/{IDS[2]}"][0] == "missing"


def test_what_can_pass_is_tried_again(run: Run, server: Server, listed: list[str]):
    for image_id, behaviour in zip(
        IDS,
        [servers.drop(100), servers.fail(503, Retry_After="0"), servers.stall(50), servers.drip],
        strict=False,
    ):
        server.behaviours[f"/train/{image_id}.jpg"] = [behaviour]
    result = run(*listed, "--timeout", "0.3")
    assert result.code == 0, result.err
    assert sum(map(len, server.requests.values())) == 14


def test_what_is_no_picture_fails(run: Run, server: Server, listed: list[str], output: Path):
    server.files[f"/train/{IDS[4]}.jpg"] = b"<html>Gone</html>"
    server.files[f"/train/{IDS[6]}.jpg"] = picture(IDS[6])[:200]
    server.behaviours[f"/train/{IDS[5]}.jpg"] = [servers.fail(403)]
    result = run(*listed)
    assert result.code == 1
    assert "7 pictures downloaded, 0 were there, 0 missing, 3 failed" in result.out
    assert f"train/{IDS[4]}: not_image: " in result.err
    reasons = {image: reason for image, (reason, _) in failures(output).items()}
    assert reasons == {
        f"train/{IDS[4]}": "not_image",
        f"train/{IDS[5]}": "http_status",
        f"train/{IDS[6]}": "truncated",
    }
    assert len(list((output / "images" / "train").iterdir())) == 7


def test_private_hosts_are_refused(run: Run, server: Server, listed: list[str], output: Path):
    result = run(*listed[:-1])
    assert result.code == 1
    assert "10 were on addresses for --allow_private_hosts" in result.err
    assert failures(output)[f"train/{IDS[0]}"][0] == "blocked_address"
    assert not server.requests


def test_servers_that_refuse_all_are_given_up(
    run: Run, server: Server, listed: list[str], output: Path
):
    ids = [f"{i:016x}" for i in range(600)]
    Path(listed[1]).write_text("\n".join(f"train/{image_id}" for image_id in ids))
    for image_id in ids:
        server.behaviours[f"/train/{image_id}.jpg"] = [servers.fail(401)]
    result = run(*listed)
    assert result.code == 1
    assert "512 pictures failed, the last with http_status: 401" in result.err
    assert sum(map(len, server.requests.values())) == 512
    assert len(failures(output)) == 512


def test_splits_narrow_a_list_and_kinds_add_files(run: Run, listed: list[str], output: Path):
    path = Path(listed[1])
    path.write_text(path.read_text() + f"\nvalidation/{IDS[0]}\n")
    result = run(*listed, "--splits", "train", "--kinds", "classes")
    assert result.code == 0, result.err
    assert (output / "annotations" / "oidv7-class-descriptions.csv").exists()
    assert not (output / "images" / "validation").exists()


def test_lists_without_downloading(run: Run, server: Server, listed: list[str], output: Path):
    result = run(*listed, "--list")
    assert result.code == 0
    assert result.out == f"10 pictures from {listed[3]}\n"
    assert not server.requests
    assert not output.exists()


@pytest.mark.parametrize("store", ["http", "s3"])
def test_an_interrupt_leaves_whole_pictures(
    run: Run, server: Server, listed: list[str], output: Path, store: str
):
    """At once, whatever is still waited for."""
    (output / ".download" / ".work" / "killed").mkdir(parents=True)
    (output / ".download" / ".work" / "killed.lock").touch()
    flags = list(listed)
    if store == "http":
        server.behaviours[f"/train/{IDS[0]}.jpg"] = [servers.stall(100)]
    else:
        flags[3] = "s3://bucket"
        flags += ["--s3_endpoint_url", server.url]
        server.behaviours["/bucket?list-type=2"] = [servers.fail(403)]
        for image_id in IDS:
            server.behaviours[f"/bucket/train/{image_id}.jpg"] = [servers.hang]
    command = [sys.executable, "-m", "pipelines.download", *flags, "--output", str(output)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while len(server.requests) < 8:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=40)
    assert process.returncode == 1
    assert err.splitlines()[-1].endswith("error: interrupted: run the same command again to go on")
    assert "Traceback" not in err
    assert [path.name for path in output.iterdir()] in ([], ["images"])
    for path in output.glob("images/train/*.jpg"):
        assert path.read_bytes() == picture(path.stem)
    result = run(*listed)
    assert result.code == 0, result.err
    assert len(list((output / "images" / "train").iterdir())) == 10


def test_items_are_taken_as_threads_get_to_them():
    taken, stop = count(), threading.Event()

    def work(item: int) -> None:
        if item == 50:
            raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        for_each(work, taken, 3, stop)
    assert next(taken) < 10_000
