"""20,000 mutated pictures, masks and zips, 1,000 tars, and 4,500 that are forged knowingly.

None crashes, hangs or takes memory.

What is refused is refused by PixelError; the targets check what is accepted.
"""

import os
import time

import pytest

from tests.fuzz import driver

TARGETS = {
    "jpeg_picture": 8_000,
    "png_picture": 6_000,
    "mask": 2_000,
    "zip_archive": 4_000,
    "tar_archive": 1_000,
    "png_structure": 1_500,
    "zip_claims": 1_500,
    "tar_claims": 1_500,
}
#: These have right checksums; the first one needs memory for TensorFlow.
FORGED = ("png_structure", "zip_claims", "tar_claims")
MEBIBYTES = {"png_structure": 1_500}

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


@pytest.mark.timeout(600)
def test_mutated_files_are_survived() -> None:
    assert sum(TARGETS[name] for name in TARGETS if name not in ("tar_archive", *FORGED)) == 20_000
    outcomes = driver.outcomes_of("tests.fuzz.picture_targets", TARGETS, MEBIBYTES)
    for target, found in outcomes.items():
        # Mutations that were all refused at the door, or all harmless, would show nothing.
        # A link is in each tar, so those that are read to their end have an unsafe path.
        accepted = "unsafe_path" if target == "tar_claims" else "sound"
        assert 0.02 < found[accepted] / TARGETS[target] < 0.5
    assert outcomes["jpeg_picture"].keys() >= {"corrupt", "truncated", "not_image"}
    assert outcomes["png_picture"].keys() >= {"corrupt", "truncated", "too_many_pixels"}
    assert outcomes["zip_archive"].keys() >= {"corrupt", "truncated", "unsafe_path"}
    # Of what is refused nearly all is refused by a reader too.
    found = outcomes["png_structure"]
    assert found.keys() >= {"corrupt", "truncated", "too_many_pixels", "format_not_allowed"}
    assert sum(n for word, n in found.items() if "though all read it" in word) < 150
    assert outcomes["zip_claims"].keys() >= {"corrupt", "truncated"}
    assert outcomes["tar_claims"].keys() >= {"corrupt", "truncated", "format_not_allowed"}
    assert outcomes["tar_archive"].keys() >= {"corrupt", "truncated", "unsafe_path"}
