"""Run lengths: exactly those of pycocotools."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pycocotools import mask as coco

from transforms.dataset import rle

# pycocotools 2.0.11 with numpy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@given(arrays.arrays(bool, st.tuples(st.integers(1, 50), st.integers(1, 50))))
@settings(max_examples=300, deadline=None)
def test_equal_to_pycocotools(mask: np.ndarray) -> None:
    counts, area = rle.encode(mask)
    height, width = mask.shape
    expected = coco.encode(np.asfortranarray(mask, np.uint8))
    assert counts == expected["counts"]
    assert area == mask.sum()
    assert (coco.decode({"size": [height, width], "counts": counts}) == mask).all()
    decoded = rle.decode(counts, height, width)
    assert decoded.dtype == bool
    assert (decoded == mask).all()


@pytest.mark.parametrize("fill", [False, True])
def test_uniform_masks(fill: bool) -> None:
    mask = np.full((1200, 1600), fill)
    counts, area = rle.encode(mask)
    assert counts == coco.encode(np.asfortranarray(mask, np.uint8))["counts"]
    assert area == fill * mask.size


def test_other_memory_orders() -> None:
    mask = np.random.default_rng(0).random((31, 17)) < 0.3
    assert rle.encode(np.asfortranarray(mask)) == rle.encode(mask)
    assert rle.encode(np.repeat(mask, 2, axis=1)[:, ::2]) == rle.encode(mask)
