"""Drawn folders, and inputs that change at drawn moments of builds; `make fuzz` tries more."""

import pytest

from tests.fuzz import driver


def test_drawn_folders_are_walked_matched_and_removed():
    outcomes, findings = driver.run("tests.fuzz.input_targets:drawn_folder", range(500))
    assert findings == []
    assert outcomes.total() == 500
    assert outcomes["circles"] > 50


@pytest.mark.timeout(600)
def test_what_changes_while_it_is_read_is_not_published():
    target = "tests.fuzz.input_targets:changed_input"
    outcomes, findings = driver.run(target, range(8), seconds=60, mebibytes=2000)
    assert findings == []
    assert outcomes.total() == 8
    assert outcomes["refused"] >= 2
    assert outcomes["published, of the inputs before"] >= 2
