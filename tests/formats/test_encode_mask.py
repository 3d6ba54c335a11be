"""Mask PNGs: run lengths become the pixels that `pycocotools` decodes."""

import io

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as coco

from transforms.formats.mask_png import encode_empty_mask, encode_mask


@given(st.data(), st.integers(1, 40), st.integers(1, 40))
def test_any_mask_is_read_by_pillow(data: st.DataObject, height: int, width: int):
    kinds = st.sampled_from([0.0, 0.02, 0.5, 0.98, 1.0])
    share, seed = data.draw(kinds), data.draw(st.integers(0, 1 << 32))
    pixels = np.random.default_rng(seed).random((height, width)) < share
    counts = coco.encode(np.asfortranarray(pixels.astype(np.uint8)))["counts"]
    image = Image.open(io.BytesIO(encode_mask(counts, height, width)))
    assert (image.format, image.mode) == ("PNG", "1")
    assert np.array_equal(np.asarray(image), pixels)


@given(st.lists(st.integers(0, 100_000), min_size=1, max_size=30))
def test_any_runs_are_those_of_pycocotools(runs: list[int]):
    """Runs of no length, too, and differences of several digits and either sign."""
    width = sum(runs) or 1
    given = {"counts": [*runs, width - sum(runs)], "size": [1, width]}
    mask = coco.frPyObjects(given, 1, width)
    image = Image.open(io.BytesIO(encode_mask(mask["counts"], 1, width)))
    assert np.array_equal(np.asarray(image), coco.decode(mask).astype(bool))


def test_a_mask_without_an_object_is_all_background():
    image = Image.open(io.BytesIO(encode_empty_mask(3, 17)))
    assert (image.mode, image.size, image.getextrema()) == ("1", (17, 3), (0, 0))
