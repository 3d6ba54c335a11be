"""Builds of selections, in each way that there is, compared with the naive answer."""

import contextlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from open_images.building import plan
from open_images.building.select_inputs import Steps
from open_images.building.selecting import Choice
from tests import builds, compare
from tests.selection import draw, naive
from tests.selection.corpora import Corpus
from transforms.dataset.elements import Source
from transforms.kinds.registry import TABLES
from transforms.storage.stores import ObjectOptions

FLAGS = (
    "--images",
    "none",
    "--format",
    "parquet",
    "--max_bad_rate",
    "1",
    "--max_failure_rate",
    "1",
)
#: Bytes of annotations in a bucket, so that a small corpus has several.
_BUCKET_BYTES = 1 << 16


@contextlib.contextmanager
def carried_out(first: bool | None = None) -> Iterator[None]:
    """Builds in several buckets, and chooses images first or not, where that can be told.

    Args:
        first: whether images are chosen before most rows are read; None: as it is planned.
    """
    planned = plan.plan_steps

    def plan_steps(choice: Choice, sources: Sequence[Source], options: ObjectOptions) -> Steps:
        steps = planned(choice, sources, options)
        has_tables = any(source.kind == "images" for source in sources)
        may = has_tables and choice.selection.chooses_images and choice.image_keys is None
        return steps if first is None else steps._replace(decides_first=first and may)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "BUCKET_BYTES", _BUCKET_BYTES)
        patch.setattr(plan, "plan_steps", plan_steps)
        yield


def run(corpus: Corpus, drawn: draw.Drawn, output: Path, *others: object) -> builds.Build:
    """Builds a selection."""
    inputs = () if "--annotations" in others else ("--annotations", corpus.annotations)
    return builds.run_build(*inputs, *FLAGS, "--output", output, *drawn.flags, *others)


def select(corpus: Corpus, drawn: draw.Drawn) -> naive.Selected:
    """The naive answer to a selection."""
    return naive.select(
        corpus.examples,
        drawn.wanted,
        corpus.parents,
        corpus.conflicting,
        corpus.has_image_tables,
    )


def check(corpus: Corpus, drawn: draw.Drawn, done: builds.Build) -> str:
    """Asserts that a build published what the naive answer says, with its account.

    Returns:
        `nothing`, `all` or `some`, by what was selected; `mistake` where that can't be.
    """
    if _looks_nowhere(drawn.wanted):
        assert done.returncode == 2, done.stdout
        assert "no class to look for" in done.stderr
        return "mistake"
    selected = select(corpus, drawn)
    if not selected.examples:
        assert done.returncode == 1, done.stdout
        assert "Traceback" not in done.stderr
        assert "nothing was published" in done.stderr or "no images to publish" in done.stderr
        return "nothing"
    assert done.returncode == 0, done.stderr
    manifest = done.version.manifest
    examples = [each for split in manifest["splits"] for each in selected.examples[split]]
    compare.assert_examples_equal(done.version.table, examples)
    if drawn.wanted != naive.Wanted(splits=drawn.wanted.splits):  # which selects nothing by itself
        _check_account(corpus, manifest, selected)
    mids = {mid for term in drawn.wanted.classes or () for mid in term}
    assert manifest["class_images"] == {mid: selected.class_images[mid] for mid in mids}
    failed = [each["image_id"] for each in done.version.failures if each["stage"] == "join"]
    conflicting = [each for each in selected.images if each in corpus.conflicting]
    assert sorted(failed) == sorted([*conflicting, *selected.missing])
    return "all" if len(selected.images) == len(corpus.everything) else "some"


def _looks_nowhere(wanted: naive.Wanted) -> bool:
    """Whether classes are looked for in narratives alone, which have none."""
    types = wanted.match_in or wanted.label_types or ()
    needs_classes = wanted.classes is not None or wanted.max_per_class is not None
    return needs_classes and set(types) == {"narratives"}


def _check_account(corpus: Corpus, manifest: dict, selected: naive.Selected) -> None:
    kept: Counter[str] = Counter()
    dropped: Counter[tuple[str, str]] = Counter()
    for source in manifest["sources"]:
        deselected = Counter(source["deselected"])
        counts = [source[name] for name in ("kept", "repeats", "orphans", "bad_rows")]
        assert min(counts) >= 0, source
        assert source["rows"] == sum(counts) + deselected.total(), source
        if source["kind"] in TABLES:
            column = TABLES[source["kind"]].column
            kept[column] += source["kept"]
            dropped.update(
                {(column, rule): n for rule, n in deselected.items() if rule != "images"}
            )
    if corpus.has_image_tables:
        # Rows that contradict each other are all kept, as none repeats another.
        conflicts = sum(each in corpus.conflicting for each in selected.images)
        assert kept.pop("image") == len(selected.images) + conflicts
    assert +kept == selected.kept
    assert dropped == +selected.dropped


def assert_same(one: builds.Build, other: builds.Build) -> None:
    """Asserts that two builds of a selection published the same, but for rows that only one read.

    Of images that aren't chosen, bad rows and orphans may be just deselected.
    """
    assert one.returncode == other.returncode, (one.stderr, other.stderr)
    if one.returncode:
        assert _cause(one) == _cause(other)
        return
    versions = one.version, other.version
    digests = [
        {path: text for path, text in version.digests().items() if "failures" not in path}
        for version in versions
    ]
    assert digests[0] == digests[1]
    unread = [_without_bad_rows(version.failures) for version in versions]
    assert unread[0] == unread[1]
    accounts = [[_account(source) for source in v.manifest["sources"]] for v in versions]
    assert accounts[0] == accounts[1]
    assert versions[0].manifest["splits"] == versions[1].manifest["splits"]


def _cause(done: builds.Build) -> str:
    return done.stderr.strip().rpartition("error: ")[2]


def _without_bad_rows(failures: list[dict]) -> list[str]:
    return sorted(json.dumps(each, default=str) for each in failures if each["stage"] != "read")


def _account(source: dict) -> tuple:
    deselected = dict(source["deselected"])
    unread = deselected.pop("images", 0) + source["orphans"] + source["bad_rows"]
    return source["path"], source["rows"], source["kept"], source["repeats"], unread, deselected
