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


def test_metrics_agree_with_what_was_published(
    make_corpus: Callable[[str, int], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    corpus = make_corpus("v7", 60)
    (tmp_path / "images").mkdir()
    pictures = sorted((corpus / "images").rglob("*.jpg"))
    for picture in pictures[1:]:
        shutil.copy(picture, tmp_path / "images")
    (tmp_path / "images" / pictures[0].name).write_bytes(b"no picture")
    results: list[MetricResults] = []
    run = direct.run
    monkeypatch.setattr(direct, "run", lambda *arguments: results.append(run(*arguments)))

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
    tables = {source["path"]: source["kind"] for source in version.manifest["sources"]}
    read = [Path(path).stat().st_size for path, kind in tables.items() if kind in TABLES]
    assert 0.9 * sum(read) < counters["bytes_read"] < sum(read)  # headers aren't rows
    sizes = [len(example["image"]["bytes"]) for example in version.examples.values()]
    bytes_ = distributions["picture_bytes"]
    assert (bytes_.count, bytes_.sum, bytes_.max) == (59, sum(sizes), max(sizes))
    for name in ("fetch_micros", "decode_micros"):
        assert distributions[name].count == 60
        assert 0 < distributions[name].sum < 60e6
    assert {m.key.metric.namespace for kind in found.values() for m in kind} >= {metrics.NAMESPACE}
