"""Expansion over the hierarchy: of the published one, and of drawn ones."""

import json
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import open_images
from open_images.building.class_names import ClassNames
from tests.selection import naive
from transforms.dataset.classes import ClassFile, build_classes
from transforms.kinds.registry import VOCABULARY
from transforms.selection.expand import EXPANDED, Hierarchy, expand

PUBLISHED = Path(open_images.__file__).parent / "synthesis/vocabulary"
ROOT = naive.ROOT


@pytest.fixture(scope="module")
def paths() -> list[list[str]]:
    """Each way from the root to a class of the published hierarchy."""
    found: list[list[str]] = []
    pending = [[json.loads((PUBLISHED / "bbox_labels_600_hierarchy.json").read_text())]]
    while pending:
        nodes = pending.pop()
        found.append([node["LabelName"] for node in nodes])
        pending += [[*nodes, below] for below in nodes[-1].get("Subcategory", ())]
    return found


@pytest.fixture(scope="module")
def classes() -> list[dict]:
    data = (PUBLISHED / "bbox_labels_600_hierarchy.json").read_bytes()
    entries, bad = VOCABULARY["hierarchy"].read(data, "hierarchy.json")
    assert not bad
    return build_classes([ClassFile(0, "hierarchy.json", entries)], ())


def test_the_published_hierarchy(paths: list[list[str]], classes: list[dict]) -> None:
    """Above a class is what is on a way to it, the root apart; below it what it is on a way to."""
    hierarchy = Hierarchy.of_parents({each["label"]: each["parents"] for each in classes})
    labels = {path[-1] for path in paths}
    assert len(labels) > 600
    for label in labels:
        above = {each for path in paths if path[-1] == label for each in path[1:-1]}
        below = {path[-1] for path in paths if label in path[:-1]}
        assert {*hierarchy.above.get(label, ())} == above
        if label != ROOT:
            assert {*hierarchy.below.get(label, ())} == below
    assert ROOT not in hierarchy.below
    ways = Counter(path[-1] for path in paths)
    assert max(ways.values()) > 1, "no class has several parents"


def test_classes_with_all_below(paths: list[list[str]], classes: list[dict]) -> None:
    names = ClassNames(classes)
    for label in {path[-1] for path in paths}:
        (term,) = names.terms([f"{label}+"])
        assert {*term} == {label, *(path[-1] for path in paths if label in path)}


LABELS = [f"/m/{letter}" for letter in "abcdefg"]


@st.composite
def _parents(draw: st.DrawFn) -> dict[str, list[str]]:
    """A hierarchy in which each class has some of those before it as its parents."""
    parents: dict[str, list[str]] = {ROOT: []}
    for place, label in enumerate(LABELS):
        some = st.lists(st.sampled_from([ROOT, *LABELS[:place]]), max_size=3, unique=True)
        parents[label] = draw(some)
    # A class without any is of no hierarchy: it isn't a root, as nothing is below it.
    used = {parent for above in parents.values() for parent in above}
    return {
        label: above or ([ROOT] if label in used and label != ROOT else [])
        for label, above in parents.items()
    }


COORDINATES = st.sampled_from((0.0, 0.25, 0.5))
ROWS = {
    "bboxes": {"xmin": COORDINATES, "xmax": COORDINATES, "ymin": COORDINATES, "ymax": COORDINATES},
    "masks": {
        "mask_path": st.sampled_from(("a.png", "b.png")),
        "xmin": st.none() | COORDINATES,
    },
    "points": {
        "x": COORDINATES,
        "y": st.just(0.5),
        "estimated_yes_no": st.sampled_from(("yes", "no", "unsure")),
    },
    "image_labels": {
        "source": st.sampled_from(("verification", "machine", "", None)),
        "confidence": st.sampled_from((0.0, 0.25, 0.5, 1.0)),
    },
}


@given(st.data(), st.sampled_from(list(ROWS)), _parents(), st.booleans())
def test_drawn_hierarchies(
    data: st.DataObject, column: str, parents: dict[str, list[str]], coded: bool
) -> None:
    kind = EXPANDED[column]
    row = st.fixed_dictionaries({"label": st.sampled_from(LABELS), **ROWS[column]})
    images = data.draw(st.lists(st.lists(row, max_size=6), max_size=4))
    fields = [pa.field(name, kind.row.field(name).type) for name in ("label", *ROWS[column])]
    lists = pa.array(images, pa.list_(pa.struct(fields)))
    if coded and len(lists.flatten()):
        arrays = [
            each.dictionary_encode() if pa.types.is_string(each.type) else each
            for each in lists.flatten().flatten()
        ]
        rows = pa.StructArray.from_arrays(arrays, [field.name for field in fields])
        lists = pa.ListArray.from_arrays(lists.offsets, rows)
    expanded = expand(lists, kind, Hierarchy.of_parents(parents)).to_pylist()
    for rows, found in zip(images, expanded, strict=True):
        assert found == naive.expand(column, rows, parents)
