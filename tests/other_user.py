"""Does as another user what a test needs done: `python -m tests.other_user ACTION OUTPUT`, by root.

The user is `USER`, who may not be able to import anything: so all is imported before.
"""

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.builds import run_build
from transforms import progress
from transforms.releases import lease, workspace
from transforms.storage import files

USER = 65534
ANNOTATIONS = Path(__file__).parent / "data" / "field_cases" / "17b-nightly" / "ann"
FLAGS = ("--annotations", ANNOTATIONS, "--images", "none", "--format", "parquet")


def become_other_user() -> None:
    """Gives up being root."""
    os.setgroups([])
    os.setgid(USER)
    os.setuid(USER)


@contextlib.contextmanager
def at_work(output: str) -> Iterator[tuple[str, int]]:
    """A work folder, and how many pieces are done, as a build has them that holds the lease."""
    with (
        lease.hold(output, 0, files.DEFAULTS, print) as held,
        workspace.workspace(output, fingerprint="theirs", token=held.token) as work,
    ):
        yield work


def die(output: str) -> None:
    """Is killed in the midst of a build, of which one piece is done."""
    with at_work(output) as (work, _):
        Path(work, "journal", "bucket-0").write_text("[{}, {}, []]")
        os.kill(os.getpid(), signal.SIGKILL)


def go_on(output: str) -> None:
    """Prints how many pieces of `die` are done."""
    with at_work(output) as (_, done):
        print(done)


def live(output: str) -> None:
    """Prints its work folder, and is at work until its input ends."""
    with workspace.workspace(output, fingerprint="theirs", token="theirs") as (work, _):
        print(work, flush=True)
        sys.stdin.read()


def sign_on(work: str) -> None:
    """Begins as a worker of a build does; prints why it can't."""
    try:
        progress.sign_on(os.path.join(work, "progress"))
    except progress.WorkFolderError as error:
        print(error)


def build(output: str) -> None:
    """Builds; prints what the build says."""
    built = run_build(*FLAGS, "--output", output)
    print(built.returncode, built.stdout, built.stderr)


if __name__ == "__main__":
    action, place = sys.argv[1:]
    if action == "build":  # what is imported late is so by this
        run_build(*FLAGS, "--output", f"{place}.warm")
    become_other_user()
    {"die": die, "go_on": go_on, "live": live, "sign_on": sign_on, "build": build}[action](place)
