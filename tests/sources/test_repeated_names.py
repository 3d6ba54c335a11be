"""A name that an archive has twice: alike it is one, with other content nobody knows which."""

import csv
import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.builds import Version, run_build
from tests.examples.imaging.pictures import jpeg, photo, save
from tests.oracle import expected

pytestmark = pytest.mark.filterwarnings("ignore:Duplicate name")

IDS = [f"{number:016x}" for number in range(6)]
ALIKE, CHANGED, SPELT, CASE, ELSEWHERE, SAME_SIZE = IDS
FIRST, SECOND = jpeg(), jpeg(quality=40)
#: What an archive holds of each image, in order.
PICTURES = [
    *((f"train/{ALIKE}.jpg", FIRST), (f"train/{ALIKE}.jpg", FIRST)),
    *((f"train/{CHANGED}.jpg", FIRST), (f"train/{CHANGED}.jpg", SECOND)),
    *((f"./train/{SPELT}.jpg", FIRST), (f"train//{SPELT}.jpg", SECOND)),
    *((f"train/{CASE}.jpg", FIRST), (f"train/{CASE}.JPG", SECOND)),
    *((f"train/{ELSEWHERE}.jpg", FIRST), (f"validation/{ELSEWHERE}.jpg", SECOND)),
    *((f"{SAME_SIZE}.jpg", FIRST + b"a"), (f"{SAME_SIZE}.jpg", FIRST + b"b")),
]
BLACK, WHITE = (save(photo("L").point(lambda _, level=level: level), "PNG") for level in (0, 255))
MASKS = [f"{image_id}_m01_00000000.png" for image_id in (ALIKE, CHANGED, ELSEWHERE)]
PNGS = [(MASKS[0], WHITE), (MASKS[0], WHITE), (f"./{MASKS[1]}", WHITE), (MASKS[1], BLACK)]
PNGS += [(f"a/{MASKS[2]}", WHITE), (f"b/{MASKS[2]}", BLACK)]


def write_zip(path: Path, members: list[tuple[str, bytes]]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(zipfile.ZipInfo(name), data)


def write_tar(path: Path, members: list[tuple[str, bytes]]) -> None:
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


@pytest.fixture(scope="module", params=["zip", "tar", "tar.gz"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repeated")
    write = write_zip if request.param == "zip" else write_tar
    for name, members in (("pictures", PICTURES), ("masks", PNGS)):
        (folder / name).mkdir()
        write(folder / name / f"{name}.{request.param}", members)
    (folder / "tables").mkdir()
    images = "".join(f"{image_id},train\n" for image_id in IDS)
    (folder / "tables/train-images.csv").write_text(f"ImageID,Subset\n{images}")
    header = ["MaskPath", "ImageID", "LabelName", "BoxID", "BoxXMin", "BoxXMax", "BoxYMin"]
    header += ["BoxYMax", "PredictedIoU", "Clicks"]
    with (folder / "tables/train-annotations-object-segmentation.csv").open("w") as file:
        rows = csv.writer(file)
        rows.writerow(header)
        for name in MASKS:
            rows.writerow([name, name[:16], "/m/01", "00000000", 0, 1, 0, 1, 0.5, ""])
    return folder


@pytest.fixture(scope="module")
def version(folder: Path) -> Version:
    command = ["--annotations", folder / "tables", "--images", folder / "pictures"]
    command += ["--masks", folder / "masks", "--output", folder / "out", "--num_workers", "1"]
    limits = ("--max_failure_rate", "1", "--max_bad_rate", "1")
    return run_build(*command, *limits, "--format", "parquet").version


def test_as_the_oracle(version: Version, folder: Path) -> None:
    wanted = expected(folder / "tables", folder / "pictures", folder / "masks")
    found = [(f["image_id"], f["stage"], f["reason"]) for f in version.failures]
    assert sorted(found) == sorted(wanted.failures.elements())
    assert sorted(found) == [
        (CHANGED, "fetch", "conflict"),
        (SPELT, "fetch", "conflict"),
        (SAME_SIZE, "fetch", "conflict"),
    ]
    pictures = {image_id: row["image"]["bytes"] for image_id, row in version.examples.items()}
    assert pictures == dict.fromkeys((ALIKE, CASE, ELSEWHERE), FIRST)


def test_the_failure_names_archive_and_places(version: Version, folder: Path) -> None:
    [archive] = (folder / "pictures").iterdir()
    for failure in version.failures:
        assert failure["source"] == str(archive)
        assert failure["image_id"] in failure["detail"]
        assert "more than once, with other content: at bytes" in failure["detail"]


def test_masks(folder: Path) -> None:
    command = ["--annotations", folder / "tables", "--images", "none", "--masks", folder / "masks"]
    command += ["--output", folder / "masks-only", "--num_workers", "1", "--format", "parquet"]
    version = run_build(*command, "--max_bad_rate", "1").version
    [failure] = version.failures
    reason = failure["stage"], failure["reason"], failure["image_id"]
    assert reason == ("mask", "conflict", CHANGED)
    [archive] = (folder / "masks").iterdir()
    assert failure["source"] == str(archive)
    areas = [version.examples[image_id]["masks"][0]["area"] for image_id in (ALIKE, ELSEWHERE)]
    assert areas == [photo().width * photo().height] * 2
    assert version.examples[CHANGED]["masks"][0]["counts"] is None
