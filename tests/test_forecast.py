"""Plans: what they count is what a build makes, and they write nothing."""

import json
import random
import signal
import subprocess
import sys
import tarfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

import open_images
from open_images.building import plan as planning
from pipelines import build, plan
from pipelines.cli import forecast as printed
from tests import builds, oracle
from tests.selection import draw, naive
from tests.selection.corpora import Corpus


@pytest.fixture(scope="module", autouse=True)
def _several_buckets() -> Any:
    """Cuts the corpus into several buckets, where one would do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planning, "BUCKET_BYTES", 1 << 16)
        yield


@pytest.fixture(scope="module")
def corpus(make_corpus: Callable[[str, int], Path]) -> Path:
    return make_corpus("v7", 60)


@pytest.fixture(scope="module")
def expected(corpus: Path) -> oracle.Expected:
    return oracle.expected(corpus / "annotations")


def run(
    capfd: pytest.CaptureFixture[str], *flags: object, main: Callable[..., int] = plan.main
) -> tuple[int, dict[str, Any]]:
    """Runs the program in this process; returns its exit code and what it reports as JSON."""
    capfd.readouterr()
    code = main([*map(str, flags), "--num_workers", "1", "--report", "json"])
    return code, json.loads(capfd.readouterr().out)


def assert_same(counted: Mapping[str, Any], done: builds.Build) -> None:
    """Compares a plan with what the build of the same flags has published."""
    manifest, table = done.version.manifest, done.version.table
    examples = {name: split["shards"] for name, split in manifest["splits"].items()}
    images = {
        name: sum(shard["num_examples"] for shard in shards if shard["format"] == "parquet")
        for name, shards in examples.items()
    }
    assert counted["images"] == images
    written = {column: each["written"] for column, each in manifest["annotations"].items()}
    assert counted["annotations"] == written
    kept = [(each["path"], each["kept"], each["deselected"]) for each in manifest["sources"]]
    found = [(each["path"], each["kept"], each["deselected"]) for each in counted["sources"]]
    assert found == kept
    annotations: Counter[tuple[str, str]] = Counter()
    shown: Counter[str] = Counter()
    for example in table.to_pylist():
        labels = set()
        for column, _, row in naive.rows_of(example):
            names = set(naive.labels_of(row))
            annotations.update((name, column) for name in names)
            labels |= names if naive.shows(column, row) else set()
        shown.update(labels)
    classes = {each["label"]: each for each in counted["classes"]}
    of_classes = {
        (label, column): count
        for label, each in classes.items()
        for column, count in each["annotations"].items()
    }
    assert of_classes == annotations
    # Classes of the selection count by what it looks at, which examples needn't carry.
    expected = {**shown, **manifest["class_images"]}
    assert {label: each["images"] for label, each in classes.items() if each["images"]} == {
        label: count for label, count in expected.items() if count
    }
    selected = {label for label, each in classes.items() if each["is_selected"]}
    assert selected == manifest["class_images"].keys()


def flags_of(corpus: Path, images: object = "none") -> list[object]:
    return ["--annotations", corpus / "annotations", "--images", images, "--max_bad_rate", "1"]


#: Selections whose counts are compared with a build.
SELECTIONS = {
    "everything": [],
    "a split": ["--splits", "validation"],
    "label types": ["--label_types", "boxes,machine_labels,relationships"],
    "classes": ["--classes", "Person+", "--only_matching"],
    "conditions": ["--where", "boxes.is_group_of != 1", "--where_images", "images.rotation = 0"],
    "quotas": ["--max_per_class", "2", "--max_images", "12", "--seed", "3"],
    "expansion": ["--label_types", "boxes,image_labels", "--expand_hierarchy"],
}


@pytest.mark.parametrize("name", SELECTIONS)
def test_counts_are_those_of_a_build(
    corpus: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str
):
    given = [*flags_of(corpus), *SELECTIONS[name]]
    done = builds.run_build(*given, "--output", tmp_path / "out", "--format", "parquet")
    assert done.returncode == 0, done.stderr
    code, counted = run(capfd, *given)
    assert code == 0
    assert_same(counted, done)


@pytest.mark.parametrize("seed", range(4))
def test_counts_of_drawn_selections(
    corpus: Path,
    expected: oracle.Expected,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    seed: int,
):
    rng = random.Random(seed)
    names = [name for name in draw.SINGLE if rng.random() < 0.3] or ["classes"]
    everything = Corpus(corpus, expected.examples, expected.classes, frozenset(), True)
    drawn = draw.draw(rng, everything, names)
    given = [*flags_of(corpus), *drawn.flags]
    done = builds.run_build(*given, "--output", tmp_path / "out", "--format", "parquet")
    code, counted = run(capfd, *given)
    assert code == done.returncode
    if code:
        assert counted["error"].startswith("no images to build: none is left by ")
        assert counted["error"].removeprefix("no images to build: ") in done.stderr
    else:
        assert_same(counted, done)


def test_runs_differ_in_nothing(corpus: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    """Neither by their workers nor by how rows meet."""
    given = [*flags_of(corpus), "--classes", "Person+", "--max_images", "10"]
    _, counted = run(capfd, *given)
    said = []
    for more in (["--exchange", "engine"], ["--work_folder", tmp_path]):
        said.append(run(capfd, *given, *more)[1])
    assert plan.main([*map(str, given), "--num_workers", "2", "--report", "json"]) == 0
    said.append(json.loads(capfd.readouterr().out))
    rough = ("seconds", "build_seconds", "work_bytes", "num_workers")
    for other in said:
        for name in counted.keys() - rough:
            assert other[name] == counted[name], name
    assert said[0]["work_bytes"] == 0 < said[1]["work_bytes"] == counted["work_bytes"]


def test_nothing_is_written(
    corpus: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    before = sorted(corpus.rglob("*"))
    metrics = ("--metrics_file", tmp_path / "figures.prom")
    given = [*flags_of(corpus, corpus / "images"), "--masks", corpus / "masks", *metrics]
    code, counted = run(capfd, *given, "--output", tmp_path / "out", "--dry_run", main=build.main)
    assert (code, counted["outcome"]) == (0, "planned")
    work = tmp_path / "work"
    code, _ = run(capfd, *given, "--work_folder", work)
    assert code == 0
    assert sorted(tmp_path.iterdir()) == [temporary, work]
    assert not list(work.iterdir())
    assert not list(temporary.iterdir())
    assert sorted(corpus.rglob("*")) == before


def test_a_plan_beside_a_build(corpus: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    """A version and a lease of the output change nothing, and stay."""
    output = tmp_path / "out"
    given = [*flags_of(corpus), "--output", output, "--format", "parquet"]
    assert builds.run_build(*given).returncode == 0
    before = {path: path.stat().st_mtime_ns for path in output.rglob("*")}
    code, counted = run(capfd, *given, "--dry_run", main=build.main)
    assert (code, sum(counted["images"].values())) == (0, 60)
    assert {path: path.stat().st_mtime_ns for path in output.rglob("*")} == before


def sizes_of(corpus: Path) -> list[int]:
    return [path.stat().st_size for path in (corpus / "images").rglob("*.jpg")]


def test_pictures_of_a_folder(corpus: Path, capfd: pytest.CaptureFixture[str]):
    code, counted = run(capfd, *flags_of(corpus, corpus / "images"))
    assert code == 0
    sizes = sizes_of(corpus)
    (found,) = counted["pictures"]
    assert found == {
        "medium": "folder",
        "images": len(sizes),
        "bytes": sum(sizes),
        "is_estimate": False,
    }
    assert counted["bare_images"] == 60 - len(sizes)
    parquet = counted["shard_bytes"]["parquet"]
    assert parquet > sum(sizes)


def test_pictures_of_archives_and_servers(
    corpus: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    """The first place that may have a picture counts."""
    some = sorted((corpus / "images").rglob("*.jpg"))[:10]
    with tarfile.open(tmp_path / "some.tar", "w") as archive:
        for path in some:
            archive.add(path, path.name)
    with tarfile.open(tmp_path / "some.tar.gz", "w:gz") as archive:
        for path in some:
            archive.add(path, path.name)
    url = "https://example.org/{split}/{image_id}.jpg"
    more = ("--images", url)
    code, counted = run(capfd, *flags_of(corpus, tmp_path / "some.tar"), *more)
    assert code == 0
    tar, http = sorted(counted["pictures"], key=lambda each: each["medium"], reverse=True)
    assert (tar["images"], tar["is_estimate"]) == (10, False)
    assert tar["bytes"] == sum(path.stat().st_size for path in some)
    assert (http["medium"], http["images"], http["is_estimate"]) == ("http", 50, True)
    assert http["bytes"] == 50 * 315_000
    code, counted = run(capfd, *flags_of(corpus, tmp_path / "some.tar.gz"))
    (packed,) = counted["pictures"]
    size = (tmp_path / "some.tar.gz").stat().st_size
    assert packed == {"medium": "tar.gz", "images": 60, "bytes": size, "is_estimate": True}
    assert counted["work_bytes"] > size


def test_published_sizes(
    corpus: Path,
    expected: oracle.Expected,
    capfd: pytest.CaptureFixture[str],
):
    code, counted = run(capfd, *flags_of(corpus, "original"))
    assert code == 0
    examples = [each for some in expected.examples.values() for each in some]
    there = [each for each in examples if each["original_url"]]
    sizes = [each["original_size"] for each in there if each["original_size"] is not None]
    (found,) = counted["pictures"]
    assert found["images"] == len(there)
    assert found["is_estimate"] == (len(sizes) < len(there))
    assert found["bytes"] == pytest.approx(sum(sizes) * len(there) / len(sizes), abs=1)
    assert counted["bare_images"] == len(examples) - len(there)


def test_what_is_printed(corpus: Path, capfd: pytest.CaptureFixture[str]):
    given = [*flags_of(corpus, corpus / "images"), "--classes", "Person,Hedgehog"]
    assert plan.main([*map(str, given), "--num_workers", "1"]) == 0
    said = capfd.readouterr().out
    for words in ("deselected by", "split", "annotations", "Person (/m/01g317)", "folder"):
        assert words in said
    assert "Man (" not in said  # which isn't selected
    assert "note: no image shows 1 of the 2 selected classes: Hedgehog\n" in said
    assert "nothing was fetched or published" in said


def test_many_classes_are_shown_in_part():
    classes = [
        open_images.ClassForecast(f"/m/{n:02}", f"class {n}", 50 - n, {"bboxes": 2})
        for n in range(50)
    ]
    lines = printed._classes(classes)
    assert len(lines) == 22
    assert lines[11].split() == ["…", "30", "more", str(sum(range(11, 41))), "60"]


def test_from_python(corpus: Path, tmp_path: Path):
    found = open_images.plan(
        annotations=corpus / "annotations",
        images="none",
        max_images=7,
        max_bad_rate=1,
        num_workers=1,
    )
    assert isinstance(found, open_images.Forecast)
    assert found.num_images == 7
    assert (found.picture_bytes, found.pictures) == (0, [])
    with pytest.raises(open_images.UsageError, match="there is no class 'Catt'"):
        open_images.plan(annotations=corpus / "annotations", images="none", classes="Catt")
    with pytest.raises(open_images.BuildError, match="none is left by --where_images"):
        open_images.plan(
            annotations=corpus / "annotations",
            images="none",
            where_images="images.license ~ nothing",
            num_workers=1,
        )


#: Flags beside those of a sound plan, the exit code, and what the line on stderr holds.
MISTAKES: Mapping[str, tuple[list[object], list[str]]] = {
    "a value for --dry_run": (["--dry_run=True"], ["--dry_run", "takes no value", "'True'"]),
    "a value after --dry_run": (["--dry_run", "yes"], ["takes no value", "'yes'"]),
    "an unknown class": (["--classes", "Catt"], ["no class 'Catt'", "nearest"]),
    "a file as work folder": (["--work_folder", __file__], ["--work_folder", "name another"]),
    "rows in an object store": (
        ["--work_folder", "s3://bucket/work"],
        ["--work_folder", "--exchange engine"],
    ),
    "a template": (["--template_location=gs://b/t"], ["--template_location", "leave it out"]),
    "an unknown flag": (["--clases", "Cat"], ["--clases", "did you mean --classes?"]),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_wrong_use(corpus: Path, capfd: pytest.CaptureFixture[str], mistake: str):
    flags, words = MISTAKES[mistake]
    given = [*flags_of(corpus), "--num_workers", "1", *flags]
    try:
        code = plan.main([*map(str, given)])
    except SystemExit as ended:
        code = ended.code
    said = capfd.readouterr()
    assert (code, said.out) == (2, "")
    (line,) = said.err.splitlines()
    assert line.startswith("python -m pipelines.plan: error: ")
    assert all(word in line for word in words), line


def test_an_interrupt_leaves_nothing(corpus: Path, tmp_path: Path):
    command = [sys.executable, "-m", "pipelines.plan", *map(str, flags_of(corpus))]
    command += ["--work_folder", str(tmp_path / "work"), "--report", "json"]
    made = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not list(tmp_path.glob("work/*")):
        assert made.poll() is None
        time.sleep(0.01)
    made.send_signal(signal.SIGINT)
    out, err = made.communicate(timeout=60)
    assert made.returncode == 1
    assert err.splitlines()[-1] == "python -m pipelines.plan: error: interrupted"
    assert json.loads(out)["outcome"] == "failed"
    assert not list(tmp_path.glob("work/*"))
