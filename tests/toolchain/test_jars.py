"""Jars of a list: fetched, merged, or taken from elsewhere."""

import hashlib
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tools import jars

ROOT = Path(__file__).parents[2]
MAIN = "org.example.Main"
CLASS = "org/example/Main.class"


def write_files(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as jar:
        for name, data in files.items():
            jar.writestr(name, data)
    return path


def read_jar(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as jar:
        assert len(set(jar.namelist())) == len(jar.namelist()), "a name is there twice"
        return {name: jar.read(name) for name in jar.namelist()}


def test_merged_as_one_program(tmp_path: Path):
    first = write_files(
        tmp_path / "first.jar",
        {
            "META-INF/MANIFEST.MF": b"Manifest-Version: 1.0\nMulti-Release: true\n",
            "META-INF/FIRST.SF": b"signature",
            "META-INF/FIRST.RSA": b"signature",
            "META-INF/INDEX.LIST": b"names first.jar alone",
            "META-INF/services/": b"",
            "META-INF/services/org.example.Service": b"org.example.One",
            "META-INF/versions/9/org/example/Other.class": b"other",
            "module-info.class": b"module",
            CLASS: b"first",
        },
    )
    second = write_files(
        tmp_path / "second.jar",
        {
            "META-INF/services/": b"",
            "META-INF/services/org.example.Service": b"org.example.Two\n",
            "META-INF/SECOND.DSA": b"signature",
            "reference.conf": b"a = 1",
            CLASS: b"second",
        },
    )
    third = write_files(tmp_path / "third.jar", {"reference.conf": b"b = 2\n"})
    output = tmp_path / "made" / "merged.jar"
    jars.merge([first, second, third], output, MAIN)
    assert read_jar(output) == {
        "META-INF/MANIFEST.MF": b"Manifest-Version: 1.0\r\nMain-Class: org.example.Main\r\n\r\n",
        "META-INF/services/": b"",
        "META-INF/services/org.example.Service": b"org.example.One\norg.example.Two\n",
        "META-INF/versions/9/org/example/Other.class": b"other",
        CLASS: b"first",
        "reference.conf": b"a = 1\nb = 2\n",
    }
    again = tmp_path / "again.jar"
    jars.merge([first, second, third], again, MAIN)
    assert again.read_bytes() == output.read_bytes()


def test_a_merge_that_fails_leaves_nothing(tmp_path: Path):
    cut = tmp_path / "cut.jar"
    cut.write_bytes(b"PK\3\4")
    with pytest.raises(zipfile.BadZipFile):
        jars.merge([cut], tmp_path / "made" / "merged.jar", MAIN)
    assert list((tmp_path / "made").iterdir()) == []


@pytest.fixture
def serve(tmp_path: Path) -> Callable[..., tuple[jars.Jar, Callable[[str], Path]]]:
    """Makes a jar, and a download that gives it after what is told."""

    def make(*before: bytes | Exception) -> tuple[jars.Jar, Callable[[str], Path]]:
        answers = [*before, b"whole"]
        path = tmp_path / "cached.jar"

        def download(coordinates: str) -> Path:
            assert coordinates == "org.example:one:1.0"
            if not path.exists():
                answer = answers.pop(0)
                if isinstance(answer, Exception):
                    raise answer
                path.write_bytes(answer)
            return path

        return jars.Jar("org.example:one:1.0", hashlib.sha256(b"whole").hexdigest()), download

    return make


@pytest.mark.parametrize(
    "before", [(), (b"who",), (ConnectionError("reset"),), (b"", RuntimeError("status 503"))]
)
def test_fetched_until_it_is_whole(serve: Callable, before: tuple):
    jar, download = serve(*before)
    (path,) = jars.fetch([jar], download)
    assert path.read_bytes() == b"whole"


@pytest.mark.parametrize(
    ("answer", "said"), [(b"other", "isn't the jar"), (ConnectionError("refused"), "refused")]
)
def test_what_cannot_be_fetched_is_named(serve: Callable, answer: bytes | Exception, said: str):
    jar, download = serve(answer, answer, answer)
    with pytest.raises(jars.JarError, match=f"org.example:one:1.0: .*{said}"):
        jars.fetch([jar], download)


def test_the_list_of_the_job_server():
    listed = jars.read_list(ROOT / "runners" / "flink" / "jars.txt")
    names = [jar.coordinates.rpartition(":")[0] for jar in listed]
    assert len(set(names)) == len(names), "two versions of a jar"
    assert {"org.apache.beam:beam-runners-flink-1.19"} < set(names)
    assert all(len(jar.sha256) == 64 and jar.coordinates.count(":") == 2 for jar in listed)


@pytest.mark.parametrize("by", ["path", "url"])
def test_a_named_jar_is_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str], by: str):
    mirror, other = tmp_path / "mirror.jar", tmp_path / "other.jar"
    write_files(mirror, {CLASS: b"one"})
    write_files(other, {CLASS: b"two"})
    output = tmp_path / "flink" / "job-server.jar"

    def take(path: Path) -> int:
        source = path.as_uri() if by == "url" else str(path)
        return jars.main(["take", source, str(output), MAIN])

    assert take(mirror) == 0
    assert output.read_bytes() == mirror.read_bytes()
    mirror.unlink()
    assert take(mirror) == 0, "it is there, and isn't fetched again"
    assert take(other) == 0
    assert output.read_bytes() == other.read_bytes(), "another source is another jar"
    assert take(tmp_path / "absent.jar") == 1
    page = tmp_path / "page.jar"
    page.write_text("<html>")
    assert take(page) == 1
    assert take(write_files(tmp_path / "empty.jar", {"a": b""})) == 1
    assert output.read_bytes() == other.read_bytes(), "what was there stays"
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert "absent.jar: " in lines[0]
    assert all("no jar with org.example.Main" in line for line in lines[1:])
