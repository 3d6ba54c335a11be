"""Quotas, whatever the buckets are: by counts alone, as if all images were in one place."""

from collections import Counter

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from transforms.exchange.batches import bucket_of
from transforms.selection import quotas
from transforms.selection.quotas import NO_CUTS, Cuts, Shown
from transforms.selection.selection import Selection

LABELS = ("/m/a", "/m/b", "/m/c", "/m/d")
KEYS = st.integers(0, 2**64 - 1)
#: Images by key, each with the labels that it shows.
IMAGES = st.dictionaries(KEYS, st.frozensets(st.sampled_from(LABELS)), max_size=30)
Images = dict[int, frozenset[str]]


def count_images(tallies: list[bytes]) -> int:
    """How many images tallies count in all: in rows without a label."""
    tables = [pa.ipc.open_stream(each).read_all() for each in tallies]
    rows = [row for table in tables for row in table.to_pylist()]
    return sum(row["count"] for row in rows if row["label"] is None)


def _by_bucket(images: Images, buckets: int) -> list[Images]:
    parts: list[Images] = [{} for _ in range(buckets)]
    for key, labels in images.items():
        parts[int(bucket_of(np.array([key], np.uint64), buckets)[0])][key] = labels
    return [part for part in parts if part]


def _shown(images: Images) -> Shown:
    pairs = [(i, label) for i, labels in enumerate(images.values()) for label in sorted(labels)]
    names = list(dict.fromkeys(label for _, label in pairs))
    return Shown(
        np.array([i for i, _ in pairs], np.int64),
        np.array([names.index(label) for _, label in pairs], np.int64),
        pa.array(names, pa.string()),
    )


def _choose(
    images: Images, buckets: int, start: int, per_class: int | None, most: int | None
) -> set[int]:
    """What the steps of a build choose, bucket by bucket."""
    parts = [
        (np.array(list(part), np.uint64), _shown(part)) for part in _by_bucket(images, buckets)
    ]
    pieces = [quotas.pieces_of(keys, buckets, start) for keys, _ in parts]
    chosen = [np.ones(len(keys), bool) for keys, _ in parts]
    tallies = [
        quotas.tally(piece, some, shown)
        for piece, some, (_, shown) in zip(pieces, chosen, parts, strict=True)
    ]
    cuts = NO_CUTS
    if per_class is not None:
        cuts = quotas.cut_classes(reversed(tallies), per_class)
        chosen = [
            quotas.needed_by_class(keys, piece, shown, cuts)
            for (keys, shown), piece in zip(parts, pieces, strict=True)
        ]
        assert count_images(tallies) == len(images)
        tallies = [
            quotas.tally(piece, some, quotas.NOTHING_SHOWN)
            for piece, some in zip(pieces, chosen, strict=True)
        ]
    if most is not None:
        limit: Cuts = quotas.cut_images(tallies, most)
        chosen = [
            quotas.within_limit(keys, piece, some, limit)
            for (keys, _), piece, some in zip(parts, pieces, chosen, strict=True)
        ]
    found = (keys[some] for (keys, _), some in zip(parts, chosen, strict=True))
    return {int(key) for keys in found for key in keys}


def _naive(images: Images, start: int, per_class: int | None, most: int | None) -> set[int]:
    order = sorted(images, key=lambda key: (key - start) % 2**64)
    if per_class is not None:
        seen: Counter[str] = Counter()
        needed = []
        for key in order:
            if any(seen[label] < per_class for label in images[key]):
                needed.append(key)
            seen.update(images[key])
        order = needed
    return set(order if most is None else order[:most])


LIMIT = st.integers(1, 12) | st.just(10**30) | st.none()


@given(IMAGES, st.integers(1, 9), KEYS, LIMIT, LIMIT)
def test_as_in_one_place(
    images: Images, buckets: int, start: int, per_class: int | None, most: int | None
) -> None:
    chosen = _choose(images, buckets, start, per_class, most)
    assert chosen == _naive(images, start, per_class, most)


@given(IMAGES, st.integers(1, 9), KEYS, st.integers(1, 12))
def test_each_class_has_enough_images_and_none_is_there_for_nothing(
    images: Images, buckets: int, start: int, per_class: int
) -> None:
    chosen = _choose(images, buckets, start, per_class, None)
    there = Counter(label for labels in images.values() for label in labels)
    taken = Counter(label for key in chosen for label in images[key])
    assert all(taken[label] >= min(per_class, there[label]) for label in LABELS)
    order = sorted(images, key=lambda key: (key - start) % 2**64)
    for key in chosen:
        before = Counter(label for other in order[: order.index(key)] for label in images[other])
        assert any(before[label] < per_class for label in images[key])


@given(IMAGES, st.integers(1, 9), KEYS, LIMIT, LIMIT, st.integers(1, 5))
def test_a_larger_maximum_contains_a_smaller(
    images: Images, buckets: int, start: int, per_class: int | None, most: int | None, more: int
) -> None:
    chosen = _choose(images, buckets, start, per_class, most)
    if most is not None:
        assert chosen <= _choose(images, buckets, start, per_class, most + more)
    elif per_class is not None:
        assert chosen <= _choose(images, buckets, start, per_class + more, None)


@given(st.integers(0, 2**70), st.floats(0, 1, exclude_min=True), st.floats(0, 1), st.lists(KEYS))
def test_a_larger_fraction_contains_a_smaller(
    seed: int, fraction: float, other: float, keys: list[int]
) -> None:
    low, high = sorted((fraction, max(other, 1e-9)))
    small, large = (Selection(seed=seed, sample_fraction=each) for each in (low, high))
    assert small.order_start == large.order_start == seed * 0x9E3779B97F4A7C15 % 2**64
    assert 0 <= small.sample_size <= large.sample_size <= 2**64
    assert Selection(sample_fraction=1.0).sample_size == Selection().sample_size == 2**64


@given(IMAGES, st.integers(1, 9), st.integers(0, 2**40), st.integers(1, 12))
def test_seeds(images: Images, buckets: int, seed: int, most: int) -> None:
    """A seed is a place to begin, once around; which images there are, it doesn't change."""
    start = Selection(seed=seed).order_start
    chosen = _choose(images, buckets, start, None, most)
    assert len(chosen) == min(most, len(images))
    assert _choose(images, buckets, start, None, len(images) or 1) == set(images)
