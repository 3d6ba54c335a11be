"""Ids and random numbers as pure functions of a seed and an index.

Nothing here holds state, so the bytes of the corpus depend neither on the number of processes nor
on how the work is cut into pieces.
"""

import hashlib

import numpy as np

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def draw(seed: int, stream: str, index: np.ndarray) -> np.ndarray:
    """Returns random 64-bit numbers by position (the SplitMix64 generator).

    Args:
      seed: the corpus's seed.
      stream: names an independent sequence of numbers.
      index: uint64, any shape; positions in the sequence.

    Returns:
      uint64 of the shape of `index`. Distinct positions of one stream give distinct numbers.
    """
    key = hashlib.blake2b(f"{seed}/{stream}".encode(), digest_size=8).digest()
    z = index * _GOLDEN + np.uint64(int.from_bytes(key, "little"))
    z = (z ^ (z >> np.uint64(30))) * _MIX_1
    z = (z ^ (z >> np.uint64(27))) * _MIX_2
    return z ^ (z >> np.uint64(31))


def image_numbers(seed: int, index: np.ndarray) -> np.ndarray:
    """Returns ImageIDs as numbers: random, but every first hex digit occurs equally often.

    Args:
      seed: the corpus's seed.
      index: uint64; the number of an image in the whole corpus.

    Returns:
      uint64 of the same shape.
    """
    rest = draw(seed, "image", index) & np.uint64(0x0FFF_FFFF_FFFF_FFFF)
    return rest | ((index & np.uint64(15)) << np.uint64(60))


def image_id(seed: int, index: int) -> str:
    """Returns the ImageID of image `index`: 16 lowercase hex digits."""
    return f"{int(image_numbers(seed, np.array([index], np.uint64))[0]):016x}"


def split_ranges(images: int, validation: float = 0.1, test: float = 0.1) -> dict[str, range]:
    """Cuts the images into splits: train, validation and test.

    Args:
      images: how many there are; of few, a split may have none.
      validation: the share of validation.
      test: the share of test.

    Returns:
      The image indices of each split.
    """
    tested = images - round(images * test)
    train = tested - round(images * validation)
    return {
        "train": range(train),
        "validation": range(train, tested),
        "test": range(tested, images),
    }
