"""The bytes of a small build, which no change of the code alters unless it means to.

`python -m tests.releases.test_golden` writes the sums anew.
"""

import importlib.metadata
import json
import sys
import tempfile
import zlib
from pathlib import Path

import pytest

from tests.builds import run_build
from transforms.formats.described import describe
from transforms.formats.registry import FORMATS, find_format
from transforms.formats.settings import DEFAULT_SETTINGS
from transforms.kinds.registry import EXAMPLE, TABLES
from transforms.releases.fingerprint import OUTPUT_REVISION

INPUTS = Path(__file__).parents[1] / "data" / "golden"
SUMS = INPUTS / "sums.json"

_NO_PIXELS = ("--images=none",)
_PIXELS = (f"--images={INPUTS / 'images'}", f"--masks={INPUTS / 'masks'}")
PROCESSED = "turned and resized, with maps"
CASES: dict[str, tuple[str, ...]] = {
    "annotations": _NO_PIXELS,
    "pictures and masks": _PIXELS,
    PROCESSED: (
        *_PIXELS,
        *("--apply_rotation", "--image_size=64", "--resize=shortest"),
        "--mask_maps=instance,semantic",
    ),
}
#: What encodes pictures, and Parquet. A build's fingerprint has their versions.
_LIBRARIES = ("opencv-python-headless", "pillow", "pyarrow", "simplejpeg")
_COMMAND = "python -m tests.releases.test_golden"
_CHANGED = f"""\
With the inputs and flags of tests/data/golden, the code writes other bytes than before.
If that is meant, raise OUTPUT_REVISION in transforms/releases/fingerprint.py: else whoever updates
this project finds a version "unchanged" that has other bytes. Then run

    {_COMMAND}

which writes the new sums to {SUMS.relative_to(INPUTS.parents[2])}."""
_OTHER_COLUMNS = f"""\
An example has other columns than when the sums were recorded. That alone needs no other revision,
since a build's fingerprint has the columns. Run

    {_COMMAND}"""


def sum_shards(case: str, output: Path) -> dict[str, str]:
    """Builds; the SHA-256 of each shard by its path."""
    flags = (f"--annotations={INPUTS / 'annotations'}", *CASES[case], "--max_bad_rate=1")
    kinds = {*TABLES} if CASES[case] == _NO_PIXELS else {*TABLES, "pictures", "mask_files"}
    formats = [form for form in FORMATS if not find_format(form).missing(kinds, DEFAULT_SETTINGS)]
    built = run_build(*flags, "--format", ",".join(formats), "--output", output)
    assert built.returncode == 0, built.stderr
    splits = built.version.manifest["splits"].values()
    return {shard["path"]: shard["sha256"] for split in splits for shard in split["shards"]}


def installed() -> dict[str, str]:
    versions = {name: importlib.metadata.version(name) for name in _LIBRARIES}
    return versions | {"zlib": zlib.ZLIB_RUNTIME_VERSION}


@pytest.mark.parametrize("case", CASES)
def test_bytes_are_those_of_this_revision(case: str, tmp_path: Path):
    recorded = json.loads(SUMS.read_text())
    assert recorded["columns"] == describe(EXAMPLE), _OTHER_COLUMNS
    assert recorded["output_revision"] == OUTPUT_REVISION, _CHANGED
    expected, found = recorded["sums"][case], sum_shards(case, tmp_path / "output")
    assert found.keys() == expected.keys(), f"to record the sums of a new format: {_COMMAND}"
    if recorded["libraries"] != installed():  # which some of the bytes come from
        if case == PROCESSED:
            pytest.skip(f"other libraries: {_COMMAND}")
        found, expected = (
            {path: each for path, each in sums.items() if path.startswith("tfrecord/")}
            for sums in (found, expected)
        )
    assert found == expected, _CHANGED


def main() -> str | None:
    """Writes the sums anew, unless that would hide a change that needs another revision."""
    with tempfile.TemporaryDirectory() as folder:
        sums = {case: sum_shards(case, Path(folder, case)) for case in CASES}
    before = json.loads(SUMS.read_text())
    changed = any(
        sums[case].get(path, each) != each
        for case in sums.keys() & before["sums"].keys()
        for path, each in before["sums"][case].items()
    )
    now = {
        "output_revision": OUTPUT_REVISION,
        "columns": describe(EXAMPLE),
        "libraries": installed(),
    }
    if changed and all(before.get(name) == value for name, value in now.items()):
        return _CHANGED
    SUMS.write_text(json.dumps({**now, "sums": sums}, indent=1) + "\n")
    return None


if __name__ == "__main__":
    sys.exit(main())
