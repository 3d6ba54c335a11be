"""Pictures that are damaged within: `build` and `verify` judge them alike."""

import csv
import re
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines import verify
from tests.builds import Build, latest_version, run_build
from tests.examples.imaging.pictures import chunk, ihdr, jpeg, photo, png, save
from tests.releases import spoiling
from transforms.releases import verify as checks
from transforms.releases.output import Output

PHOTO = jpeg()
MIDDLE = len(PHOTO) // 2
PROGRESSIVE = jpeg(progressive=True)
_ROWS = zlib.compress(bytes(75 * 121))


def grey_png(data: bytes) -> bytes:
    """A PNG of these pixels, deflated, whose checksums are right."""
    return png(ihdr(120, 75), chunk(b"IDAT", data), chunk(b"IEND"))


#: Damage that a header and an end don't show; whether Pillow decodes it all the same.
DAMAGED = {
    "stray bytes before the end": (PHOTO[:-2] + bytes(range(1, 41)) + PHOTO[-2:], True),
    "stray bytes between segments": (PHOTO[:20] + b"\0\0" + PHOTO[20:], True),
    "the middle is gone": (PHOTO[:MIDDLE] + PHOTO[-2:], True),
    "zeros in the middle": (PHOTO[:MIDDLE] + bytes(300) + PHOTO[MIDDLE + 300 :], True),
    "half of a progressive one": (PROGRESSIVE[: len(PROGRESSIVE) * 3 // 4] + PHOTO[-2:], True),
    "no quantization tables": (PHOTO.replace(b"\xff\xdb", b"\xff\xfe"), False),
    "a PNG of pixels that don't inflate": (grey_png(b"none" + _ROWS), False),
    "a PNG whose pixels end early": (grey_png(_ROWS[:-20]), False),
}
SOUND = {
    "a JPEG": PHOTO,
    "a PNG": save(photo(), "PNG"),
    "a JPEG with bytes behind": PHOTO + b"behind",
    "a progressive JPEG": PROGRESSIVE,
}
IDS = {name: f"{number:016x}" for number, name in enumerate(DAMAGED | SOUND)}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> list[object]:
    folder = tmp_path_factory.mktemp("inputs")
    (folder / "images").mkdir()
    pictures = {name: data for name, (data, _) in DAMAGED.items()} | SOUND
    for name, data in pictures.items():
        (folder / "images" / f"{IDS[name]}.jpg").write_bytes(data)
    with open(folder / "train-annotations-bbox.csv", "w", newline="") as file:
        writer = csv.writer(file)
        columns = ("ImageID", "Source", "LabelName", "Confidence", "XMin", "XMax", "YMin", "YMax")
        writer.writerow(columns)
        writer.writerows((i, "xclick", "/m/0cmf2", 1, 0, 0.5, 0, 0.5) for i in IDS.values())
    return ["--annotations", folder / "train-annotations-bbox.csv", "--images", folder / "images"]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Callable[[Path], tuple[int, list[str]]]:
    """Verifies an output; the exit code, and what it prints."""

    def run(output: Path) -> tuple[int, list[str]]:
        capfd.readouterr()
        code = verify.main([str(output), "--num_workers", "1"])
        said = capfd.readouterr()
        return code, (said.err + said.out).splitlines()

    return run


@pytest.fixture(scope="module")
def loose(inputs: list[object], tmp_path_factory: pytest.TempPathFactory) -> Build:
    built = run_build(*inputs, "--output", tmp_path_factory.mktemp("loose"))
    assert built.returncode == 0, built.stderr
    return built


@pytest.fixture(scope="module")
def strict(inputs: list[object], tmp_path_factory: pytest.TempPathFactory) -> Build:
    flags = ["--verify_pixels", "--max_failure_rate", "1"]
    built = run_build(*inputs, *flags, "--output", tmp_path_factory.mktemp("strict"))
    assert built.returncode == 0, built.stderr
    return built


def test_what_a_build_accepts_is_no_problem_to_verify(loose: Build, run: Callable):
    assert loose.version.examples.keys() == set(IDS.values())
    code, lines = run(loose.output)
    assert code == 0
    *damaged, remedy, summary = lines
    assert re.search(": whole; 12 examples in 2 shards .*, 12 pictures decoded", summary)
    assert f"damaged pictures: {len(DAMAGED)}, " in remedy
    assert "--verify_pixels" in remedy
    told = dict(
        re.fullmatch("parquet/train.*: the picture of (.{16}) is (.*)", d).groups() for d in damaged
    )
    assert told.keys() == {IDS[name] for name in DAMAGED}
    for name, (_, decodes) in DAMAGED.items():
        assert told[IDS[name]].startswith("damaged: "), name
        assert told[IDS[name]].endswith(", and Pillow can't decode it") != decodes, name


def test_the_remedy_is_one(strict: Build, run: Callable):
    assert strict.version.examples.keys() == {IDS[name] for name in SOUND}
    assert {row["image_id"] for row in strict.version.failures} == {IDS[name] for name in DAMAGED}
    code, (line,) = run(strict.output)
    assert (code, ": whole; 4 examples" in line) == (0, True), line


def test_a_build_again_and_again(inputs: list[object], loose: Build, run: Callable):
    """As every night: the second build has nothing to do, and verify doesn't stop it."""
    again = run_build(*inputs, "--output", loose.output)
    assert (again.returncode, "unchanged" in again.stdout) == (0, True)
    assert run(loose.output)[0] == 0


def test_few_are_named_and_all_are_counted(
    loose: Build, run: Callable, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(checks, "_DAMAGED_SHOWN", 3)
    lines: list[str] = []
    name = loose.version.folder.name
    found = checks.verify(Output(str(loose.output)), name, None, 1, lines.append, print)
    assert (found.damaged, found.problems, len(lines)) == (len(DAMAGED), 0, 3)
    assert f"damaged pictures: {len(DAMAGED)}, " in run(loose.output)[1][-2]


def test_a_version_of_decoded_pictures_is_judged_strictly(
    loose: Build, tmp_path: Path, run: Callable
):
    shutil.copytree(loose.output, tmp_path / "copy")
    version = latest_version(tmp_path / "copy")
    spoiling.edit_manifest(version, lambda found: found["config"].update(verify_pixels=True))
    code, (*problems, summary, _) = run(tmp_path / "copy")
    assert code == 1
    assert all(re.search("the picture of .{16} doesn't decode: ", line) for line in problems)
    assert f": {len(DAMAGED)} problems; " in summary


def test_a_shard_that_has_changed_is_built_again_with_rebuild(
    inputs: list[object], tmp_path: Path, run: Callable
):
    """Which is what verify says: inputs and flags are the same, so that nothing else would."""
    flags = [*inputs, "--format", "parquet", "--output", tmp_path]
    assert run_build(*flags).returncode == 0
    (shard,) = latest_version(tmp_path).shards("train", "parquet")
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.chmod(0o644)
    shard.write_bytes(data)
    code, lines = run(tmp_path)
    assert code == 1
    assert "build it again with --rebuild" in lines[-1]
    assert "unchanged" in run_build(*flags).stdout
    assert run(tmp_path)[0] == 1
    assert run_build(*flags, "--rebuild").returncode == 0
    assert run(tmp_path)[0] == 0
