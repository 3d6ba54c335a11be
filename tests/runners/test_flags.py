"""Presets: what a runner sets, and what it leaves to the user."""

import pytest

from pipelines.cli import build_flags
from runners.launch import with_defaults

BUILD = ("--annotations", "a", "--images", "none", "--output", "o")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], ["--parallelism=2", "--job_name=build"]),
        (["--parallelism", "4"], ["--job_name=build", "--parallelism", "4"]),
        (["--parallelism=4"], ["--job_name=build", "--parallelism=4"]),
        (["--parallelisms", "4"], ["--parallelism=2", "--job_name=build", "--parallelisms", "4"]),
        (
            ["--flag", "parallelism"],
            ["--parallelism=2", "--job_name=build", "--flag", "parallelism"],
        ),
    ],
)
def test_what_the_user_gave_wins(given: list[str], expected: list[str]):
    assert with_defaults(given, {"parallelism": 2, "job_name": "build"}) == expected


def test_flags_without_a_value():
    defaults = {"pickle": True, "quiet": False, "name": None}
    assert with_defaults([], defaults) == ["--pickle"]
    assert with_defaults(["--no_pickle"], defaults) == ["--no_pickle"]


@pytest.mark.parametrize(
    "flags", [["--execution_mode_for_batch", "PIPELINED"], ["--object_reuse"], ["--parallelism=3"]]
)
def test_flags_of_flink_pass_through(flags: list[str]):
    _, others = build_flags.parse([*BUILD, "--runner", "flink", *flags])
    assert others == flags


def test_flags_of_flink_are_unknown_elsewhere(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit, match="2"):
        build_flags.parse([*BUILD, "--object_reuse"])
    assert "unknown flag --object_reuse" in capsys.readouterr().err
