"""Mutated tables, class files and image lists: no row costs another, and none costs the build."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.fuzz import driver

TARGETS = {"table": 2_400, "class_file": 2_000, "image_list": 1_000}


def fuzz(target: str) -> driver.Report:
    return driver.run(f"tests.fuzz.table_targets:{target}", range(TARGETS[target]))


@pytest.mark.timeout(600)
def test_mutated_tables_are_read_row_by_row() -> None:
    with ThreadPoolExecutor(2) as pool:
        reports = dict(zip(TARGETS, pool.map(fuzz, TARGETS), strict=True))
    assert {target: report.findings for target, report in reports.items()} == {
        target: [] for target in TARGETS
    }
    for target, report in reports.items():
        assert report.outcomes.total() == TARGETS[target]
        assert report.outcomes["sound"] > 0.1 * TARGETS[target]
        assert report.outcomes["refused"] > 0.05 * TARGETS[target]
    # Most rows are tried beside bad ones.
    assert 0.5 < reports["table"].outcomes["bad rows"] / TARGETS["table"] < 0.8
    assert reports["class_file"].outcomes["bad rows"] > 0.3 * TARGETS["class_file"]
