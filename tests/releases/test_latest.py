"""`latest` with bytes that are no version: said in a line, and mended by the next build."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines import draw, verify, versions
from tests.builds import Build, latest_version, run_build
from tests.test_shards import write_tables

SECRET = "hunter2"

#: What lies in the place of `latest`.
SPOILED: dict[str, Callable[[Path], object]] = {
    "empty": lambda latest: latest.write_bytes(b""),
    "binary": lambda latest: latest.write_bytes(bytes(range(256))),
    "a path that leaves the output": lambda latest: latest.write_text("../../elsewhere\n"),
    "a name that a terminal obeys": lambda latest: latest.write_text("\x1b[31m\n"),
    "two lines": lambda latest: latest.write_text("one\ntwo\n"),
    "a version that isn't there": lambda latest: latest.write_text("20260101T000000000-0a\n"),
    "10 MB of zeros": lambda latest: latest.write_bytes(bytes(10 << 20)),
    "a folder": lambda latest: (latest.mkdir(), (latest / "file").write_text("")),
    "a pipe": os.mkfifo,
    "a link to another's file": lambda latest: latest.symlink_to(latest.parents[1] / "secret"),
    "a link that leads nowhere": lambda latest: latest.symlink_to("nowhere"),
}
#: What each program is called with, and the exit codes that it may end with.
PROGRAMS: dict[str, tuple[Callable, list[str], tuple[int, ...]]] = {
    "verify": (verify.main, ["--num_workers", "1"], (1,)),
    "list": (versions.main, ["list"], (0,)),
    "show": (versions.main, ["show"], (1,)),
    "diff": (versions.main, ["diff", "VERSION"], (1,)),
    "pin": (versions.main, ["pin", "VERSION"], (0,)),
    "unpin": (versions.main, ["unpin", "VERSION"], (0,)),
    "gc": (versions.main, ["gc", "--keep", "0"], (1,)),
    "draw": (draw.main, ["--output", "sheet.png"], (2,)),
}


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Annotations of a few images; not to be changed."""
    folder = tmp_path_factory.mktemp("published")
    write_tables(folder / "tables", {"train": 3})
    built = build(folder / "tables", folder / "output")
    assert built.returncode == 0, built.stderr
    return built


def build(tables: Path, output: Path) -> Build:
    return run_build("--annotations", tables, "--images", "none", "--output", output)


@pytest.fixture
def output(published: Build, tmp_path: Path) -> Path:
    """A copy without `latest`."""
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    copy = Path(shutil.copytree(published.output, tmp_path / "output"))
    (copy / "latest").unlink()
    return copy


@pytest.mark.parametrize("name", SPOILED)
def test_programs_say_so_in_a_line(
    name: str, output: Path, published: Build, capsys: pytest.CaptureFixture[str]
):
    SPOILED[name](output / "latest")
    version = published.version.folder.name
    for program, (main, flags, codes) in PROGRAMS.items():
        code = main([str(output), *(version if flag == "VERSION" else flag for flag in flags)])
        said = capsys.readouterr()
        assert code in codes, (program, said)
        everything = said.out + said.err
        assert SECRET not in everything
        assert everything.replace("\n", "").isprintable()
        (line,) = [line for line in everything.splitlines() if "latest" in line.split(version)[0]]
        assert len(line) < 1000
    # Nothing was removed: nobody can tell what readers see.
    assert [path.name for path in (output / "versions").iterdir()] == [version]
    assert versions.main([str(output), "rollback", version]) == 0
    assert (output / "latest").read_text() == f"{version}\n"
    assert not (output / "latest").is_symlink()
    assert verify.main([str(output), "--num_workers", "1"]) == 0


@pytest.mark.parametrize(
    "name", ["10 MB of zeros", "a folder", "a pipe", "a link to another's file"]
)
def test_the_next_build_mends_it(name: str, output: Path, published: Build):
    SPOILED[name](output / "latest")
    built = build(published.output.parent / "tables", output)
    assert (built.returncode, "latest names no version" in built.stderr) == (0, True)
    assert len(built.stderr.splitlines()) == 1
    assert latest_version(output).digests() == published.version.digests()
    assert latest_version(output).folder.name != published.version.folder.name
    assert (output.parent / "secret").read_text() == f"{SECRET}\n"
    assert sorted(os.listdir(output)) == ["README.md", "latest", "versions"]
    assert verify.main([str(output), "--num_workers", "1"]) == 0


def test_a_build_does_without_a_version_whose_manifest_has_changed(output: Path, published: Build):
    """It would be `unchanged`, but for the byte."""
    name = published.version.folder.name
    (output / "latest").write_text(f"{name}\n")
    manifest = output / "versions" / name / "manifest.json"
    manifest.write_bytes(manifest.read_bytes().replace(b'"rows": 3', b'"rows": 4', 1))
    built = build(published.output.parent / "tables", output)
    assert built.returncode == 0, built.stderr
    (line,) = built.stderr.splitlines()
    assert "damaged: manifest.json: its SHA-256" in line
    assert latest_version(output).digests() == published.version.digests()
    assert latest_version(output).folder.name != name
