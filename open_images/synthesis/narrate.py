"""Localized Narratives: captions of pictures with the traces of a pointer."""

import json
from typing import NamedTuple

import numpy as np

from open_images.synthesis.kinds import PEOPLE
from open_images.synthesis.regions import Bounds, edge_bounds
from open_images.synthesis.render import Picture, Region

_PLACES = {
    "meadow": "In this image we can see a meadow with",
    "sea": "This picture shows the sea with",
    "snow": "In this winter picture there is snow, and we see",
    "room": "In this image, taken in a room, we can see",
}
_PLURAL = {"Flower": "flowers", "Mushroom": "mushrooms", "Balloon": "balloons"}
_SECONDS_PER_CHARACTER = 0.065
_TRACE_STEP = 0.06  # seconds between two positions of the pointer


class Utterance(NamedTuple):
    """Some words, and where the pointer is meanwhile; without `over` it rests."""

    words: str
    over: Bounds | None = None


def narrative_line(
    image_id: str, split: str, picture: Picture, regions: list[Region], rng: np.random.Generator
) -> str:
    """Returns a line of a Localized Narratives file.

    The traces are normalised positions over each thing while its words are spoken, slightly outside
    [0, 1] at times.

    Args:
      image_id: of the picture.
      split: of the picture.
      picture: gives setting and relations.
      regions: what is spoken about.
      rng: for speed and gesture.
    """
    utterances = _utterances(picture, regions)
    timed, clock = [], 0.0
    for words, _ in utterances:
        start = clock + rng.uniform(0.0, 0.15)
        clock = start + _SECONDS_PER_CHARACTER * len(words)
        times = {"start_time": round(start, 2), "end_time": round(clock, 2)}
        timed.append({"utterance": words, **times})
    annotator = int(rng.integers(1, 200))
    return format_line(image_id, split, annotator, timed, _traces(utterances, timed, rng))


def format_line(
    image_id: str, split: str, annotator: int, timed: list[dict], traces: list[list[dict]]
) -> str:
    """Returns a line of JSON, whose caption is the utterances of `timed` joined."""
    dataset = f"open_images_{split}"
    record = {
        "dataset_id": dataset,
        "image_id": image_id,
        "annotator_id": annotator,
        "caption": " ".join(piece["utterance"] for piece in timed),
        "timed_caption": timed,
        "traces": traces,
        "voice_recording": f"{dataset}/{dataset}_{image_id}_{annotator}.ogg",
    }
    return json.dumps(record) + "\n"


def _utterances(picture: Picture, regions: list[Region]) -> list[Utterance]:
    """Returns what is said of the nearest things first, and of the background last."""
    utterances = [Utterance(_PLACES[picture.scene.setting.name])]
    for region in reversed(regions):
        joint = "and " if len(utterances) > 1 else ""
        utterances.append(Utterance(joint + _name(region), edge_bounds(region.mask)))
    utterances[-1] = utterances[-1]._replace(words=utterances[-1].words + ".")
    setting = picture.scene.setting
    backgrounds = ("top", setting.upper, picture.upper), ("bottom", setting.lower, picture.lower)
    for side, background, mask in backgrounds:
        if mask.mean() > 0.1:
            words = f"At the {side} there is the {background.lower()}."
            utterances.append(Utterance(words, edge_bounds(mask)))
    return utterances


def _name(region: Region) -> str:
    name = region.name.lower()
    if region.is_group:
        return f"a group of {_PLURAL[region.name]}"
    if region.name == "Picture frame":
        return "a picture frame on the wall"
    if region.depiction:
        return f"a picture of a {name}"
    if region.name in PEOPLE:
        return f"a {name} in {region.thing.colour}"
    article = "an" if region.thing.colour == "orange" else "a"
    return f"{article} {region.thing.colour} {name}"


def _traces(
    utterances: list[Utterance], timed: list[dict], rng: np.random.Generator
) -> list[list[dict]]:
    """Returns strokes of {x, y, t}: an ellipse within each box while its words are spoken."""
    strokes = []
    for utterance, times in zip(utterances, timed, strict=True):
        box = utterance.over
        if box is None:
            continue
        t = np.arange(times["start_time"], times["end_time"], _TRACE_STEP)
        turn = 2 * np.pi * (t - t[0]) / 1.2 + rng.uniform(0, 6)
        # The pointer circles near the outline, so at the picture's edge it slips out of it.
        radius = 0.5 + rng.uniform(-0.12, 0.02)
        x = (box.xmin + box.xmax) / 2 + radius * (box.xmax - box.xmin) * np.cos(turn)
        y = (box.ymin + box.ymax) / 2 + radius * (box.ymax - box.ymin) * np.sin(turn)
        x, y = (v + rng.normal(0, 0.004, len(t)) for v in (x, y))
        places = zip(x.round(4).tolist(), y.round(4).tolist(), t.round(3).tolist(), strict=True)
        strokes.append([{"x": px, "y": py, "t": pt} for px, py, pt in places])
    return strokes
