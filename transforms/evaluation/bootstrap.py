"""Intervals of average precision: what it would be of other pictures like these.

Each replicate counts each image as often as a number says that is drawn from a Poisson distribution
of mean 1, which is what drawing as many images with replacement comes to for many images (Chamandy
et al., Estimating uncertainty for massive data streams, 2012). The numbers are made of the image's
key: so classes that meet in different places count an image alike, and two evaluations of the same
images have replicates that can be compared one by one.
"""

import math

import numpy as np

#: How often a number is at most 0, 1, 2, …, as parts of 2^64.
_CUMULATIVE = np.array(
    [
        min(2**64 - 1, round(2**64 * sum(math.exp(-1) / math.factorial(k) for k in range(n + 1))))
        for n in range(20)
    ],
    np.uint64,
)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_STEP = 0x9E3779B97F4A7C15


def counts_of(keys: np.ndarray, replicate: int) -> np.ndarray:
    """Returns how often a replicate counts images, (n,) float64.

    Args:
        keys: of images, (n,) uint64.
        replicate: its number.
    """
    # The finalizer of SplitMix64, https://prng.di.unimi.it/splitmix64.c.
    mixed = keys + np.uint64((replicate + 1) * _STEP % 2**64)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * _FIRST
    mixed = (mixed ^ (mixed >> np.uint64(27))) * _SECOND
    mixed ^= mixed >> np.uint64(31)
    return np.searchsorted(_CUMULATIVE, mixed, "left").astype(np.float64)


def interval(values: np.ndarray) -> tuple[float, float] | None:
    """Returns where the middle 95% of values lie; None where there are none.

    Args:
        values: of replicates, (n,); NaN where a replicate has none.
    """
    known = values[~np.isnan(values)]
    if not known.size:
        return None
    low, high = np.percentile(known, [2.5, 97.5])
    return float(low), float(high)
