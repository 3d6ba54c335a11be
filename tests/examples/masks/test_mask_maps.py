"""Maps: which mask lies on top, and what the PNG holds."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from transforms.dataset import rle
from transforms.examples.masks.maps import encode_map, instance_map, semantic_map

# pycocotools 2.0.11 with numpy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def draw(*masks: np.ndarray | None, shape: tuple[int, int] = (4, 6)) -> np.ndarray:
    encoded = [(None, None) if mask is None else rle.encode(mask) for mask in masks]
    return instance_map([c for c, _ in encoded], [a for _, a in encoded], *shape)


def rectangle(top: int, left: int, bottom: int, right: int) -> np.ndarray:
    mask = np.zeros((4, 6), bool)
    mask[top:bottom, left:right] = True
    return mask


def test_smaller_masks_lie_on_top_and_failed_ones_keep_their_number() -> None:
    small, large = rectangle(0, 0, 2, 2), rectangle(0, 0, 4, 4)
    drawn = draw(small, None, large)
    assert drawn.dtype == np.uint16
    assert drawn.tolist() == [[1, 1, 3, 3, 0, 0]] * 2 + [[3, 3, 3, 3, 0, 0]] * 2


def test_of_equal_masks_the_later_lies_on_top() -> None:
    left, right = rectangle(0, 0, 4, 4), rectangle(0, 2, 4, 6)
    assert draw(left, right).tolist() == [[1, 1, 2, 2, 2, 2]] * 4
    assert draw(right, left).tolist() == [[2, 2, 2, 2, 1, 1]] * 4


def test_no_masks_are_all_zeros() -> None:
    assert not draw().any()
    assert not semantic_map(draw(), []).any()


@given(
    masks=st.lists(arrays.arrays(bool, (4, 6)), max_size=6),
    data=st.data(),
)
@settings(max_examples=150, deadline=None)
def test_every_pixel_is_of_its_smallest_latest_mask(masks: list, data: st.DataObject) -> None:
    classes = data.draw(st.lists(st.integers(1, 65_535), min_size=len(masks), max_size=len(masks)))
    instances = draw(*masks)
    semantic = semantic_map(instances, classes)
    for y, x in np.ndindex(4, 6):
        over = [(-mask.sum(), index) for index, mask in enumerate(masks) if mask[y, x]]
        top = max(over)[1] if over else None
        assert instances[y, x] == (0 if top is None else top + 1)
        assert semantic[y, x] == (0 if top is None else classes[top])


def test_png_is_16_bit_grey_and_repeatable() -> None:
    drawn = np.asfortranarray(np.arange(24, dtype=np.uint16).reshape(4, 6) * 2849)
    data = encode_map(drawn)
    assert data[24:26] == b"\x10\x00"  # depth and colour type in IHDR
    assert data == encode_map(drawn.copy(order="C"))
    assert (np.asarray(Image.open(io.BytesIO(data))) == drawn).all()


def test_more_than_16_bits_hold_is_refused() -> None:
    counts = rle.encode(np.ones((1, 1), bool))[0]
    assert instance_map([counts] * 65_535, [1] * 65_535, 1, 1).tolist() == [[65_535]]
    with pytest.raises(ValueError, match="65536 masks"):
        instance_map([counts] * 65_536, [1] * 65_536, 1, 1)


@pytest.mark.parametrize("index", [0, 65_536])
def test_class_indices_outside_16_bits_are_refused(index: int) -> None:
    with pytest.raises(ValueError, match="class index"):
        semantic_map(np.zeros((1, 1), np.uint16), [1, index])


def test_a_class_without_an_index_is_none():
    instances = np.array([[0, 1], [2, 3]], np.uint16)
    assert semantic_map(instances, [7, None, 2]).tolist() == [[0, 7], [0, 2]]
