"""Fixtures that all tests share: synthetic corpora, made once a run, and a way to run builds."""

import fcntl
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

from pipelines import synthesize
from tests import builds

# How long an example takes depends on who else uses the machine.
settings.register_profile("shared_machine", deadline=None)
settings.load_profile("shared_machine")

pytest_plugins = ["tests.emulators"]

# What hundreds of programs import is compiled once, even where the environment has it otherwise.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

#: Files of tests that take longest, by what they take: `--quick` leaves them out.
_LONGEST = (
    *("test_flink_faults", "test_flink", "test_matrix", "test_incremental", "test_dataflow"),
    *("test_pipeline", "test_object_stores", "test_killed_builds", "test_zombies"),
    *(
        "test_picture_targets",
        "test_table_targets",
        "test_memory",
        "test_doctor",
        "test_resumed",
        "test_unchanged",
    ),
    *("test_kubernetes", "test_airflow", "test_prism", "test_readers", "test_verify"),
    *("test_processed_pictures", "test_tfds", "test_synthetic_pictures", "test_synthetic_bulk"),
    *("test_draw", "test_lease", "test_benchmarks", "test_metrics", "test_lean", "test_direct"),
    *("test_signals", "test_selection", "test_ways"),
)
#: Others that `--quick` leaves out: they use what `make setup` installs, emulators, or pip.
_SET_UP = ("test_doctor_flink", "test_schedules", "test_objects", "test_installed")
_EMULATORS = {"s3_server", "gcs_server"}
#: Corpora below this have no classes but those that they use.
ALL_CLASSES = 100
_MID = re.compile(r"/[a-z]/[0-9a-z_]+")

CorpusMaker = Callable[[str, int], Path]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds `--quick`, by which `make check` runs what needs Python alone and takes little time."""
    parser.addoption("--quick", action="store_true", help="leave out what takes long")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Puts the files that take longest first, so that no worker is left with one at the end."""
    if config.getoption("--quick"):
        left_out = [item for item in items if not _is_quick(item)]
        config.hook.pytest_deselected(items=left_out)
        items[:] = filter(_is_quick, items)
    places = {name: place for place, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))


def _is_quick(item: pytest.Item) -> bool:
    emulated = _EMULATORS.intersection(getattr(item, "fixturenames", ()))
    return not emulated and item.path.stem not in (*_LONGEST, *_SET_UP)


@pytest.fixture(scope="session")
def make_corpus(tmp_path_factory: pytest.TempPathFactory) -> CorpusMaker:
    """Makes the corpus of a release and number of images, or finds the one made before.

    It has the folders `annotations`, `images` and `masks`, and is not to be written to. A small one
    lacks classes that it doesn't use: to read 20,000 takes as long as to build 20 images.
    """
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # which the workers share

    def make(release: str, images: int) -> Path:
        corpus = folder / f"corpus-{release}-{images}"
        with open(f"{corpus}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not corpus.exists():
                attempt = corpus.with_suffix(".attempt")
                flags = ["--output", str(attempt), "--images", str(images), "--release", release]
                workers = "1" if images < ALL_CLASSES else "2"  # which take a while to start
                assert synthesize.main([*flags, "--num_workers", workers]) == 0
                if images < ALL_CLASSES:
                    drop_unused_classes(attempt / "annotations")
                attempt.rename(corpus)
        return corpus

    return make


def drop_unused_classes(annotations: Path) -> None:
    """Leaves those classes alone that some other file of a corpus names."""
    names = ("oidv7-class-descriptions.csv", "oidv7-point-classes.csv")
    lists = [annotations / name for name in names]
    others = (path for path in annotations.iterdir() if path not in lists)
    used = {mid for path in others for mid in _MID.findall(path.read_text())}
    for path in lists:
        header, *rows = path.read_text().splitlines(keepends=True)
        path.write_text("".join([header, *(row for row in rows if row.split(",")[0] in used)]))


@pytest.fixture(scope="session")
def corpus_v7(make_corpus: CorpusMaker) -> Path:
    """200 images with all annotations of V7."""
    return make_corpus("v7", 200)


@pytest.fixture(scope="session")
def corpus_v3(make_corpus: CorpusMaker) -> Path:
    """200 images with the files of V3."""
    return make_corpus("v3", 200)


@pytest.fixture(scope="session")
def run_build() -> Callable[..., builds.Build]:
    """`builds.run_build`: runs a build and returns its exit code, what it said, and its output."""
    return builds.run_build
