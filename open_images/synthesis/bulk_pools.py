"""Pools of ready texts and the tables of chances from which bulk rows are put together."""

import csv
import functools
import json
from io import StringIO

import numpy as np
import pyarrow as pa

from open_images.synthesis.columns import fields
from open_images.synthesis.definitions import SEGMENTABLE, boxable_mids
from open_images.synthesis.photos import AUTHORS, TITLES
from open_images.synthesis.vocabulary import (
    RELATIONSHIPS,
    all_classes,
    boxable_classes,
    by_popularity,
    mid_of,
)

CHANCES = 1 << 18  # resolution of a table of chances
_SHIFT = 20  # flattens the head of the distribution: the commonest class has about 0.7%

ATTRIBUTE_MIDS = tuple(mid_of(name) for name in ("Transparent", "Plastic", "Wood", "Smile"))
VERBS = tuple(name for name in RELATIONSHIPS if name != "is")


@functools.cache
def label_mids() -> list[str]:
    """All classes, the commonest first."""
    return by_popularity(all_classes(), boxable_mids())


@functools.cache
def label_fields() -> pa.Array:
    """Fields of MIDs, the commonest first: boxable ones, then the rest, then attributes."""
    return fields([*label_mids(), *ATTRIBUTE_MIDS])


@functools.cache
def mask_names() -> pa.Array:
    """What stands in a MaskPath between ImageID and BoxID, for each boxable class."""
    return pa.array([f"_{mid.replace('/', '')}_" for mid in boxable_mids()])


@functools.cache
def popularity(classes: int) -> np.ndarray:
    """Zipf's law as a table: int32 (CHANCES,), the class at each quantile, common ones first."""
    weights = 1 / (np.arange(classes) + _SHIFT)
    quantiles = (np.arange(CHANCES) + 0.5) / CHANCES
    return np.searchsorted(np.cumsum(weights) / weights.sum(), quantiles).astype(np.int32)


@functools.cache
def segmentable_chances() -> int:
    """How many entries of the boxable classes' `popularity` are classes that have masks."""
    return int(np.searchsorted(popularity(len(boxable_mids())), SEGMENTABLE))


@functools.cache
def flag_fields() -> pa.Array:
    """64 sets of five flags, most of them rare, some unknown; at the end one all unknown."""
    common = ["0,0,0,0,0", "1,0,0,0,0", "0,1,0,0,0", "1,1,0,0,0"] * 8
    rare = [",".join(f"{n:05b}") for n in range(1, 31)]
    unknown = ["0,0,-1,0,-1", "1,-1,0,-1,0"]
    return fields([*common, *rare, *unknown, "-1,-1,-1,-1,-1"])


@functools.cache
def people_fields() -> pa.Array:
    """16 sets of MIAP's gender and age."""
    genders = ("Predominantly Masculine", "Predominantly Feminine", "Unknown", "Unknown")
    ages = ("Young", "Middle", "Older", "Unknown")
    return fields(f"{gender},{age}\n" for gender in genders for age in ages)


@functools.cache
def human_ends() -> pa.Array:
    """16 confidences as humans have them, each ending its row."""
    return fields(f"{text}\n" for text in ["1"] * 7 + ["0"] * 6 + ["1.0", "1.0", "0.0"])


@functools.cache
def machine_ends() -> pa.Array:
    """16 confidences as the classifier has them, each ending its row."""
    texts = ["0.5"] * 4 + ["0.6"] * 4 + ["0.7"] * 3 + ["0.8"] * 2 + ["0.9", "1", "1.0"]
    return fields(f"{text}\n" for text in texts)


@functools.cache
def point_ends() -> pa.Array:
    """64 ends of point rows: answer, source, votes and text."""
    plain = [
        f"{answer},{source},{votes},\n"
        for answer, votes in (("yes", "1,0,0"), ("no", "0,1,0"), ("unsure", "0,0,1"))
        for source in ("ih", "ih", "ih", "cc", "cs")
    ]
    voted = [
        f"yes,{source},{yes},{no},0,\n"
        for source in ("cc", "cs")
        for yes in (3, 4, 5)
        for no in (0, 1)
    ]
    denied = [
        f"no,{source},{yes},{no},1,\n"
        for source in ("cc", "cs")
        for yes in (0, 1)
        for no in (3, 4, 6)
    ]
    named = ["yes,ff,1,0,0,sky\n", 'yes,ff,1,0,0,"ball, red"\n', "yes,ff,1,0,0,grüne Wiese\n"]
    return fields((plain * 2 + voted + denied + named * 4)[:64])


@functools.cache
def iou_fields() -> pa.Array:
    """1024 values of PredictedIoU, some empty."""
    return fields("" if i % 7 == 3 else f"{0.5 + i / 2100:.5f}" for i in range(1024))


@functools.cache
def click_ends() -> pa.Array:
    """1024 sequences of clicks, each ending its row."""
    rng = np.random.default_rng(1)
    ends = []
    for _ in range(1024):
        places = rng.random((int(rng.integers(2, 14)), 2))
        ends.append(";".join(f"{x:.5f} {y:.5f} {int(x < 0.6)}" for x, y in places) + "\n")
    return fields(ends)


@functools.cache
def rotation_ends() -> pa.Array:
    """64 rotations, each ending its row."""
    turned = ["90.0"] * 3 + ["270.0"] * 3 + ["180.0", "nan"] + [""] * 4
    return fields(f"{text}\n" for text in ["0.0"] * 52 + turned)


@functools.cache
def author_fields(quoted: bool) -> pa.Array:
    """One author for each of 1000 accounts."""
    return fields(_quote(AUTHORS[i % len(AUTHORS)], quoted) for i in range(1000))


@functools.cache
def title_fields(quoted: bool) -> pa.Array:
    """4096 titles; of each 64, some hold quotes, commas, line breaks, other scripts and emoji."""
    plain = [f"{('DSC_', 'IMG_', 'A walk, no. ', 'day ')[i % 4]}{i:04d}" for i in range(4096)]
    odd = [TITLES[i // 64 % len(TITLES)] if i % 64 < 3 else title for i, title in enumerate(plain)]
    return fields(_quote(title, quoted) for title in odd)


def _quote(text: str, always: bool) -> str:
    out = StringIO()
    csv.writer(out, quoting=csv.QUOTE_ALL if always else csv.QUOTE_MINIMAL).writerow(["", text])
    return out.getvalue().removesuffix("\r\n").partition(",")[2]


@functools.cache
def narrative_pieces(split: str, size: int) -> tuple[pa.Array, pa.Array, pa.Array]:
    """64 narratives, each cut where the ImageID goes.

    Args:
      split: names dataset and recording.
      size: about how many bytes a line has.

    Returns:
      What comes before, between and after the two places of the ImageID.
    """
    rng = np.random.default_rng(2)
    lines = [_narrative(split, size, rng).split("{ImageID}") for _ in range(64)]
    return tuple(pa.array(piece) for piece in zip(*lines, strict=True))


def _narrative(split: str, size: int, rng: np.random.Generator) -> str:
    names = [name.lower() for _, name in boxable_classes()]
    utterances = ["In this image we can see"]
    utterances += [f"a {names[i]} and" for i in rng.integers(len(names), size=6)] + ["the sky."]
    timed = [
        {"utterance": words, "start_time": 1.5 * i, "end_time": 1.5 * i + 1.25}
        for i, words in enumerate(utterances)
    ]
    annotator = int(rng.integers(1, 200))
    record = {
        "dataset_id": f"open_images_{split}",
        "image_id": "{ImageID}",
        "annotator_id": annotator,
        "caption": " ".join(utterances),
        "timed_caption": timed,
        "traces": [[]],
        "voice_recording": f"open_images_{split}/open_images_{split}_{{ImageID}}_{annotator}.ogg",
    }
    point_bytes = 38
    count = max(2, (size - len(json.dumps(record))) // point_bytes)
    # A pointer's walk, which leaves the picture now and then.
    walk = np.clip(0.5 + np.cumsum(rng.normal(0, 0.05, (count, 2)), axis=0), -0.06, 1.06).round(4)
    record["traces"] = [
        [{"x": x, "y": y, "t": round(0.1 * i, 3)} for i, (x, y) in enumerate(walk.tolist())]
    ]
    return json.dumps(record) + "\n"
