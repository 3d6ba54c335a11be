"""Names, titles and answers with control characters or of megabytes: told in clean, short lines."""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipelines import build, doctor, download, draw, synthesize, verify, versions
from tests.builds import Build, run_build
from transforms.dataset.failures import Failure, Reason, Stage, to_table
from transforms.wording import DETAIL_LENGTH, LINE_LENGTH, clean, clean_lines

ESCAPE = "\x1b[31m\x07"
TURNED = "\u202e"
IMAGE_ID = "0123456789abcde{}"

IMAGES = "ImageID,Subset,OriginalURL,OriginalLandingURL,License,AuthorProfileURL,Author,Title\n"
BOXES = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf\n"
BOX = "{},xclick,/m/01,1,0.1,0.2,0.1,0.2,0,0,0\n"


class _Hostile(BaseHTTPRequestHandler):
    """Answers with a status and a reason that a terminal would obey."""

    def do_GET(self) -> None:
        self.wfile.write(f"HTTP/1.1 403 no{ESCAPE}{'x' * 9000}\r\n".encode())
        self.wfile.write(b"Content-Length: 0\r\nConnection: close\r\n\r\n")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Hostile)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/{{split}}/{{image_id}}.jpg"
    server.shutdown()


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tables whose names, ids, headers and values are hostile; one has a value of 3 MB."""
    folder = tmp_path_factory.mktemp("tables")
    ids = [IMAGE_ID.format(i) for i in range(5)]
    bad = f"{ESCAPE}{TURNED}\n" + f"{ESCAPE},xclick,/m/01,1,{'9' * 3_000_000},0.2,0.1,0.2,0,0,0\n"
    (folder / f"train-title 中{ESCAPE}{TURNED}-annotations-bbox.csv").write_text(
        BOXES + "".join(map(BOX.format, ids)) + bad
    )
    name = b"train-\xff\n-images-with-rotation.csv"
    with open(os.path.join(os.fsencode(folder), name), "w") as file:
        file.write(IMAGES)
        for image_id in ids:
            file.write(f"{image_id},train,u,l,c,p,{ESCAPE},{TURNED}\n")
        for title in (ESCAPE, TURNED * 100_000):  # the same image, twice, which differs
            file.write(f"{IMAGE_ID.format(9)},train,u,l,c,p,a,{title}\n")
    (folder / f"unknown|`<b>{ESCAPE}.csv").write_text(f"a{ESCAPE},{'b' * 5000}{TURNED}\n1,2\n")
    return folder


@pytest.fixture(scope="module")
def built(tables: Path, address: str, tmp_path_factory: pytest.TempPathFactory) -> Build:
    folder = tmp_path_factory.mktemp("built")
    flags = ("--annotations", tables, "--allow_private_hosts", "--max_bad_rate", 1)
    flags += ("--max_failure_rate", 1, "--metrics_file", folder / "open-images.prom")
    refused = run_build(*flags, "--images", address, "--output", folder / "output")
    assert refused.returncode == 1
    assert "no images to publish: all 6 images failed: mend the input" in refused.stderr
    assert_clean(refused.stdout + refused.stderr)
    found = run_build(*flags, "--images", "none", "--output", folder / "output")
    assert found.returncode == 0, found.stderr
    return found


def assert_clean(text: str) -> None:
    for line in text.split("\n"):
        assert line.isprintable(), ascii(line)
        assert len(line) <= LINE_LENGTH, len(line)
    assert "Traceback" not in text


def test_whatever_a_build_says_and_writes_is_clean(built: Build):
    assert_clean(built.stdout + built.stderr)
    for path in (*built.output.parent.rglob("*.prom"), *built.output.rglob("*.json")):
        assert_clean(path.read_text())
    assert_clean((built.output / "README.md").read_text())
    manifest = built.version.manifest
    assert manifest["failures"] == {"bad_row": 2, "conflict": 1}
    assert [source["kept"] for source in manifest["sources"] if source["kind"] == "boxes"] == [5]
    assert any(r"\x1b[31m\x07" in source["path"] for source in manifest["sources"])
    assert any(r"train-\udcff\n" in source["path"] for source in manifest["sources"])
    assert all(len(each["text"]) <= DETAIL_LENGTH for each in manifest["warnings"])


def test_failures_are_short(built: Build):
    for row in built.version.failures:
        assert len(row["detail"]) <= DETAIL_LENGTH
        assert_clean("".join(str(value) for value in row.values()))
    (path,) = (built.version.folder / "failures").iterdir()
    assert path.stat().st_size < 10_000


def test_reports_for_machines_and_versions_are_clean(
    built: Build, tables: Path, capsys: pytest.CaptureFixture[str]
):
    unchanged = run_build(
        *("--annotations", tables, "--images", "none", "--max_bad_rate", 1),
        *("--max_failure_rate", 1, "--output", built.output, "--report", "json", "--rebuild"),
    )
    assert_clean(unchanged.stdout)
    sources = json.loads(unchanged.stdout)["sources"]
    assert all(source["path"].isprintable() for source in sources)
    for flags in (["show"], ["list"]):
        assert versions.main([str(built.output), *flags]) == 0
        said = capsys.readouterr()
        assert_clean(said.out + said.err)
    # A manifest, in one line: it is as long as a dataset's schemas, but none of its texts is.
    assert versions.main([str(built.output), "show", "--report", "json"]) == 0
    said = capsys.readouterr().out
    assert said.removesuffix("\n").isprintable()
    json.loads(said, object_pairs_hook=lambda pairs: [assert_clean(f"{n} {v}") for n, v in pairs])
    assert verify.main([str(built.output), "--num_workers", "1"]) == 0


def test_a_terminal_without_some_letters(built: Build):
    """What it lacks is spelled out, too."""
    command = [sys.executable, "-m", "pipelines.versions", str(built.output), "show"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    shown = subprocess.run(command, capture_output=True, env=environment, check=False)
    assert (shown.returncode, shown.stderr) == (0, b"")
    assert b"title \\u4e2d" in shown.stdout


def test_an_answer_of_a_server_is_cut(tables: Path, address: str, tmp_path: Path):
    """The same pictures are downloaded: what is refused is in a CSV and on the terminal."""
    (tmp_path / "list.txt").write_text(f"train/{IMAGE_ID.format(1)}\n")
    flags = ["--image_list", tmp_path / "list.txt", "--output", tmp_path / f"o{ESCAPE}"]
    code = download.main([*map(str, flags), "--images", address, "--allow_private_hosts"])
    assert code == 1
    written = (tmp_path / f"o{ESCAPE}" / "failures.csv").read_text()
    assert "http_status" in written
    assert_clean(written)


PROGRAMS: dict[str, Callable[[list[str]], int]] = {
    "build": build.main,
    "doctor": doctor.main,
    "download": download.main,
    "draw": draw.main,
    "synthesize": synthesize.main,
    "verify": verify.main,
    "versions": versions.main,
}
HOSTILE_FLAGS = {
    "a flag": ["--flag" + ESCAPE],
    "a value": ["--num_workers", f"{ESCAPE}\n{TURNED}"],
    "bytes that are no text": ["--flag", "\udcff"],
    "1 MB": ["--" + "x" * (1 << 20)],
}


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("flags", HOSTILE_FLAGS)
def test_wrong_use_is_a_clean_line(
    program: str,
    flags: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.chdir(tmp_path)
    try:
        code = PROGRAMS[program](HOSTILE_FLAGS[flags])
    except SystemExit as error:
        code = error.code
    said = capsys.readouterr()
    assert code == 2
    assert said.out == ""
    assert_clean(said.err)
    assert len(said.err.splitlines()) == 1


@settings(max_examples=50)
@given(st.text(), st.integers(100, 400))
@example("\ud800\udfff\x00\x9b\u2028\u2066", 100)
@example(TURNED * 5000, 100)
def test_any_text_becomes_a_short_line(text: str, length: int):
    cleaned = clean(text, length)
    assert cleaned.isprintable()
    assert len(cleaned) <= length
    assert clean(cleaned, length) == cleaned
    if text.isprintable() and len(text) <= length:
        assert cleaned == text


def test_start_and_end_of_a_long_text_are_kept():
    text = f"train.csv: {'x' * (8 << 20)}: mend or replace it"
    assert re.fullmatch(
        r"train\.csv: x+… \(8,388,639 characters in all\) …x+: mend or replace it", clean(text)
    )
    assert clean_lines(f"one{ESCAPE}\ntwo") == "one\\x1b[31m\\x07\ntwo"


def test_a_table_of_failures_has_clean_texts():
    hostile = ESCAPE + TURNED + "\udcff" + "x" * (8 << 20)
    (row,) = to_table(
        [Failure(hostile, "train", Stage.FETCH, Reason.HTTP_STATUS, hostile, hostile, 7)]
    ).to_pylist()
    for name, length in (("image_id", 500), ("detail", 500), ("source", 5000)):
        assert row[name].startswith("\\x1b[31m\\x07\\u202e\\udcff")
        assert len(row[name]) <= length
    assert (row["split"], row["line"]) == ("train", 7)
