"""Pools of ready texts and the tables of chances from which bulk rows are put together.

A pool whose name ends in `ENDS` holds the ends of rows.
"""

import functools

import numpy as np
import pyarrow as pa

from open_images.synthesis import vocabulary
from open_images.synthesis.definitions import SEGMENTABLE, boxable_mids
from open_images.synthesis.narrate import format_line
from open_images.synthesis.photos import AUTHORS, TITLES
from open_images.synthesis.text import fields
from open_images.synthesis.vocabulary import mid_of
from transforms.kinds.csv_text import csv_field

CHANCES = 1 << 18  # resolution of a table of chances
_SHIFT = 20  # flattens the head of the distribution: the commonest class has about 0.7%


def _quantiles(classes: int) -> np.ndarray:
    """Returns Zipf's law as int32 (CHANCES,): the class at each quantile, common ones first."""
    weights = 1 / (np.arange(classes) + _SHIFT)
    quantiles = (np.arange(CHANCES) + 0.5) / CHANCES
    return np.searchsorted(np.cumsum(weights) / weights.sum(), quantiles).astype(np.int32)


_BOXABLE_MIDS = boxable_mids()
_LABEL_MIDS = vocabulary.by_popularity(vocabulary.all_classes(), _BOXABLE_MIDS)
NUM_CLASSES = len(_LABEL_MIDS)
_ATTRIBUTE_MIDS = [mid_of(name) for name in ("Transparent", "Plastic", "Wood", "Smile")]
#: MIDs, the commonest first: boxable ones, then the rest, then attributes.
LABELS = fields(_LABEL_MIDS + _ATTRIBUTE_MIDS)
LABEL_QUANTILES = _quantiles(NUM_CLASSES)
BOXABLE_QUANTILES = _quantiles(len(_BOXABLE_MIDS))
#: Entries of `BOXABLE_QUANTILES` that are classes with masks.
SEGMENTABLE_CHANCES = int(np.searchsorted(BOXABLE_QUANTILES, SEGMENTABLE))
VERBS = tuple(name for name in vocabulary.RELATIONSHIPS if name != "is")

#: What stands in a MaskPath between ImageID and BoxID, for each boxable class.
MASK_NAMES = pa.array([f"_{mid.replace('/', '')}_" for mid in _BOXABLE_MIDS])
#: 1024 values of PredictedIoU, some empty, and as many sequences of clicks.
IOUS = fields("" if i % 7 == 3 else f"{0.5 + i / 2100:.5f}" for i in range(1024))
_rng = np.random.default_rng(1)
_clicks = (_rng.random((int(_rng.integers(2, 14)), 2)) for _ in range(1024))
CLICK_ENDS = fields(
    ";".join(f"{x:.5f} {y:.5f} {int(x < 0.6)}" for x, y in places) + "\n" for places in _clicks
)

#: 64 sets of five flags, most of them rare, some unknown; at the end one all unknown.
FLAGS = fields(
    [
        *["0,0,0,0,0", "1,0,0,0,0", "0,1,0,0,0", "1,1,0,0,0"] * 8,
        *(",".join(f"{n:05b}") for n in range(1, 31)),
        *("0,0,-1,0,-1", "1,-1,0,-1,0", "-1,-1,-1,-1,-1"),
    ]
)
#: 16 sets of MIAP's gender and age.
PEOPLE_ENDS = fields(
    f"{gender},{age}\n"
    for gender in ("Predominantly Masculine", "Predominantly Feminine", "Unknown", "Unknown")
    for age in ("Young", "Middle", "Older", "Unknown")
)

#: 16 confidences as humans have them, 16 as the classifier has them, and 64 rotations.
HUMAN_ENDS = fields(f"{x}\n" for x in ["1"] * 7 + ["0"] * 6 + ["1.0", "1.0", "0.0"])
MACHINE_ENDS = fields(
    f"{confidence}\n"
    for confidence in ["0.5"] * 4 + ["0.6"] * 4 + ["0.7"] * 3 + ["0.8"] * 2 + ["0.9", "1", "1.0"]
)
ROTATION_ENDS = fields(
    f"{rotation}\n"
    for rotation in ["0.0"] * 52 + ["90.0"] * 3 + ["270.0"] * 3 + ["180.0", "nan"] + [""] * 4
)

_POINTS = [
    f"{answer},{source},{votes},"
    for answer, votes in (("yes", "1,0,0"), ("no", "0,1,0"), ("unsure", "0,0,1"))
    for source in ("ih", "ih", "ih", "cc", "cs")
]
_YES_POINTS = [f"yes,{s},{yes},{no},0," for s in ("cc", "cs") for yes in (3, 4, 5) for no in (0, 1)]
_NO_POINTS = [f"no,{s},{yes},{no},1," for s in ("cc", "cs") for yes in (0, 1) for no in (3, 4, 6)]
_NAMED_POINTS = ["yes,ff,1,0,0,sky", 'yes,ff,1,0,0,"ball, red"', "yes,ff,1,0,0,grüne Wiese"]
#: 64 answers to points, with source, votes and text.
POINT_ENDS = fields(
    f"{end}\n" for end in (_POINTS * 2 + _YES_POINTS + _NO_POINTS + _NAMED_POINTS * 4)[:64]
)


@functools.cache
def author_fields(quoted: bool) -> pa.Array:
    """Returns one author for each of 1000 accounts."""
    return fields(csv_field(AUTHORS[i % len(AUTHORS)], quoted) for i in range(1000))


@functools.cache
def title_fields(quoted: bool) -> pa.Array:
    """Returns 4096 titles, some with quotes, commas, line breaks, other scripts and emoji."""
    plain = [f"{('DSC_', 'IMG_', 'A walk, no. ', 'day ')[i % 4]}{i:04d}" for i in range(4096)]
    odd = [TITLES[i // 64 % len(TITLES)] if i % 64 < 3 else title for i, title in enumerate(plain)]
    return fields(csv_field(title, quoted) for title in odd)


@functools.cache
def narrative_pieces(split: str, size: int) -> tuple[pa.Array, pa.Array, pa.Array]:
    """Returns 64 narratives as what comes before, between and after the two ImageIDs.

    Args:
      split: names dataset and recording.
      size: about how many bytes a line has.
    """
    rng = np.random.default_rng(2)
    lines = [_narrative(split, size, rng).split("{ImageID}") for _ in range(64)]
    return tuple(pa.array(piece) for piece in zip(*lines, strict=True))


def _narrative(split: str, size: int, rng: np.random.Generator) -> str:
    names = [name.lower() for _, name in vocabulary.boxable_classes()]
    utterances = ["In this image we can see"]
    utterances += [f"a {names[i]} and" for i in rng.integers(len(names), size=6)] + ["the sky."]
    timed = [
        {"utterance": words, "start_time": 1.5 * i, "end_time": 1.5 * i + 1.25}
        for i, words in enumerate(utterances)
    ]
    line = functools.partial(format_line, "{ImageID}", split, int(rng.integers(1, 200)), timed)
    point_bytes = 38
    count = max(2, (size - len(line([[]])) + 1) // point_bytes)
    # A pointer's walk, which leaves the picture now and then.
    walk = np.clip(0.5 + np.cumsum(rng.normal(0, 0.05, (count, 2)), axis=0), -0.06, 1.06).round(4)
    return line(
        [[{"x": x, "y": y, "t": round(0.1 * i, 3)} for i, (x, y) in enumerate(walk.tolist())]]
    )
