"""Mutated tables, class files and image lists: no row costs another, and none costs the build."""

import pytest

from tests.fuzz import driver

TARGETS = {"table": 700, "class_file": 400, "image_list": 300}


@pytest.mark.timeout(600)
def test_mutated_tables_are_read_row_by_row() -> None:
    outcomes = driver.outcomes_of("tests.fuzz.table_targets", TARGETS)
    for target, found in outcomes.items():
        assert found["sound"] > 0.1 * TARGETS[target]
        assert found["refused"] > 0.05 * TARGETS[target]
    # Most rows are tried beside bad ones.
    assert 0.5 < outcomes["table"]["bad rows"] / TARGETS["table"] < 0.8
    assert outcomes["class_file"]["bad rows"] > 0.3 * TARGETS["class_file"]
