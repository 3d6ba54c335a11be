"""Selections: what is published equals the naive answer, flag by flag and in drawn combinations."""

import dataclasses
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.selection import checking, draw, naive
from tests.selection.corpora import Corpus

#: Drawn combinations of each corpus; `make fuzz` tries more.
DRAWN = [*(("v7", seed) for seed in range(10)), *(("v3", 100 + seed) for seed in range(3))]
DRAWN += [("no_tables", 200 + seed) for seed in range(3)]


@pytest.fixture(autouse=True)
def _several_buckets() -> Iterator[None]:
    with checking.carried_out():
        yield


@pytest.mark.parametrize("name", [name for name in draw.SINGLE if name != "splits"])
def test_a_flag_by_itself(v7: Corpus, tmp_path: Path, name: str) -> None:
    """It does what it says, and changes what is published."""
    default = getattr(naive.Wanted(), name)
    for attempt in range(20):
        drawn = draw.draw(random.Random(f"{name} {attempt}"), v7, [name])
        without = draw.Drawn([], dataclasses.replace(drawn.wanted, **{name: default}))
        found = checking.select(v7, drawn).examples
        if found and found != checking.select(v7, without).examples:
            break
    else:
        pytest.fail("no draw changes anything")
    done = checking.run(v7, drawn, tmp_path / "out")
    assert checking.check(v7, drawn, done) != "nothing"


def test_a_quota_without_image_tables(no_tables: Corpus, tmp_path: Path) -> None:
    """All images are counted, though no annotation decides about them."""
    drawn = draw.Drawn(["--max_images", "7"], naive.Wanted(max_images=7))
    done = checking.run(no_tables, drawn, tmp_path / "out")
    assert checking.check(no_tables, drawn, done) == "some"


def test_a_class_that_no_image_shows(v7: Corpus, tmp_path: Path) -> None:
    """Which condition leaves nothing is said in both ways."""
    label = next(each["label"] for each in v7.classes if each["name"] == "Tortoise")
    drawn = draw.Drawn(["--classes", label], naive.Wanted(classes=[[label]]))
    for first in (True, False):
        with checking.carried_out(first):
            done = checking.run(v7, drawn, tmp_path / str(first))
        assert checking.check(v7, drawn, done) == "nothing"
        assert "no images to publish: none is left by --classes" in done.stderr


@pytest.mark.parametrize(("corpus", "seed"), DRAWN)
def test_flags_together(
    find_corpus: Callable[[str], Corpus], tmp_path: Path, corpus: str, seed: int
) -> None:
    """Whether images are chosen before most rows are read, or when all rows are there."""
    inputs = find_corpus(corpus)
    drawn = draw.draw_some(random.Random(seed), inputs)
    done = []
    for first in (True, False):
        with checking.carried_out(first):
            done.append(checking.run(inputs, drawn, tmp_path / str(first)))
        checking.check(inputs, drawn, done[-1])
    checking.assert_same(*done)
