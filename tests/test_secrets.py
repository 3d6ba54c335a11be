"""User, password, query and fragment of URLs: workers use them, and nobody else sees them."""

import base64
import http.server
import logging
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pyarrow.parquet as pq
import pytest

from open_images.building import examine, monitor, plan
from open_images.building.secret_key import keyed_hash
from pipelines import doctor, download
from pipelines.cli import build_flags, secrets
from runners.checks.finding import Finding
from runners.launch import Job
from tests.builds import COMMAND, Build, run_build
from tests.examples.imaging.pictures import jpeg
from tests.serving import served
from transforms.dataset.failures import PixelError, Reason
from transforms.errors import UsageError
from transforms.releases.output import Output
from transforms.sources.http import HttpFetcher, Request
from transforms.sources.limits import HttpOptions
from transforms.storage.objects import StorageError

SECRETS = ("al1ceUser", "s3cr3tPassw0rd", "t0k3nValue", "fr4gm3nt", "s1gnature")
LOGIN = base64.b64encode(b"al1ceUser:s3cr3tPassw0rd").decode()
HIDDEN = (*SECRETS, LOGIN)
ANNOTATIONS = Path(__file__).parent / "data" / "field_cases" / "17b-nightly" / "ann"
THERE, GONE = "a3f96f0e51436d1f", "6a06e9ab85a0bcc1"


class Handler(http.server.BaseHTTPRequestHandler):
    """Has one picture, for who logs in and has the token; the other one leads in circles."""

    logins: ClassVar[set[str | None]] = set()

    def do_GET(self) -> None:
        self.logins.add(self.headers["Authorization"])
        is_allowed = "t0k3nValue" in self.path and self.headers["Authorization"] == f"Basic {LOGIN}"
        data = jpeg() if is_allowed and THERE in self.path else b""
        self.send_response(200 if data else 302 if is_allowed else 403)
        if not data:
            self.send_header("Location", f"{self.path.partition('?')[0]}?sig=s1gnature&t0k3nValue")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with served(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as server:
        place = f"127.0.0.1:{server.server_port}/{{split}}/{{image_id}}.jpg"
        yield f"http://al1ceUser:s3cr3tPassw0rd@{place}?token=t0k3nValue#fr4gm3nt"


@pytest.fixture(scope="module", autouse=True)
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("state")
        patch.setenv("XDG_STATE_HOME", str(folder))
        yield folder


def flags_of(url: str, output: Path) -> list[str]:
    flags = ["--annotations", str(ANNOTATIONS), "--images", url, "--allow_private_hosts"]
    flags += ["--images", url.replace("/{split}", "/else"), "--max_failure_rate", "0.6"]
    return [*flags, "--output", str(output / "output"), "--metrics_file", f"{output}/figures.prom"]


@pytest.fixture(scope="module")
def built(url: str, tmp_path_factory: pytest.TempPathFactory) -> Build:
    """A build of a picture that is there and one that isn't, in a process of its own."""
    folder = tmp_path_factory.mktemp("built")
    built = run_build(*flags_of(url, folder), "--num_workers", "2", own_process=True)
    assert built.returncode == 0, built.stderr
    return built


def assert_hidden(text: str | bytes) -> None:
    data = text if isinstance(text, bytes) else text.encode()
    assert [secret for secret in HIDDEN if secret.encode() in data] == []


def test_nothing_published_or_printed_has_a_secret(built: Build):
    assert_hidden(built.stdout)
    assert_hidden(built.stderr)
    assert "***@127.0.0.1" in built.stdout
    written = [path for path in built.output.parent.rglob("*") if path.is_file()]
    assert {path.name for path in written} >= {"figures.prom", "manifest.json", "README.md"}
    for path in written:
        assert_hidden(path.read_bytes())
        if path.suffix == ".parquet":  # where texts may be compressed
            table = pq.read_table(path)
            columns = [name for name in table.column_names if name != "image"]
            assert_hidden(repr(table.select(columns).to_pylist()))
    (failure,) = built.version.failures
    assert failure["image_id"] == GONE
    assert failure["source"].startswith("http://***@127.0.0.1:")
    assert failure["detail"].count("more than 5 redirects, the last to http://***@") == 2
    assert built.version.manifest["config"]["images"][0].endswith("/{image_id}.jpg?***#***")


def test_workers_use_them(built: Build):
    assert Handler.logins == {f"Basic {LOGIN}"}
    assert list(built.version.examples) == [THERE]


def test_the_same_secrets_change_nothing_and_others_do(built: Build, url: str, state: Path):
    folder = built.output.parent
    again = run_build(*flags_of(url, folder))
    assert again.stdout.startswith("unchanged: ")

    def fingerprint(url: str) -> str:
        flags = build_flags.parse(flags_of(url, folder))[0]
        manifest = Output(str(built.output)).manifest(built.version.folder.name)
        return plan.make_plan(flags, manifest=manifest).fingerprint

    first = fingerprint(url)
    assert first == built.version.manifest["fingerprint"]
    others = [url.replace(secret, "other") for secret in SECRETS[:4]]
    assert len({first, *map(fingerprint, others)}) == 5
    key = state / "open-images" / "fingerprint.key"
    assert (key.stat().st_mode & 0o777, key.stat().st_size) == (0o600, 32)
    data = key.read_bytes()
    assert not [p for p in folder.rglob("*") if p.is_file() and data in p.read_bytes()]
    # With the key of another user nobody can tell what the secrets are by trying them.
    key.rename(key.with_suffix(".kept"))
    assert fingerprint(url) != first
    key.chmod(0o644)
    with pytest.raises(UsageError, match="can be read by others: remove it"):
        fingerprint(url)
    key.unlink()
    key.symlink_to(key.with_suffix(".kept"))
    with pytest.raises(UsageError, match="is a link"):
        fingerprint(url)
    key.with_suffix(".kept").rename(key)
    assert fingerprint(url) == first


def test_many_that_make_a_key_at_once_have_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with ThreadPoolExecutor(16) as pool:
        for i in range(50):
            monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / str(i)))
            assert len(set(pool.map(keyed_hash, ["text"] * 16))) == 1


def test_without_secrets_no_key_is_made(built: Build, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_STATE_HOME", "/proc/nowhere")
    flags = ["--annotations", str(ANNOTATIONS), "--output", "o", "--images"]
    plan.make_plan(build_flags.parse([*flags, "http://host/{image_id}.jpg"])[0])
    with pytest.raises(UsageError, match="set XDG_STATE_HOME to a folder of yours, or leave"):
        plan.make_plan(build_flags.parse([*flags, "http://host/{image_id}.jpg?t=x"])[0])


def test_the_title_of_a_process_has_none(url: str, tmp_path: Path):
    """As `ps` shows it to everybody."""
    hanging = url.replace("127.0.0.1", "127.0.0.2").replace("t0k3nValue", "t0k3nValue{split}")
    command = [*COMMAND, *flags_of(hanging, tmp_path), "--wait", "60"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 30
        while b"***" not in (shown := Path(f"/proc/{process.pid}/cmdline").read_bytes()):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert_hidden(shown)
        assert shown.count(b"\0") == len(command)
        assert b"/{image_id}.jpg?" in shown
    finally:
        process.kill()
        process.wait()


PRESIGNED = "https://bucket.s3.amazonaws.com/x/{image_id}.jpg?X-Amz-Signature=s1gnature"
MISTAKES = [
    ["--images", "http://al1ceUser:s3cr3tPassw0rd@host/x.jpg?token=t0k3nValue two"],
    ["--images", PRESIGNED.replace("{image_id}", "{name}")],
    ["--images", "ftp://al1ceUser:s3cr3tPassw0rd@host/{image_id}"],
    ["--images", "http://al1ceUser:s3cr3t/Passw0rd#fr4gm3nt@host/x"],
    ["--annotations", "https://al1ceUser:s3cr3tPassw0rd@host/boxes.csv?token=t0k3nValue"],
    ["--masks", "https://host/masks.zip?sig=s1gnature#fr4gm3nt"],
    ["--annotations", "s3://al1ceUser:s3cr3tPassw0rd@bucket/boxes.csv"],
    ["--images", "http:/\\al1ceUser:s3cr3tPassw0rd@host/{image_id}"],
    ["--masks", "//al1ceUser:s3cr3tPassw0rd@host/masks"],
    ["--flink_master=al1ceUser:s3cr3tPassw0rd@host", "--annotations", "none"],
    ["--imagse", "http://al1ceUser:s3cr3tPassw0rd@host/{image_id}"],
    ["http://al1ceUser@host/?token=t0k3nValue"],
    ["--resize", "http://al1ceUser@host/?token=t0k3nValue"],
    ["--work_folder", "http://al1ceUser:s3cr3tPassw0rd@host"],
    ["--s3_endpoint_url", "http://al1ceUser:s3cr3tPassw0rd@127.0.0.1:9", "--output", "s3://b/o"],
    [
        "--runner",
        "flink",
        "--flink_master",
        "http://al1ceUser:s3cr3tPassw0rd@127.0.0.1:9/?t0k3nValue",
    ],
]


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda words: words[0])
def test_mistakes_are_told_without(
    mistake: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    flags = ["--annotations", str(ANNOTATIONS), "--images", "none", "--output", str(tmp_path / "o")]
    built = run_build(*flags, *mistake, "--report", "json")
    assert built.returncode in (1, 2)
    assert built.stdout + built.stderr
    assert_hidden((built.stdout + built.stderr).replace("s3cr3t***", ""))


def test_other_programs_tell_none(
    url: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    (tmp_path / "ids.txt").write_text(f"train/{THERE}\ntrain/{GONE}\n")
    words = ["--image_list", str(tmp_path / "ids.txt"), "--output", str(tmp_path / "oid")]
    words += ["--images", url, "--allow_private_hosts"]
    assert download.main([*words, "--list"]) == 0
    assert "2 pictures from http://***@127.0.0.1" in capfd.readouterr().out
    assert download.main(words) == 1
    assert_hidden("".join(capfd.readouterr()))
    failures = (tmp_path / "oid" / "failures.csv").read_text()
    assert "the last to http://***@" in failures
    assert_hidden(failures)
    base = "http://al1ceUser:s3cr3tPassw0rd@127.0.0.1:9/?token=t0k3nValue"
    assert download.main(["--base_url", base, "--kinds", "classes", *words[2:4], "--list"]) == 0
    wrong = Finding("fix", f"inputs: {url}: no answer")
    monkeypatch.setattr(examine, "examine", lambda *_: [wrong])
    assert doctor.main(flags_of(url, tmp_path)[:-2]) == 1
    said = "".join(capfd.readouterr())
    assert "inputs: http://***@127.0.0.1" in said
    assert_hidden(said)


def test_what_goes_to_logs_and_to_job_json(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    record = logging.LogRecord("x", logging.ERROR, "x", 1, "asked %s", (url,), None)
    assert_hidden(secrets.RedactingFormatter("%(message)s").format(record))
    secrets.print_exception(ValueError, ValueError(f"no answer of {url}"), None)
    assert "no answer of http://***@" in capsys.readouterr().err
    assert_hidden(str(PixelError(Reason.TIMEOUT, f"{url} is slow")))
    assert_hidden(str(StorageError(f"{url}: no object store")))
    config = plan.make_plan(build_flags.parse(flags_of(url, tmp_path))[0], str(tmp_path))
    lines: list[str] = []
    shown = monitor.BuildMonitor(config, lines.append, lambda _: None)
    shown.log(f"restarted: {url} failed")
    shown.submitted(Job("Flink", "0", "http://host:8081/#/job/running/0/overview"))
    assert_hidden((tmp_path / monitor.JOB).read_text() + "".join(lines))
    assert lines[1] == "Flink job 0: http://host:8081/#/job/running/0/overview"


def test_passwords_may_be_in_netrc(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """For the host of `--images` alone, whatever others it redirects to."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login al1ceUser password s3cr3tPassw0rd\n")
    monkeypatch.setenv("NETRC", str(netrc))
    asked = url.rpartition("@")[2].format(split="train", image_id=THERE)
    options = HttpOptions(allow_private_hosts=True, retry=replace(HttpOptions.retry, retries=0))
    answers = []
    for uses_netrc in (True, False):
        fetcher = HttpFetcher(options, uses_netrc=uses_netrc)
        answers += fetcher.fetch([Request(f"http://{asked}")])
        fetcher.close()
    assert answers[0] == jpeg()
    assert str(answers[1]) == "http_status: 403"
