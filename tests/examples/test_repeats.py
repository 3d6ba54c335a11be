"""Rows of several files are merged as the naive way merges them."""

from collections import Counter, defaultdict

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.oracle_repeats import merge_repeats
from transforms.dataset.elements import Source
from transforms.dataset.keys import image_keys
from transforms.examples.join import join
from transforms.exchange.batches import KeyedBatch
from transforms.kinds.registry import TABLES

BOX = {"label": "/m/1", "source": "xclick", "confidence": 1.0, "xmin": 0.0, "xmax": 0.5}
BOX |= {"ymin": 0.0, "ymax": 0.5}
LABEL = {"label": "/m/1", "source": "verification", "confidence": 1.0}
POINT = {"x": 0.5, "y": 0.5, "label": "/m/1", "estimated_yes_no": "yes", "source": "ih"}
POINT |= {"yes_votes": 1, "no_votes": 0, "unsure_votes": 0, "text_label": ""}
CLICKS = [{"x": 0.25, "y": 0.5}] * 4
NARRATIVE = {"annotator_id": 7, "caption": "a dog", "traces": [[{"x": 0.0, "y": 1.0, "t": 0.5}]]}
NARRATIVE |= {"timed_caption": [{"utterance": "a", "start_time": 0.0, "end_time": 1.0}]}
RELATIONSHIP = {"label1": "/m/1", "label2": "/m/2", "relationship": "at"}
RELATIONSHIP |= {f"{edge}{i}": 0.5 for edge in ("xmin", "xmax", "ymin", "ymax") for i in "12"}
MASK = {"label": "/m/1", "box_id": "0a", "xmin": 0.0, "xmax": 1.0, "ymin": 0.0, "ymax": 1.0}
MASK |= {"mask_path": "a.png", "predicted_iou": 0.5, "clicks": [{"x": 0.0, "y": 0.0, "t": 1}]}


def run(kind: str, files: list[list[tuple[int, dict]]], coded: bool = False) -> tuple[dict, dict]:
    """The rows of each image, and repeats by file, of files that have rows of images by number."""
    table = TABLES[kind]
    sources = [Source(i, kind, f"{i}.csv", 1, "train") for i in range(len(files))]
    batches = []
    for source, rows in enumerate(files):
        if not rows:
            continue
        keys, _ = image_keys(pa.array([f"{image:016x}" for image, _ in rows], pa.string()))
        value = pa.array([value for _, value in rows], table.row)
        if coded:
            columns = [
                column.dictionary_encode() if name in ("label", "source") else column
                for name, column in zip(
                    [field.name for field in table.row], value.flatten(), strict=True
                )
            ]
            value = pa.StructArray.from_arrays(columns, [field.name for field in table.row])
        rows = pa.record_batch({"key": keys, "value": value})
        batches.append(KeyedBatch(source, 0, rows))
    joined = join(batches, sources, None)
    rows = joined.table.select(["image_id", table.column]).to_pylist()
    return {int(row["image_id"], 16): row[table.column] for row in rows}, joined.repeats


def full(kind: str, value: dict) -> dict:
    """A row with all fields, as Arrow gives it back."""
    return pa.array([value], TABLES[kind].row).to_pylist()[0]


@pytest.mark.parametrize(
    ("kind", "first", "second", "want"),
    [
        ("boxes", BOX, BOX, [BOX]),
        ("boxes", BOX, BOX | {"extreme_points": CLICKS}, [BOX | {"extreme_points": CLICKS}]),
        ("boxes", BOX | {"extreme_points": CLICKS}, BOX, [BOX | {"extreme_points": CLICKS}]),
        (
            "boxes",
            BOX | {"is_group_of": -1, "is_inside": 1},
            BOX | {"is_group_of": 1, "source": None},
            [BOX | {"is_group_of": 1, "is_inside": 1}],
        ),
        ("boxes", BOX, BOX | {"source": "activemil"}, None),
        ("boxes", BOX, BOX | {"xmax": 0.75}, None),
        ("boxes", BOX | {"is_group_of": 0}, BOX | {"is_group_of": 1}, None),
        ("image_labels", LABEL, LABEL, [LABEL]),
        ("image_labels", LABEL, LABEL | {"source": None}, [LABEL]),
        ("image_labels", LABEL, LABEL | {"source": ""}, [LABEL]),
        ("image_labels", LABEL, LABEL | {"source": "machine"}, None),
        ("image_labels", LABEL, LABEL | {"confidence": 0.0}, None),
        ("points", POINT, POINT, [POINT]),
        ("points", POINT, POINT | {"text_label": "dog"}, [POINT | {"text_label": "dog"}]),
        ("points", POINT, POINT | {"yes_votes": 2}, None),
        ("narratives", NARRATIVE, NARRATIVE, [NARRATIVE]),
        ("narratives", {"caption": "a dog"}, NARRATIVE, [NARRATIVE]),
        ("narratives", NARRATIVE, NARRATIVE | {"annotator_id": 8}, None),
        ("narratives", NARRATIVE, NARRATIVE | {"caption": "a cat"}, None),
        ("relationships", RELATIONSHIP, RELATIONSHIP, [RELATIONSHIP]),
        ("relationships", RELATIONSHIP, RELATIONSHIP | {"relationship": "on"}, None),
        ("masks", MASK, MASK | {"predicted_iou": None, "clicks": []}, [MASK]),
        ("masks", MASK, MASK | {"mask_path": "b.png"}, None),
    ],
)
@pytest.mark.parametrize("coded", [False, True])
def test_two_rows_of_two_files(
    kind: str, first: dict, second: dict, want: list[dict] | None, coded: bool
) -> None:
    if coded and kind not in ("boxes", "image_labels", "points"):
        coded = False
    rows, repeats = run(kind, [[(1, first)], [(1, second)]], coded)
    wanted = [first, second] if want is None else want
    assert rows[1] == [full(kind, value) for value in wanted]
    assert repeats == ({} if want is None else {1: 1})


def test_what_one_file_says_twice_stays_twice() -> None:
    rows, repeats = run("boxes", [[(1, BOX), (1, BOX)]])
    assert (len(rows[1]), repeats) == (2, {})
    rows, repeats = run("boxes", [[(1, BOX), (1, BOX)], [(1, BOX)] * 3, [(1, BOX)]])
    assert (len(rows[1]), repeats) == (3, {1: 2, 2: 1})


def test_rows_of_other_images_are_no_repeats() -> None:
    rows, repeats = run("points", [[(1, POINT), (2, POINT)], [(2, POINT), (3, POINT)]])
    assert {image: len(its) for image, its in rows.items()} == {1: 1, 2: 1, 3: 1}
    assert repeats == {1: 1}


def test_very_many_that_are_alike_take_no_time() -> None:
    many = [(1, POINT | {"yes_votes": i}) for i in range(20_000)]
    rows, repeats = run("points", [many, many])
    assert (len(rows[1]), repeats) == (20_000, {1: 20_000})


ROWS = st.fixed_dictionaries(
    {
        "label": st.just("/m/1"),
        "source": st.sampled_from([None, "", "a", "b"]),
        "confidence": st.sampled_from([None, 0.0, 1.0]),
        **dict.fromkeys(("xmin", "ymin", "xmax"), st.just(0.0)),
        "ymax": st.sampled_from([0.5, 0.5, 1.0]),
        "is_occluded": st.sampled_from([-1, 0, 1, None]),
        "extreme_points": st.sampled_from([None, [], CLICKS, CLICKS[:1]]),
    }
)
FILES = st.lists(st.lists(st.tuples(st.integers(1, 2), ROWS), max_size=6), min_size=2, max_size=4)


@given(FILES, st.booleans())
def test_equals_the_naive_way(files: list[list[tuple[int, dict]]], coded: bool) -> None:
    found, repeats = run("boxes", files, coded)
    rows = defaultdict(list)
    for number, its in enumerate(files):
        for image, value in its:
            rows[image].append((str(number), full("boxes", value)))
    counted: Counter = Counter()
    for image, its in rows.items():
        wanted, some = merge_repeats(its)
        counted += some
        assert found[image] == wanted
    assert repeats == {int(file): count for file, count in counted.items()}
