"""URLs whose secrets must not show, and elements that a journal must give back, drawn."""

import pytest

from tests.fuzz import driver


def fuzz(target: str, count: int) -> driver.Report:
    return driver.run(f"tests.fuzz.trust_targets:{target}", range(count))


@pytest.mark.timeout(300)
def test_no_secret_of_a_drawn_url_shows() -> None:
    report = fuzz("url", 6_000)
    assert report.findings == []
    assert all(report.outcomes[f"{count} secrets"] > 150 for count in range(5))


@pytest.mark.timeout(300)
def test_drawn_elements_are_read_back() -> None:
    report = fuzz("elements", 3_000)
    assert report.findings == []
    assert min(report.outcomes["refused"], report.outcomes["sound"]) > 150
