"""Published files from a server that behaves, and from one that doesn't."""

import hashlib
import re
import shutil
import subprocess
import sys
import time
from base64 import b64encode
from pathlib import Path

import pytest

from tests.downloading import server as servers
from tests.downloading.conftest import (
    BOXES,
    CLASSES,
    LABELS,
    MASKS,
    MIAP,
    NARRATIVES,
    Run,
    file_of,
)
from tests.downloading.server import Server


def leftovers(output: Path) -> list[str]:
    return [path.name for path in output.rglob("*") if ".part" in path.name]


def test_gets_the_annotations_of_a_release(run: Run, server: Server, output: Path):
    result = run()
    assert result.code == 0, result.err
    assert "4 files downloaded, 0 were there, 0 failed" in result.out
    for path in (BOXES, LABELS, CLASSES, NARRATIVES):
        assert file_of(output, path).read_bytes() == server.files[path]
        assert server.ranges(path) == [None]
    assert not (output / "masks").exists()
    assert "imagelabels.csv: of unknown checksum, checked by nothing but its length" in result.err
    assert leftovers(output) == []


def test_links_beside_a_file_are_not_followed(run: Run, output: Path, tmp_path: Path):
    victim = tmp_path / "victim"
    victim.write_text("ours")
    path = file_of(output, BOXES)
    path.parent.mkdir(parents=True)
    part, note = (path.with_name(path.name + suffix) for suffix in (".part", ".part.etag"))
    part.symlink_to(victim)
    note.symlink_to(victim)
    result = run()
    assert result.code == 1
    assert f"{part} is a link, or no file: have that removed" in result.err
    part.unlink()
    assert run().code == 0
    assert victim.read_text() == "ours"


def test_gets_what_kinds_and_splits_name(run: Run, server: Server, output: Path):
    assert run("--kinds", "mask_pngs,classes", "--splits", "validation").code == 0
    assert file_of(output, MASKS, "masks").read_bytes() == server.files[MASKS]
    assert sorted(path.name for path in output.rglob("*.*")) == [
        "oidv7-class-descriptions.csv",
        "validation-masks-0.zip",
    ]


def test_person_boxes_are_downloaded_where_they_are_asked_for(
    run: Run, server: Server, output: Path
):
    """They would annotate the people of the boxes once more."""
    assert run("--splits", "validation").code == 0
    assert not file_of(output, MIAP).exists()
    assert (
        "left out, since --kinds doesn't name them: mask_pngs, person_boxes\n" in run("--list").out
    )
    assert run("--kinds", "person_boxes").code == 0
    assert file_of(output, MIAP).read_bytes() == server.files[MIAP]
    assert "left out" not in run("--kinds", "person_boxes", "--list").out


def test_archives_are_left_as_published(run: Run, output: Path):
    result = run("--release", "v3")
    assert result.code == 0
    folder = output / "annotations"
    assert (folder / "annotations_human_bbox_2017_11.tar.gz").exists()
    assert "unpack" not in result.out  # a build reads them as they are


def test_lists_without_downloading(run: Run, server: Server, output: Path):
    result = run("--list", "--splits", "validation")
    assert result.code == 0
    assert "annotations/validation-annotations-bbox.csv" in result.out
    assert " 50,000  md5" in result.out
    assert "3 files, 100,002 bytes (97.7 KiB) and 1 file of unknown size" in result.out
    assert not server.requests
    assert not output.exists()


def test_skips_what_is_there(run: Run, server: Server):
    run()
    result = run()
    assert result.code == 0
    assert "0 files downloaded, 4 were there" in result.out
    assert sum(map(len, server.requests.values())) == 4


def test_replaces_what_is_not_as_published(run: Run, server: Server, output: Path):
    run()
    file_of(output, BOXES).write_bytes(b"short")
    spoiled = bytes(len(server.files[CLASSES]))
    file_of(output, CLASSES).write_bytes(spoiled)
    assert "1 file downloaded, 3 were there" in run().out
    assert file_of(output, BOXES).read_bytes() == server.files[BOXES]
    assert file_of(output, CLASSES).read_bytes() == spoiled
    result = run("--verify")
    assert "1 file downloaded, 3 were there" in result.out
    assert "class-descriptions.csv: there, but not as published: again" in result.err
    assert file_of(output, CLASSES).read_bytes() == server.files[CLASSES]


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_mirror_has_the_published_paths_or_an_end_of_them(
    run: Run, server: Server, output: Path, depth: int
):
    server.files = {f"/{'/'.join(p.split('/')[depth:])}": c for p, c in server.files.items()}
    result = run("--kinds", "boxes,classes,narratives")
    assert result.code == 0, result.err
    assert file_of(output, BOXES).stat().st_size == 50_000


def test_a_broken_connection_is_resumed(run: Run, server: Server, output: Path):
    for path in (BOXES, LABELS):
        server.behaviours[path] = [servers.drop(20_000)]
    result = run("--kinds", "boxes,image_labels")
    assert result.code == 0, result.err
    for path in (BOXES, LABELS):
        assert server.ranges(path) == [None, "bytes=20000-"]
        assert server.requests[path][1]["if-range"] == servers.etag(server.files[path])
        assert file_of(output, path).read_bytes() == server.files[path]


def test_a_later_run_resumes(run: Run, server: Server, output: Path):
    server.behaviours[BOXES] = [servers.drop(30_000)]
    result = run("--kinds", "boxes", retries=0)
    assert result.code == 1
    assert "validation-annotations-bbox.csv: " in result.err
    assert not file_of(output, BOXES).exists()
    assert file_of(output, BOXES + ".part").stat().st_size == 30_000
    assert run("--kinds", "boxes").code == 0
    assert server.ranges(BOXES) == [None, "bytes=30000-"]
    assert file_of(output, BOXES).read_bytes() == server.files[BOXES]
    assert leftovers(output) == []


def test_a_server_that_ignores_ranges_starts_anew(run: Run, server: Server, output: Path):
    server.behaviours[BOXES] = [servers.drop(20_000), servers.ignore_range]
    assert run("--kinds", "boxes").code == 0
    assert server.ranges(BOXES) == [None, "bytes=20000-"]
    assert file_of(output, BOXES).read_bytes() == server.files[BOXES]


def test_a_server_that_never_gets_further_is_given_up(run: Run, server: Server):
    server.behaviours[BOXES] = [servers.drop(20_000)] * 20
    result = run("--kinds", "boxes")
    assert result.code == 1
    assert "6 times in a row" in result.err
    assert len(server.requests[BOXES]) == 6


def test_a_file_that_changed_meanwhile_is_not_patched(run: Run, server: Server, output: Path):
    """Of unknown checksum: If-Range tells."""
    old, server.files[LABELS] = server.files[LABELS], b"new" * 15_000
    server.behaviours[LABELS] = [lambda handler, _: servers.drop(20_000)(handler, old)]
    assert run("--kinds", "image_labels").code == 0
    assert file_of(output, LABELS).read_bytes() == server.files[LABELS]


def test_a_spoiled_part_is_downloaded_again(run: Run, server: Server, output: Path):
    part = file_of(output, BOXES + ".part")
    part.parent.mkdir(parents=True)
    part.write_bytes(b"?" * 30_000)
    assert run("--kinds", "boxes").code == 0
    assert server.ranges(BOXES) == ["bytes=30000-", None]
    assert file_of(output, BOXES).read_bytes() == server.files[BOXES]


@pytest.mark.parametrize("size", [50_001, 90_000])
def test_a_part_without_provenance_is_not_used(run: Run, server: Server, output: Path, size: int):
    """Too long for the file, or of a file of unknown checksum."""
    for path in (BOXES, LABELS):
        part = file_of(output, path + ".part")
        part.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(b"?" * size)
    assert run("--kinds", "boxes,image_labels").code == 0
    for path in (BOXES, LABELS):
        assert server.ranges(path) == [None]
        assert file_of(output, path).read_bytes() == server.files[path]


@pytest.mark.parametrize("path", [BOXES, LABELS])
def test_a_complete_part_is_only_checked(run: Run, server: Server, output: Path, path: str):
    part = file_of(output, path + ".part")
    part.parent.mkdir(parents=True)
    part.write_bytes(server.files[path])
    part.with_name(part.name + ".etag").write_text(servers.etag(server.files[path]))
    assert run("--kinds", "boxes,image_labels").code == 0
    assert server.ranges(path) == ([] if path == BOXES else [f"bytes={len(server.files[path])}-"])
    assert file_of(output, path).read_bytes() == server.files[path]


def test_a_busy_server_is_asked_again_when_it_says(run: Run, server: Server):
    soon = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() - 5))
    server.behaviours[BOXES] = [
        servers.fail(503, Retry_After="1"),
        servers.fail(429, Retry_After=soon),
        servers.fail(500),
    ]
    started = time.monotonic()
    assert run("--kinds", "boxes").code == 0
    assert time.monotonic() - started > 1
    assert len(server.requests[BOXES]) == 4


def test_one_that_is_missing_does_not_keep_the_others(run: Run, server: Server, output: Path):
    del server.files[BOXES]
    result = run("--kinds", "boxes,classes")
    assert result.code == 1
    assert "validation-annotations-bbox.csv: " in result.err
    assert "HTTP status 404" in result.err
    assert len(result.err.splitlines()) == 2
    assert len(server.requests[BOXES]) == 1
    assert file_of(output, CLASSES).exists()
    assert leftovers(output) == []


@pytest.mark.parametrize("change", [b"", b"longer"])
def test_another_size_is_refused(run: Run, server: Server, output: Path, change: bytes):
    server.files[BOXES] = server.files[BOXES][:-3] + change
    result = run("--kinds", "boxes")
    assert result.code == 1
    assert "validation-annotations-bbox.csv" in result.err
    assert "bytes, not the 50000 published" in result.err
    assert len(server.requests[BOXES]) == 1
    assert leftovers(output) == []


def test_another_content_is_refused(run: Run, server: Server, output: Path):
    server.files[BOXES] = bytes(50_000)
    result = run("--kinds", "boxes")
    assert result.code == 1
    assert "validation-annotations-bbox.csv has another MD5 than is published" in result.err
    assert list((output / "annotations").iterdir()) == []


def test_more_than_was_announced_is_refused(run: Run, server: Server, output: Path):
    def chunked(handler: servers.Handler, content: bytes) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for _ in range(3):
            handler.wfile.write(f"{len(content):x}\r\n".encode() + content + b"\r\n")
        handler.close_connection = True

    server.behaviours[BOXES] = [chunked]
    result = run("--kinds", "boxes")
    assert result.code == 1
    assert "sends more than the 50000 bytes it should" in result.err
    assert leftovers(output) == []


def test_the_servers_own_md5_stands_in(run: Run, server: Server, output: Path):
    content = server.files[LABELS]
    right = f"crc32c=AAAAAA==, md5={b64encode(hashlib.md5(content).digest()).decode()}"
    wrong = f"md5={b64encode(bytes(16)).decode()}"
    server.behaviours[LABELS] = [servers.send(content, x_goog_hash=wrong)]
    assert "another MD5" in run("--kinds", "image_labels").err
    assert not file_of(output, LABELS).exists()
    server.behaviours[LABELS] = [servers.send(content, x_goog_hash=right)]
    result = run("--kinds", "image_labels")
    assert result.code == 0
    assert "checked by the server's own MD5 alone" in result.err


@pytest.mark.parametrize("slow", [servers.stall(20_000), servers.drip])
def test_a_slow_server_is_asked_again(run: Run, server: Server, slow: servers.Behaviour):
    server.behaviours[BOXES] = [slow]
    started = time.monotonic()
    assert run("--kinds", "boxes", "--timeout", "0.3").code == 0
    assert 0.3 <= time.monotonic() - started < 5
    assert len(server.requests[BOXES]) == 2


def redirect(url: str) -> servers.Behaviour:
    return servers.fail(302, Location=url)


def test_a_redirect_is_followed(run: Run, server: Server):
    server.files["/elsewhere"] = server.files[BOXES]
    server.behaviours[BOXES] = [redirect("/elsewhere")]
    assert run("--kinds", "boxes").code == 0
    assert len(server.requests["/elsewhere"]) == 1


def test_redirects_are_limited(run: Run, server: Server):
    server.behaviours[BOXES] = [redirect(BOXES)] * 9
    result = run("--kinds", "boxes")
    assert result.code == 1
    assert "Maximum (5) redirects followed" in result.err
    assert len(server.requests[BOXES]) == 6


def test_no_redirect_leaves_http(run: Run, server: Server):
    server.behaviours[BOXES] = [redirect("ftp://127.0.0.1/boxes.csv")]
    result = run("--kinds", "boxes")
    assert result.code == 1
    assert 'Protocol "ftp"' in result.err


def test_a_full_disk_is_told_before(run: Run, server: Server, output: Path, monkeypatch):
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=60_000))
    assert run("--kinds", "boxes").code == 0
    result = run("--kinds", "boxes,classes,mask_pngs")
    assert result.code == 1
    assert "97.7 KiB to download, but 58.6 KiB free" in result.err
    assert not server.requests[CLASSES]


def test_a_proxy_is_heeded(run: Run, server: Server, monkeypatch):
    with servers.running() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        proxy.files[server.url + BOXES] = server.files[BOXES]
        assert run("--kinds", "boxes").code == 0
        assert list(proxy.requests) == [server.url + BOXES]
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert run("--kinds", "classes").code == 0
        assert len(server.requests[CLASSES]) == 1


def test_nobody_listens(run: Run):
    result = run("--kinds", "boxes", "--base_url", "http://127.0.0.1:9")
    assert result.code == 1
    assert "Connection refused" in result.err
    assert "object at" not in result.err


def test_progress_is_told_in_lines(run: Run, server: Server):
    server.behaviours[BOXES] = [servers.stall(20_000)]
    lines = run("--kinds", "boxes", "--timeout", "0.5", line_seconds=0.1).err.splitlines()
    assert re.fullmatch(
        r" +0 s  1 file: 19\.5 KiB of 48\.8 KiB, [\d.]+ KiB/s, \d+ s left", lines[1]
    )


def test_progress_is_a_bar_on_a_terminal(run: Run, server: Server):
    result = run("--kinds", "boxes,image_labels", is_terminal=True)
    assert re.search(r"2 files: 100%\|.* 97\.7k/97\.7k ", result.err)
    assert "of unknown checksum" in result.err


PROGRAM = """
import sys
from pathlib import Path
from pipelines import download
sys.exit(download.main(sys.argv[2:], Path(sys.argv[1])))
"""


def test_an_interrupt_leaves_parts(run: Run, server: Server, catalogue: Path, output: Path):
    server.behaviours[BOXES] = [servers.stall(20_000)]
    command = [sys.executable, "-c", PROGRAM, str(catalogue), "--output", str(output)]
    process = subprocess.Popen(
        [*command, "--base_url", server.url, "--kinds", "boxes"], stderr=subprocess.PIPE, text=True
    )
    part = file_of(output, BOXES + ".part")
    deadline = time.monotonic() + 15
    while not (part.exists() and part.stat().st_size == 20_000):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    result = run("--kinds", "boxes")
    assert result.code == 1
    assert "another download of it is running" in result.err
    process.send_signal(2)
    _, err = process.communicate(timeout=10)
    assert process.returncode == 1
    assert err.splitlines()[-1].endswith("error: interrupted: run the same command again to go on")
    assert "Traceback" not in err
    assert run("--kinds", "boxes").code == 0
    assert server.ranges(BOXES) == [None, "bytes=20000-"]
