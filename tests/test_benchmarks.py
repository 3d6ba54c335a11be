"""What the benchmarks' figures rest on: comparing, measuring and keeping results."""

import os
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from benchmarks import duckdb_join, polars_join, report, tfrecord_examples
from benchmarks.contents import read_contents
from benchmarks.environments import find_environment
from benchmarks.measure import LimitError, Limits, Watch, disk_below, run
from pipelines import synthesize
from transforms.kinds.registry import EXAMPLE, example_columns


@pytest.fixture(scope="module")
def annotations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    corpus = tmp_path_factory.mktemp("corpus")
    flags = ("--output", str(corpus), "--images", "300", "--pixels", "none")
    assert synthesize.main([*flags, "--num_workers", "1"]) == 0
    return corpus / "annotations"


@pytest.fixture(scope="module")
def joined(annotations: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("joined") / "polars"
    polars_join.join(annotations, output)
    return output / "parquet"


def test_peers_do_the_same_work(annotations: Path, joined: Path, tmp_path: Path) -> None:
    duckdb_join.join(annotations, tmp_path / "duckdb")

    contents = read_contents(tmp_path / "duckdb" / "parquet")

    assert contents.images == 300
    assert contents.elements["points"] == 2100
    assert not contents.difference(read_contents(joined))


def shortened(examples: pa.Table) -> pa.Table:
    return examples.slice(1)


def other_title(examples: pa.Table) -> pa.Table:
    place = examples.schema.get_field_index("title")
    titles = examples["title"].to_pylist()
    return examples.set_column(place, "title", pa.array(["another", *titles[1:]], pa.string()))


def swapped_points(examples: pa.Table) -> pa.Table:
    """Each image has the points of another."""
    place = examples.schema.get_field_index("points")
    order = pa.array(range(len(examples))[::-1])
    return examples.set_column(place, "points", pc.take(examples["points"], order))


@pytest.mark.parametrize(
    ("change", "says"),
    [(shortened, "300 and 299 images"), (other_title, "title"), (swapped_points, "points")],
)
def test_a_difference_is_noticed(joined: Path, tmp_path: Path, change, says: str) -> None:
    pq.write_table(change(pq.read_table(joined)), tmp_path / "changed.parquet")

    difference = read_contents(joined).difference(read_contents(tmp_path))

    assert says in difference


def test_columns_that_are_null_throughout_may_be_missing(joined: Path, tmp_path: Path) -> None:
    examples = pq.read_table(joined)
    pq.write_table(examples.drop_columns(["image", "width"]), tmp_path / "fewer.parquet")

    assert not read_contents(joined).difference(read_contents(tmp_path))


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        (Limits(memory_bytes=1 << 60, disk_bytes=2_000_000, seconds=250), "on disk"),
        (Limits(memory_bytes=1, disk_bytes=1 << 60, seconds=250), "memory"),
        (Limits(memory_bytes=1 << 60, disk_bytes=1 << 60, seconds=0), "too slow"),
    ],
)
def test_a_program_that_takes_too_much_is_ended(tmp_path: Path, limits: Limits, says: str) -> None:
    output = tmp_path / "output"
    output.mkdir()
    script = f"head -c 3000000 /dev/urandom > '{output}/spilled'; sleep 250"

    with pytest.raises(LimitError, match=says):
        run(["sh", "-c", script], tmp_path / "log", Watch(output), limits)


def test_disk_counts_a_file_with_two_names_once(tmp_path: Path) -> None:
    (tmp_path / "spill").mkdir()
    (tmp_path / "spill" / "run").write_bytes(os.urandom(1 << 20))
    (tmp_path / "part").write_bytes(os.urandom(1 << 20))
    os.link(tmp_path / "part", tmp_path / "shard")

    assert disk_below(Watch(tmp_path, "spill")) == (2 << 20, 1 << 20)


def test_results_are_replaced_section_by_section(tmp_path: Path) -> None:
    results = tmp_path / "RESULTS.md"
    results.write_text(
        "# Results\n\nIn short.\n\n## Old\n\nkept\n\n## Growth\n\nstale\n\n## New\n\nkept\n"
    )
    given = ["--images", "5", "--work", "/somewhere", "--results=x", "--repeats", "2"]

    report.publish(results, "Growth", "benchmarks.scaling", given, "fresh")

    text = results.read_text()
    assert "stale" not in text
    assert text.startswith("# Results\n\nIn short.\n\n## Old\n\nkept\n\n## Growth\n")
    assert text.endswith("fresh\n\n## New\n\nkept\n")
    assert "python -m benchmarks.scaling --images 5 --repeats 2\n" in text


def test_encoders_are_compared_by_what_they_make(
    joined: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    names = list(example_columns(with_image=False))
    schema = pa.schema([EXAMPLE.field(name) for name in names])
    parquet, results = tmp_path / "some.parquet", tmp_path / "results.md"
    pq.write_table(pq.read_table(joined).select(names).cast(schema), parquet)
    flags = ("--examples", "20", "--repeats", "1", "--work", str(tmp_path / "work"))
    assert tfrecord_examples.main([str(parquet), *flags, "--results", str(results)]) == 0
    assert "20 examples" in results.read_text()

    encode = tfrecord_examples.encode_examples
    monkeypatch.setattr(
        tfrecord_examples, "encode_examples", lambda rows, names: encode(rows, names[1:])
    )
    assert tfrecord_examples.main([str(parquet), *flags]) == 1
    assert "different examples" in capsys.readouterr().err


def test_what_no_environment_has_is_left_out() -> None:
    assert find_environment([sys.executable], ["json", "pyarrow"]) == sys.executable
    assert find_environment([sys.executable], ["json", "not_installed"]) is None
    assert find_environment([], ["json"]) is None
