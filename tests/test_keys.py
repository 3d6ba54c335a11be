"""Keys of images: reversible, checked, and even over the buckets."""

import re

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from tests import oracle
from transforms.dataset import keys
from transforms.exchange.batches import bucket_of

WORDS = st.integers(0, 2**64 - 1)
IDS = st.from_regex(r"[0-9a-f]{16}", fullmatch=True)
NEARLY_IDS = st.text("0123456789abcdefgABCDEF`/:@ -é\0", max_size=18)


@given(st.lists(WORDS, max_size=20))
def test_unmix_undoes_mix(numbers: list[int]):
    words = np.array(numbers, np.uint64)
    assert keys.unmix(keys.mix(words)).tolist() == numbers
    assert keys.mix(keys.unmix(words)).tolist() == numbers


@given(st.lists(IDS, max_size=20))
def test_ids_come_back_from_their_keys(ids: list[str]):
    found, valid = keys.image_keys(pa.array(ids, pa.string()))
    assert valid.all()
    assert keys.image_ids(found).to_pylist() == ids


@given(st.lists(IDS, unique=True, max_size=20))
def test_order_of_keys_is_that_of_the_oracle(ids: list[str]):
    found, _ = keys.image_keys(pa.array(ids, pa.string()))
    in_order = [ids[i] for i in np.argsort(found)]
    assert in_order == sorted(ids, key=oracle.order_key)


@given(st.lists(st.none() | IDS | NEARLY_IDS | IDS.map(str.upper), max_size=20), st.integers(0, 3))
def test_an_id_is_valid_as_the_pattern_says(ids: list[str | None], offset: int):
    array = pa.array(ids, pa.string())[offset:]
    found, valid = keys.image_keys(array)
    wanted = [bool(re.fullmatch("[0-9a-f]{16}", image_id or "")) for image_id in ids[offset:]]
    assert valid.tolist() == wanted
    sound = array.filter(pa.array(wanted, pa.bool_()))
    assert keys.image_ids(found[valid]).to_pylist() == sound.to_pylist()


@given(st.sampled_from("0123456789abcdef"), st.integers(0, 15), st.integers(0, 255))
def test_every_byte_but_a_hex_digit_is_refused_in_every_place(digit: str, place: int, byte: int):
    text = bytearray(digit.encode() * 16)
    text[place] = byte
    _, valid = keys.image_keys(pa.array([bytes(text)], pa.binary()))
    assert valid.tolist() == [byte in b"0123456789abcdef"]


@given(st.lists(WORDS, min_size=1, max_size=50), st.integers(1, 1024))
def test_buckets_are_equal_ranges_in_key_order(numbers: list[int], buckets: int):
    ordered = np.sort(np.array(numbers, np.uint64))
    found = bucket_of(ordered, buckets).tolist()
    assert found == sorted(found)
    assert found == [(number >> 32) * buckets >> 32 for number in sorted(numbers)]


def test_buckets_of_consecutive_ids_are_of_one_size():
    ids = np.arange(100_000, dtype=np.uint64)
    counts = np.bincount(bucket_of(keys.mix(ids), 64), minlength=64)
    # A binomial count strays by five standard deviations once in some 10^6 buckets.
    mean = len(ids) / 64
    assert abs(counts - mean).max() < 5 * mean**0.5
