"""Damage to any file of an output is found by `verify`, which names the file.

`make fuzz` tries more of each.
"""

import pytest

from tests.fuzz import driver

#: How many inputs of each target are tried here.
TARGETS = {"flipped_bit": 50, "damaged_file": 40, "added_file": 8}
_MEBIBYTES = 1024  # with a build


@pytest.mark.parametrize("target", TARGETS)
def test_damage_is_found(target: str) -> None:
    numbers = range(TARGETS[target])
    report = driver.run(
        f"tests.fuzz.version_targets:{target}", numbers, seconds=20, mebibytes=_MEBIBYTES
    )
    assert report.findings == []
    if target == "damaged_file":
        assert len(report.outcomes) >= 7
        assert report.outcomes["same"] < 8
