"""20,000 mutated pictures, masks and zips, and 1,000 tars: none crashes, hangs or takes memory.

What is refused is refused by PixelError; the targets check what is accepted.
"""

import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.fuzz import driver

TARGETS = {
    "jpeg_picture": 8_000,
    "png_picture": 6_000,
    "mask": 2_000,
    "zip_archive": 4_000,
    "tar_archive": 1_000,
}

_hoard = []


def misbehave(number: int) -> str:
    """A target that goes wrong in every way that a driver must notice."""
    match number:
        case 1:
            time.sleep(60)
        case 2:
            while True:
                pass
        case 3:
            os.abort()
        case 4:
            raise KeyError("unexpected\nerror")
        case 5:
            _hoard.append(bytearray(b"x") * (100 << 20))
        case 6:
            bytearray(9 << 30)
        case 7:
            os._exit(0)
    return "sound"


def test_whatever_goes_wrong_is_named() -> None:
    target = "tests.fuzz.test_picture_targets:misbehave"
    outcomes, findings = driver.run(target, range(10), seconds=2, mebibytes=120)
    assert findings == [
        (1, "hang", "more than 2 s"),
        (2, "hang", "more than 2 s"),
        (3, "died", "SIGABRT"),
        (4, "raised", r"KeyError: 'unexpected\nerror'"),
        (5, "memory", findings[4].detail),
        (6, "raised", "MemoryError: "),
        (7, "died", "exit code 0"),
    ]
    assert outcomes == {"sound": 3}


def test_a_target_that_does_not_start_is_no_finding() -> None:
    with pytest.raises(RuntimeError, match="exit code 1"):
        driver.run("tests.fuzz.test_picture_targets:absent", range(1))


def fuzz(target: str) -> driver.Report:
    return driver.run(f"tests.fuzz.picture_targets:{target}", range(TARGETS[target]))


@pytest.mark.timeout(600)
def test_mutated_files_are_survived() -> None:
    assert sum(TARGETS.values()) - TARGETS["tar_archive"] == 20_000
    with ThreadPoolExecutor(2) as pool:
        reports = dict(zip(TARGETS, pool.map(fuzz, TARGETS), strict=True))
    assert {target: report.findings for target, report in reports.items()} == {
        target: [] for target in TARGETS
    }
    for target, report in reports.items():
        assert report.outcomes.total() == TARGETS[target]
        # Mutations that were all refused at the door, or all harmless, would show nothing.
        assert 0.02 < report.outcomes["sound"] / TARGETS[target] < 0.5
    # Pillow alone won't load a picture with a malformed chunk of no account after its pixels.
    assert reports["png_picture"].outcomes["sound, but for Pillow"] <= 3
    assert reports["jpeg_picture"].outcomes.keys() >= {"corrupt", "truncated", "not_image"}
    assert reports["png_picture"].outcomes.keys() >= {"corrupt", "truncated", "too_many_pixels"}
    assert reports["zip_archive"].outcomes.keys() >= {"corrupt", "truncated", "too_large"}
    assert reports["tar_archive"].outcomes.keys() >= {"corrupt", "truncated", "unsafe_path"}
