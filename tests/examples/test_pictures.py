"""Pictures come in pieces that fit in memory, from one source after the other, in order."""

from collections.abc import Iterator
from itertools import chain

import pyarrow as pa
import pytest

from tests.examples.imaging.pictures import jpeg
from transforms.dataset.failures import PixelError, Reason
from transforms.examples.imaging.process import ImageSpec
from transforms.examples.pictures import fetch_pictures
from transforms.sources.answers import Answer

SIZE = 20_000


class FakeSource:
    """Has the pictures of some images, and notes who asks together, and whom it has answered."""

    def __init__(self, name: str, has: set[int]) -> None:
        self.name, self.has = name, has
        self.asked: list[list[int]] = []
        self.answered: list[int] = []

    def ask(self, images: pa.Table) -> Iterator[Iterator[Answer]]:
        numbers = [int(image_id) for image_id in images["image_id"].to_pylist()]
        self.asked.append(numbers)
        for number in numbers:
            self.answered.append(number)
            if number in self.has:
                yield iter([Answer(self.name, jpeg().ljust(SIZE, b"\0"))])
            else:
                yield iter([Answer(self.name, PixelError(Reason.MISSING, "404"))])

    def close(self) -> None:
        pass


def images(count: int) -> pa.Table:
    ids = [str(number) for number in range(count)]
    rotations = pa.nulls(count, pa.int16())
    return pa.table({"image_id": ids, "split": ["train"] * count, "rotation": rotations})


def fetch(
    count: int, sources: list[FakeSource], held: int
) -> Iterator[tuple[list[int], list[int], list[str]]]:
    """Of each piece the images with and without a picture, and what is said of the latter."""
    for piece in fetch_pictures(images(count), sources, True, ImageSpec(), held * SIZE):
        found = [int(image_id) for image_id in piece.images["image_id"].to_pylist()]
        assert [len(cell.as_py()["bytes"]) for cell in piece.columns["image"]] == [SIZE] * len(
            found
        )
        failures = piece.failures
        yield found, [int(failure.image_id) for failure in failures], [f.detail for f in failures]


def test_pieces_of_one_source() -> None:
    source = FakeSource("one", {0, 1, 2, 4, 5, 6, 7, 8})
    pieces = fetch(9, [source], 3)
    assert next(pieces) == ([0, 1, 2], [], [])
    assert source.answered == [0, 1, 2]
    assert next(pieces) == ([4, 5, 6], [3], ["404"])
    assert list(pieces) == [([7, 8], [], [])]
    assert source.asked == [list(range(9))]


@pytest.mark.parametrize("held", [1, 2, 5, 100])
def test_sources_in_turn_keep_the_order(held: int) -> None:
    first = FakeSource("first", {0, 1, 4, 5, 6, 9, 12, 13})
    second = FakeSource("second", {2, 7, 8, 12})
    third = FakeSource("third", {1, 2, 3, 10})
    pieces = list(fetch(14, [first, second, third], held))
    assert [number for found, _, _ in pieces for number in found] == [*range(11), 12, 13]
    assert max(len(found) for found, _, _ in pieces) <= held
    ((missing, details),) = [(failed, why) for _, failed, why in pieces if failed]
    assert missing == [11]
    assert details == ["404; second: missing: 404; third: missing: 404"]
    assert sorted(chain(*second.asked)) == [2, 3, 7, 8, 10, 11]
    assert sorted(chain(*third.asked)) == [3, 10, 11]
    if held == 100:
        assert len(second.asked) == len(third.asked) == 1


def test_what_is_held_back_for_later_sources_is_bounded() -> None:
    first, second = FakeSource("first", set(range(1, 30))), FakeSource("second", {0})
    pieces = fetch(30, [first, second], 4)
    assert next(pieces)[0] == [0, 1, 2, 3]
    assert first.answered == [0, 1, 2, 3, 4]
    assert second.answered == [0]
