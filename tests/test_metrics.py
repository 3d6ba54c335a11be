"""What engines show of a build: counters and distributions under constant names."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from apache_beam.metrics.metric import MetricResults

from runners import direct
from tests import builds
from transforms import metrics
from transforms.kinds.registry import TABLES


@pytest.fixture
def results(monkeypatch: pytest.MonkeyPatch) -> list[MetricResults]:
    """The metrics of each build that is run."""
    found: list[MetricResults] = []
    run = direct.run
    monkeypatch.setattr(direct, "run", lambda *arguments: found.append(run(*arguments)))
    return found


def table_bytes(built: builds.Build) -> int:
    """The bytes of all tables that were read."""
    tables = {source["path"]: source["kind"] for source in built.version.manifest["sources"]}
    return sum(Path(path).stat().st_size for path, kind in tables.items() if kind in TABLES)


def test_rows_that_are_read_twice_are_measured_once(
    make_corpus: Callable[[str, int], Path], tmp_path: Path, results: list[MetricResults]
):
    built = builds.run_build(
        *("--annotations", make_corpus("v7", 60) / "annotations", "--images", "none"),
        *("--max_images", "1", "--classes", "Person", "--output", tmp_path / "out"),
    )
    assert built.returncode == 0, built.stderr
    counters = results[0].query()["counters"]
    total = table_bytes(built)
    read = sum(each.committed for each in counters if each.key.metric.name == "bytes_read")
    assert 0.9 * total < read < total


def test_metrics_agree_with_what_was_published(
    make_corpus: Callable[[str, int], Path], tmp_path: Path, results: list[MetricResults]
):
    corpus = make_corpus("v7", 60)
    (tmp_path / "images").mkdir()
    pictures = sorted((corpus / "images").rglob("*.jpg"))
    for picture in pictures[1:]:
        shutil.copy(picture, tmp_path / "images")
    (tmp_path / "images" / pictures[0].name).write_bytes(b"no picture")

    flags = ["--images", tmp_path / "images", "--max_failure_rate", "1"]
    built = builds.run_build(
        "--annotations", corpus / "annotations", *flags, "--output", tmp_path / "out"
    )

    assert built.returncode == 0, built.stderr
    found = results[0].query()
    counters = {m.key.metric.name: m.committed for m in found["counters"]}
    distributions = {m.key.metric.name: m.committed for m in found["distributions"]}
    version = built.version
    assert counters["images"] == len(version.table) == 59
    assert counters["failures"] == len(version.failures)
    total = table_bytes(built)
    assert 0.9 * total < counters["bytes_read"] < total  # headers aren't rows
    sizes = [len(example["image"]["bytes"]) for example in version.examples.values()]
    bytes_ = distributions["picture_bytes"]
    assert (bytes_.count, bytes_.sum, bytes_.max) == (59, sum(sizes), max(sizes))
    for name in ("fetch_micros", "decode_micros"):
        assert distributions[name].count == 60
        assert 0 < distributions[name].sum < 60e6
    assert {m.key.metric.namespace for kind in found.values() for m in kind} >= {metrics.NAMESPACE}
