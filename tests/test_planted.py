"""What another user may have put into an output: nothing of it runs, is followed or is trusted."""

import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from open_images.building import plan
from pipelines import versions
from pipelines.cli import build_flags
from tests.builds import latest_version, run_build
from tests.other_user import ANNOTATIONS, FLAGS, USER, at_work
from transforms.releases import workspace
from transforms.reuse import recording
from transforms.reuse.previous import Previous, link_into
from transforms.storage import files, private

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="root alone can act as another user")


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that every user can enter, unlike pytest's."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


@pytest.fixture
def output(place: Path) -> Path:
    """An output in which others may build, too."""
    (place / "output").mkdir()
    (place / "output").chmod(0o777)
    return place / "output"


@pytest.fixture
def victim(place: Path) -> Path:
    """A folder of ours elsewhere."""
    folder = place / "victim"
    folder.mkdir()
    (folder / "file").write_text("ours")
    return folder


def assert_unharmed(victim: Path) -> None:
    assert [path.name for path in victim.iterdir()] == ["file"]
    assert (victim / "file").read_text() == "ours"


def give(path: Path) -> None:
    """Gives a folder with all that is in it to the other user."""
    for each in [path, *path.rglob("*")]:
        os.lchown(each, USER, USER)


class Bomb:
    """Runs a command where it is unpickled."""

    def __init__(self, command: str) -> None:
        self._command = command

    def __reduce__(self) -> tuple:
        return os.system, (self._command,)


def plant(output: Path, mode: int = 0o700) -> Path:
    """Makes what a build that was killed leaves, with this fingerprint, which is no secret."""
    flags = [str(flag) for flag in (*FLAGS, "--num_workers", "1", "--output", output)]
    work = output / ".work" / "0123456789abcdef"
    for name in ("journal", "exchange", "parts", "version", "progress"):
        (work / name).mkdir(parents=True)
    work.chmod(mode)
    fingerprint = plan.make_plan(build_flags.parse(flags)[0]).fingerprint
    (work / "fingerprint").write_text(fingerprint)
    work.with_suffix(".lock").touch()
    return work


@pytest.mark.parametrize("owner", ["other", "self", "self, lax"])
def test_a_planted_journal_runs_nothing(output: Path, victim: Path, owner: str):
    work = plant(output, 0o777 if owner == "self, lax" else 0o700)
    bomb = pickle.dumps(Bomb(f"touch {victim}/pwned"))
    (work / "journal" / "bucket-0").write_bytes(bomb)
    (work / "journal" / "range-0-0-1-0").write_bytes(pickle.dumps(({}, {}, bomb)))
    if owner == "other":
        give(output / ".work")
    built = run_build(*FLAGS, "--output", output)
    assert built.returncode == 0, built.stderr
    assert "going on" not in built.stdout + built.stderr
    assert_unharmed(victim)
    latest_version(output).assert_whole()
    assert work.exists() == (owner == "other")  # nobody's work is removed by others


def test_links_in_a_work_folder_lead_nowhere(output: Path, victim: Path):
    work = plant(output)
    (work / "exchange").rmdir()
    (work / "exchange").symlink_to(victim)
    (work / "parts" / "link").symlink_to(victim)
    (work / "version" / "link").symlink_to(victim)
    (work / "journal" / "bucket-0").symlink_to(victim / "file")
    os.mkfifo(work / "journal" / "bucket-1")
    (work.parent / "aaaa.lock").symlink_to(victim / "made")
    (work.parent / "bbbb").symlink_to(victim)
    built = run_build(*FLAGS, "--output", output)
    assert built.returncode == 0, built.stderr
    assert_unharmed(victim)
    assert not work.exists()


def link(path: Path, victim: Path) -> None:
    path.symlink_to(victim)


def link_to_file(path: Path, victim: Path) -> None:
    path.symlink_to(victim / "file")


def second_name(path: Path, victim: Path) -> None:
    os.link(victim / "file", path)


def file(path: Path, _: Path) -> None:
    path.touch()


def pipe(path: Path, _: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("name", "put"),
    [
        (".work", link),
        (".work", link_to_file),
        ("versions", link),
        ("versions", file),
        (".work/lease", link_to_file),
        (".work/lease", second_name),
        (".work/lease", pipe),
    ],
)
def test_what_is_no_folder_or_file_of_a_build_is_refused(
    output: Path, victim: Path, name: str, put: Callable
):
    (output / name).parent.mkdir(exist_ok=True)
    put(output / name, victim)
    os.lchown(output / name, USER, USER) if put is not second_name else None
    built = run_build(*FLAGS, "--output", output)
    assert built.returncode == 2
    assert built.stderr.count("\n") == 1
    found = "file, not a folder" if put is file else "link"
    assert f"{output / name} is a {found}" in built.stderr
    assert "have that removed, or name another folder" in built.stderr
    (victim / "second").unlink(missing_ok=True)
    assert_unharmed(victim)


def other_user(action: str, output: Path | str, **options: object) -> subprocess.Popen:
    command = [sys.executable, "-m", "tests.other_user", action, str(output)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, **pipes, **options)


def test_users_take_turns_in_one_output(output: Path):
    """A killed build of one hinders no other, and goes on when its user comes back."""
    killed = other_user("die", output)
    assert killed.wait() == -signal.SIGKILL
    (left,) = (output / ".work").glob("*/")
    assert (left.stat().st_uid, left.stat().st_mode & 0o777) == (USER, 0o700)
    built = run_build(*FLAGS, "--output", output)
    assert built.returncode == 0, built.stderr
    assert sorted((output / ".work").iterdir()) == [left, left.with_suffix(".lock")]
    assert other_user("go_on", output).communicate()[0] == "1\n"
    assert not (output / ".work").exists()


def test_another_user_builds_after_a_killed_build_of_ours(output: Path):
    script = "import sys; from tests import other_user; other_user.die(sys.argv[1])"
    killed = subprocess.run([sys.executable, "-c", script, str(output)])
    assert killed.returncode == -signal.SIGKILL
    said, trouble = other_user("build", output).communicate()
    assert said.startswith("0 "), said + trouble
    assert (output / "latest").stat().st_uid == USER
    with at_work(str(output)) as (_, done):
        assert done == 1


def test_a_build_that_was_taken_over_writes_nothing_whoever_it_belongs_to(output: Path):
    living = other_user("live", output, stdin=subprocess.PIPE)
    work = Path(living.stdout.readline().strip())
    assert work.is_dir()
    with workspace.workspace(str(output), fingerprint="", token="ours"):
        assert not work.exists()
    living.communicate("")


def test_a_worker_that_is_another_user_says_so(output: Path):
    with workspace.workspace(str(output)) as (work, _):
        said, _ = other_user("sign_on", work).communicate()
    assert f"the work folder {work} is closed to nobody, as whom a worker on " in said
    with workspace.workspace(str(output), for_group=True) as (work, _):
        assert os.stat(work).st_mode & 0o777 == 0o770 & ~os.umask(os.umask(0o022))


def test_a_folder_of_another_user_where_nobody_renames(place: Path):
    """In a place like /tmp, who owns a folder decides what lies in it."""
    shared = place / "scratch"
    (shared / ".work").mkdir(parents=True)
    shared.chmod(0o1777)
    os.chown(shared / ".work", USER, USER)
    with pytest.raises(private.ForeignError, match=r"\.work belongs to nobody"):
        private.make_shared_folder(str(shared / ".work"))


@pytest.fixture
def temporary(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The system's temporary folder; ours in it, which isn't there."""
    folder = place / "tmp"
    folder.mkdir()
    folder.chmod(0o1777)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder / "open-images-0"


def test_the_folder_for_temporary_work_is_ours_alone(temporary: Path, victim: Path):
    temporary.symlink_to(victim)
    with pytest.raises(private.ForeignError, match="is a link"):
        private.own_temporary_folder()
    temporary.unlink()
    temporary.mkdir()
    os.chown(temporary, USER, USER)
    with pytest.raises(private.ForeignError, match="belongs to nobody"):
        private.own_temporary_folder()
    os.chown(temporary, 0, 0)
    temporary.chmod(0o777)
    assert private.own_temporary_folder() == str(temporary)
    assert temporary.stat().st_mode & 0o777 == 0o700
    assert_unharmed(victim)


def test_lineage_names_no_file_elsewhere(output: Path, place: Path):
    """Neither by its path, nor through a link: of a version that others have written."""
    built = run_build(*FLAGS, "--output", output)
    folder = built.version.folder
    (shard,) = folder.glob("parquet/*")
    table = pq.read_table(folder / recording.PARTS)
    (row,) = [row for row in table.to_pylist() if row["format"] == "parquet"]
    wanted = (row["bucket"], 1, row["digest"], row["num_examples"], ("parquet",))

    def take() -> list | None:
        work = Path(tempfile.mkdtemp(dir=place))
        return Previous.open(str(folder), str(work), files.DEFAULTS).bucket(*wanted)

    assert take()
    shard.rename(place / "elsewhere")
    shard.symlink_to(place / "elsewhere")
    assert take() is None
    with pytest.raises(OSError, match="is no regular file"):
        link_into(str(place), str(shard))
    for path in ("../../../elsewhere", str(place / "elsewhere")):
        paths = [path if each == row["path"] else each for each in table["path"].to_pylist()]
        other = table.set_column(table.schema.get_field_index("path"), "path", [paths])
        (folder / recording.PARTS).write_bytes(recording.encode_parts(other))
        assert take() is None


def test_pins_follow_no_link(output: Path, victim: Path, capfd: pytest.CaptureFixture[str]):
    name = run_build(*FLAGS, "--output", output).version.folder.name
    (output / "pins").mkdir()
    (output / "pins" / name).symlink_to(victim / "file")
    assert versions.main([str(output), "pin", name]) == 1
    assert "is a link" in capfd.readouterr().err
    shutil.rmtree(output / "pins")
    (output / "pins").symlink_to(victim)
    assert versions.main([str(output), "pin", name]) == 1
    assert_unharmed(victim)


def test_annotations_are_readable_by_all():
    """Else the tests above would show something else."""
    assert all(path.stat().st_mode & 0o004 for path in ANNOTATIONS.iterdir())
