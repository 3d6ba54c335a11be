"""The join of a bucket equals one with dicts: universe, conflicts, splits, orphans and order."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from tests import oracle
from transforms.dataset.elements import Source
from transforms.dataset.keys import image_keys
from transforms.examples.join import LIST_COLUMNS, MEMBER, Joined, join
from transforms.exchange.batches import KeyedBatch
from transforms.kinds.boxes import BOX
from transforms.kinds.image_labels import IMAGE_LABEL
from transforms.kinds.images import IMAGE_FIELDS, IMAGE_ROW, SPLITS

#: Few, so that rows meet; the last three are in no image table.
IDS = [f"{i:016x}" for i in range(8)]
TYPES = {"images": IMAGE_ROW, "boxes": BOX, "image_labels": IMAGE_LABEL, "pictures": MEMBER}
COLUMNS = {"boxes": "bboxes", "image_labels": "image_labels", "pictures": "pictures"}

Row = tuple[str, dict[str, Any]]  # ImageID and value
Fragment = tuple[int, list[Row]]  # source and rows


def batch(kind: str, rows: list[Row]) -> pa.RecordBatch:
    keys, _ = image_keys(pa.array([image_id for image_id, _ in rows], pa.string()))
    values = pa.array([value for _, value in rows], TYPES[kind])
    return pa.record_batch({"key": keys, "value": values})


def run(
    fragments: Sequence[Fragment], sources: Sequence[Source], splits: Sequence[str] | None = None
) -> Joined:
    batches = [
        KeyedBatch(source, order, batch(sources[source].kind, rows))
        for order, (source, rows) in enumerate(fragments)
    ]
    return join(batches, sources, splits)


def merge(rows: list[dict]) -> dict | None:
    """What all rows of an image together say; None where two contradict each other."""
    merged = {}
    for name in ("split", *IMAGE_FIELDS):
        known = {row.get(name) for row in rows} - {None}
        if len(known) > 1:
            return None
        merged[name] = known.pop() if known else None
    return merged


def naive_join(
    fragments: Sequence[Fragment], sources: Sequence[Source], splits: Sequence[str] | None
) -> tuple[list[dict], int, Counter, dict[int, int]]:
    """Examples in key order, how many were to be, conflicts by ImageID, orphans by source."""
    kinds = {source.kind for source in sources}
    about, nested = defaultdict(list), defaultdict(lambda: defaultdict(list))
    for source, rows in fragments:
        for image_id, value in rows:
            kind = sources[source].kind
            if kind == "images":
                about[image_id].append(value)
                continue
            nested[image_id][COLUMNS[kind]].append(value)
            if "images" not in kinds and kind != "pictures":
                about[image_id].append({"split": sources[source].split})
    orphans: Counter[int] = Counter()
    for source, rows in fragments:
        orphans[source] += sum(image_id not in about for image_id, _ in rows)
    examples, images, conflicts = [], 0, Counter()
    for image_id in sorted(about, key=oracle.order_key):
        merged = merge(about[image_id])
        # Of rows that differ in their split, the first of an image table counts.
        ordered = about[image_id] if "images" in kinds else sorted(about[image_id], key=str)
        split = ordered[0]["split"]
        if splits is not None and not {row["split"] for row in ordered} & set(splits):
            continue
        images += 1
        if merged is None:
            conflicts[image_id, split] += 1
            continue
        example = {"image_id": image_id} | merged
        for name in LIST_COLUMNS:
            given_kinds = {kind for kind in kinds if COLUMNS.get(kind) == name}
            example[name] = nested[image_id][name] if given_kinds else None
        examples.append(example)
    examples.sort(key=lambda example: example["split"])
    return examples, images, conflicts, {s: n for s, n in orphans.items() if n}


@st.composite
def buckets(draw: st.DrawFn) -> tuple[list[Fragment], list[Source], list[str] | None]:
    kinds = draw(st.lists(st.sampled_from(list(TYPES)), min_size=1, max_size=5))
    split = st.sampled_from(SPLITS)
    sources = [Source(i, kind, f"{i}.csv", 1, draw(split)) for i, kind in enumerate(kinds)]
    fragments = []
    unique = 0
    for source in sources:
        for _ in range(draw(st.integers(0, 2))):
            rows = []
            for image_id in draw(st.lists(st.sampled_from(IDS), max_size=8)):
                unique += 1
                if source.kind == "images":
                    if image_id in IDS[-3:]:
                        continue
                    title = draw(st.sampled_from([None, None, "a", "b"]))
                    rotation = draw(st.sampled_from([None, 0, 0]))
                    value = {"split": draw(st.sampled_from(["train", "train", "test"]))}
                    rows.append((image_id, value | {"title": title, "rotation": rotation}))
                elif source.kind == "pictures":
                    rows.append((image_id, {"name": str(unique)}))
                else:
                    rows.append((image_id, {"label": f"/m/{unique}"}))
            if rows:
                fragments.append((source.index, rows))
    some_splits = st.lists(split, min_size=1, unique=True)
    return fragments, sources, draw(st.none() | some_splits)


@given(buckets())
def test_equals_a_join_with_dicts(bucket: tuple):
    fragments, sources, splits = bucket
    examples, images, conflicts, orphans = naive_join(fragments, sources, splits)
    joined = run(fragments, sources, splits)
    assert joined.images == images
    assert joined.orphans == orphans
    failed = Counter((row["image_id"], row["split"]) for row in joined.failures.to_pylist())
    assert failed == conflicts
    assert {row["reason"] for row in joined.failures.to_pylist()} <= {"conflict"}
    joined.table.validate(full=True)
    actual = joined.table.to_pylist()
    assert [row["image_id"] for row in actual] == [example["image_id"] for example in examples]
    for row, example in zip(actual, examples, strict=True):
        for name in ("split", *IMAGE_FIELDS):
            assert row[name] == example[name]
        for name in LIST_COLUMNS:
            assert (row[name] is None) == (example[name] is None), name
            for element, wanted in zip(row[name] or [], example[name] or [], strict=True):
                assert {key: element[key] for key in wanted} == wanted


def test_three_rows_fill_each_other_and_the_last_may_contradict():
    tables = [Source(0, "images", "images.csv", 1)]
    rows = [
        (IDS[0], {"split": "train", "title": None, "author": "x"}),
        (IDS[0], {"split": "train", "title": "t", "author": None}),
    ]
    (row,) = run([(0, rows)], tables).table.to_pylist()
    assert (row["title"], row["author"]) == ("t", "x")
    joined = run([(0, [*rows, (IDS[0], {"split": "train", "title": "u"})])], tables)
    assert (joined.table.num_rows, joined.images) == (0, 1)
    (failure,) = joined.failures.to_pylist()
    assert (failure["image_id"], failure["stage"], failure["reason"]) == (
        IDS[0],
        "join",
        "conflict",
    )


def test_annotations_of_a_conflicting_or_unselected_image_are_no_orphans():
    sources = [Source(0, "images", "images.csv", 1), Source(1, "boxes", "boxes.csv", 1)]
    conflicting = [(IDS[0], {"split": "train", "title": title}) for title in "ab"]
    unselected = [(IDS[1], {"split": "test"})]
    boxes = [(image_id, {"label": "/m/01"}) for image_id in IDS[:3]]
    joined = run([(0, conflicting + unselected), (1, boxes)], sources, ["train"])
    assert joined.orphans == {1: 1}
    assert joined.table.num_rows == 0


def test_a_conflict_of_splits_fails_whichever_of_them_is_selected():
    tables = [Source(0, "images", "images.csv", 1)]
    rows = [(IDS[0], {"split": split}) for split in ("train", "test")]
    for splits, failures in ((["train"], 1), (["test"], 1), (["validation"], 0), (None, 1)):
        joined = run([(0, rows)], tables, splits)
        assert (joined.table.num_rows, joined.failures.num_rows) == (0, failures)


def test_an_empty_bucket_has_all_columns():
    joined = run([], [Source(0, "boxes", "train.csv", 1, "train")])
    assert joined.table.column_names == ["image_id", "split", *IMAGE_FIELDS, *LIST_COLUMNS]
    assert (joined.table.num_rows, joined.images, joined.orphans) == (0, 0, {})


def test_an_image_seen_in_two_splits_is_a_conflict():
    sources = [Source(i, "boxes", f"{i}.csv", 1, split) for i, split in enumerate(SPLITS)]
    rows = [(IDS[0], {"label": "/m/01"})]
    joined = run([(0, rows), (2, rows)], sources)
    assert (joined.table.num_rows, joined.failures.num_rows) == (0, 1)
    assert run([(1, rows), (1, rows)], sources).table["split"].to_pylist() == ["validation"]
