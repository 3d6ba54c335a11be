"""Selections: what is published equals the naive answer, flag by flag and in drawn combinations."""

import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from open_images.building import plan
from tests import builds, compare, oracle
from tests.selection import draw, naive


@pytest.fixture(scope="module", autouse=True)
def _several_buckets() -> Any:
    """Cuts the corpus into several buckets, where one would do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "_BUCKET_BYTES", 1 << 16)
        yield


@pytest.fixture(scope="module")
def corpus(corpus_v7: Path) -> Path:
    return corpus_v7 / "annotations"


@pytest.fixture(scope="module")
def expected(corpus: Path) -> oracle.Expected:
    return oracle.expected(corpus)


@pytest.fixture(scope="module")
def everything(expected: oracle.Expected) -> Mapping[str, list[dict]]:
    return expected.examples


@pytest.fixture(scope="module")
def parents(expected: oracle.Expected) -> Mapping[str, list[str]]:
    return {each["label"]: each["parents"] for each in expected.classes}


Check = Callable[..., builds.Build]


@pytest.fixture
def check(
    corpus: Path,
    everything: Mapping[str, list[dict]],
    parents: Mapping[str, list[str]],
    tmp_path: Path,
) -> Check:
    """Builds a selection, and compares what is published with the naive answer."""

    def check(drawn: draw.Drawn, *others: object) -> builds.Build:
        wanted = naive.select(everything, drawn.wanted, parents)
        done = builds.run_build(
            *("--annotations", corpus, "--images", "none", "--format", "parquet"),
            *("--max_bad_rate", "1", "--output", tmp_path / "out", *drawn.flags, *others),
        )
        if not any(wanted.values()):
            assert done.returncode == 1, done.stdout
            assert "no images to publish" in done.stderr
            return done
        assert done.returncode == 0, done.stderr
        examples = [each for split in done.version.manifest["splits"] for each in wanted[split]]
        compare.assert_examples_equal(done.version.table, examples)
        for source in done.version.manifest["sources"]:
            left_out = sum(source["deselected"].values())
            counted = source["kept"] + source["repeats"] + source["orphans"] + source["bad_rows"]
            assert source["rows"] == counted + left_out, source
        return done

    return check


@pytest.mark.parametrize("name", draw.SINGLE)
def test_a_flag_by_itself(check: Check, everything: Mapping, parents: Mapping, name: str) -> None:
    rng = random.Random(name)
    check(draw.draw(rng, everything, parents, [name]))


@pytest.mark.parametrize("seed", range(12))
def test_flags_together(check: Check, everything: Mapping, parents: Mapping, seed: int) -> None:
    rng = random.Random(seed)
    names = [name for name in draw.SINGLE if rng.random() < 0.35] or ["classes"]
    check(draw.draw(rng, everything, parents, names))
