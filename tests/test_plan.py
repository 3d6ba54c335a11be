"""How a build is cut."""

import pytest

from open_images.building.plan import _choose_range_size, _count_buckets
from transforms.dataset.elements import Source
from transforms.kinds.reading.ranges import plan_ranges
from transforms.kinds.registry import TABLES


@pytest.mark.parametrize(
    ("images", "buckets"),
    [(100, 1), (1_000, 5), (3_000, 16), (30_000, 64), (100_000, 64), (1_000_000, 488)],
)
def test_buckets_are_enough_for_all_workers_and_large_where_they_are(images: int, buckets: int):
    table = Source(0, "images", "train-images.csv", 330 * images)
    assert _count_buckets([table], with_pictures=True) == buckets
    assert _count_buckets([table], with_pictures=False) <= buckets


@pytest.mark.parametrize("size", [1 << 20, 3 << 30])
def test_ranges_of_every_kind_make_as_much_to_spill(size: int):
    kinds = ("images", "image_labels", "boxes", "points", "narratives", "masks")
    tables = [Source(i, kind, f"train-{kind}", size) for i, kind in enumerate(kinds)]
    range_size = _choose_range_size(tables, 8 << 20)
    ranges = {table.kind: plan_ranges(table, range_size) for table in tables}
    for table in tables:
        pieces = ranges[table.kind]
        assert [piece.start for piece in pieces[1:]] == [piece.stop for piece in pieces[:-1]]
        assert (pieces[0].start, pieces[-1].stop) == (0, size)
        assert len(pieces) == -(-size * TABLES[table.kind].spilled_a_byte // range_size)
    assert sum(map(len, ranges.values())) == pytest.approx(384 if size > 1 << 30 else 6, abs=6)
