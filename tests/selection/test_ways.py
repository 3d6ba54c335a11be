"""However a selection is carried out, the bytes are the same."""

import functools
import random
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from open_images.building.flags import BuildFlags
from open_images.building.plan import make_plan
from tests import builds
from tests.selection import checking, corpora, draw
from tests.selection.corpora import Corpus
from tests.test_resumed import journal, stop

#: Flags of each drawn selection.
DRAWS = (
    ("classes", "where", "max_per_class", "max_images", "seed", "expand_hierarchy"),
    ("classes", "match_in", "where_images", "sample_fraction", "only_matching"),
)


def _draw(names: tuple[str, ...], corpus: Corpus) -> draw.Drawn:
    """A selection of some of the images."""
    for number in range(100):
        drawn = draw.draw(random.Random(number), corpus, names)
        if 3 < len(checking.select(corpus, drawn).images) < 150:
            return drawn
    raise AssertionError("no draw selects some images")


@pytest.fixture(scope="module")
def build_once(v7: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple]:
    """Builds a drawn selection in one process, or finds it built."""

    @functools.cache
    def build(names: tuple[str, ...]) -> tuple[draw.Drawn, builds.Build]:
        drawn = _draw(names, v7)
        with checking.carried_out():
            done = checking.run(v7, drawn, tmp_path_factory.mktemp("once"))
        checking.check(v7, drawn, done)
        return drawn, done

    return build


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("way", ["two workers", "engine exchange", "other order", "small ranges"])
def test_same_bytes(
    v7: Corpus, build_once: Callable[..., tuple], tmp_path: Path, way: str, first: bool
) -> None:
    drawn, once = build_once(DRAWS[first])
    files = sorted(path for path in v7.annotations.rglob("*") if path.is_file())
    others: dict[str, list[object]] = {
        "two workers": ["--num_workers", "2"],
        "engine exchange": ["--exchange", "engine"],
        "other order": [text for path in files[::-1] for text in ("--annotations", path)],
        "small ranges": ["--chunk_size", "4000"],
    }
    with checking.carried_out(first):
        done = checking.run(v7, drawn, tmp_path / "out", *others[way])
    checking.check(v7, drawn, done)
    checking.assert_same(once, done)


def test_a_build_that_was_stopped(v7: Corpus, tmp_path: Path) -> None:
    drawn = _draw(DRAWS[0], v7)
    inputs = [*checking.FLAGS, "--annotations", v7.annotations, *drawn.flags]
    inputs += ["--chunk_size", "8192"]
    stop([str(each) for each in inputs], tmp_path / "out", signal.SIGKILL, entries=20)
    assert len(journal(tmp_path / "out")) >= 20
    whole, again = (builds.run_build(*inputs, "--output", tmp_path / n) for n in ("whole", "out"))
    assert "going on from" in again.stdout
    checking.check(v7, drawn, again)
    checking.assert_same(whole, again)


def test_conditions_on_images_leave_an_estimate_by_classes(
    make_corpus: Callable[[str, int], Path], tmp_path: Path
) -> None:
    """How many images show a class is judged by tables that know nothing of the images."""
    flags = {"annotations": [make_corpus("v7", 20) / "annotations"], "images": ["none"]}
    where = ((), ("images.license ~ by",))
    plans = [
        make_plan(BuildFlags(**flags, output=str(tmp_path), classes=["Person"], where=each))
        for each in where
    ]
    assert plans[0].steps.share == plans[1].steps.share > 0.1


@pytest.fixture(scope="module")
def unnamed(
    make_corpus: Callable[[str, int], Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A corpus with pixels and masks of labels that no class file names."""
    folder = tmp_path_factory.mktemp("unnamed") / "corpus"
    shutil.copytree(make_corpus("v7", 20), folder)
    table = min((folder / "annotations").glob("train-annotations-object-segmentation.csv"))
    header, *rows = table.read_text().splitlines()
    names = header.split(",")
    place, image = names.index("LabelName"), names.index("ImageID")
    ids = sorted({row.split(",")[image] for row in rows})
    for number, row in enumerate(rows):
        fields = row.split(",")
        if number % 2 == 0:
            fields[place] = corpora.UNNAMED[fields[image] in ids[: len(ids) // 2]]
        rows[number] = ",".join(fields)
    table.write_text("\n".join([header, *rows]) + "\n")
    return folder


def test_classes_are_those_of_examples(unnamed: Path, tmp_path: Path) -> None:
    """Their numbers in maps don't depend on rows of images that aren't chosen."""
    inputs = [
        text
        for part in ("annotations", "images", "masks")
        for text in (f"--{part}", unnamed / part)
    ]
    done = []
    for first in (True, False):
        with checking.carried_out(first):
            output = tmp_path / str(first)
            flags = ("--mask_maps", "semantic", "--format", "parquet", "--max_images", "4")
            done.append(builds.run_build(*inputs, *flags, "--output", output))
        assert done[-1].returncode == 0, done[-1].stderr
    checking.assert_same(*done)
    masks = [mask for each in done[0].version.table["masks"].to_pylist() for mask in each or ()]
    found = {mask["label"] for mask in masks}.intersection(corpora.UNNAMED)
    classes = (done[0].version.folder / "classes.json").read_text()
    assert found == {label for label in corpora.UNNAMED if label in classes}
