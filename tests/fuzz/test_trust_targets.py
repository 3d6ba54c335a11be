"""URLs whose secrets must not show, and elements that a journal must give back, drawn."""

import pytest

from tests.fuzz import driver


@pytest.mark.timeout(300)
def test_no_secret_of_a_drawn_url_shows_and_drawn_elements_are_read_back() -> None:
    outcomes = driver.outcomes_of("tests.fuzz.trust_targets", {"url": 6_000, "elements": 3_000})
    assert all(outcomes["url"][f"{count} secrets"] > 150 for count in range(5))
    assert min(outcomes["elements"]["refused"], outcomes["elements"]["sound"]) > 150
