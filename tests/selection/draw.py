"""Drawn selections: as flags, and as the naive answer takes them."""

import dataclasses
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from tests.selection import naive

Examples = Mapping[str, list[dict]]
Parents = Mapping[str, list[str]]


@dataclasses.dataclass
class Drawn:
    """A selection in two forms."""

    flags: list[str]
    wanted: naive.Wanted


def _all(examples: Examples) -> list[dict]:
    return [each for some in examples.values() for each in some]


def _labels(examples: Examples) -> Counter[str]:
    return Counter(
        label
        for example in _all(examples)
        for column, _, row in naive.rows_of(example)
        if naive.shows(column, row)
        for label in naive.labels_of(row)
    )


def _pick_types(rng: random.Random) -> list[str]:
    return rng.sample(list(naive.COLUMNS), rng.randint(1, 4))


def _draw_label_types(rng: random.Random, drawn: Drawn, *_: object) -> None:
    drawn.wanted.label_types = _pick_types(rng)
    drawn.flags += ["--label_types", ",".join(drawn.wanted.label_types)]


def _draw_classes(rng: random.Random, drawn: Drawn, examples: Examples, parents: Parents) -> None:
    labels = [label for label, _ in _labels(examples).most_common(60)]
    terms: list[Sequence[str]] = []
    for label in rng.sample(labels, min(rng.randint(1, 3), len(labels))):
        if rng.random() < 0.4:
            below = [mid for mid in parents if label in _chain(mid, parents)]
            terms.append([label, *below])
            drawn.flags += ["--classes", f"{label}+"]
        else:
            terms.append([label])
            drawn.flags += ["--classes", label]
    drawn.wanted.classes = terms


def _chain(label: str, parents: Parents) -> set[str]:
    found: set[str] = set()
    pending = list(parents.get(label, ()))
    while pending:
        each = pending.pop()
        if each not in found:
            found.add(each)
            pending += parents.get(each, ())
    return found


def _draw_match(rng: random.Random, drawn: Drawn, examples: Examples, parents: Parents) -> None:
    if drawn.wanted.classes is None:
        _draw_classes(rng, drawn, examples, parents)
    drawn.wanted.match = "all"
    drawn.flags += ["--match", "all"]


def _draw_match_in(rng: random.Random, drawn: Drawn, examples: Examples, parents: Parents) -> None:
    if drawn.wanted.classes is None:
        _draw_classes(rng, drawn, examples, parents)
    drawn.wanted.match_in = _pick_types(rng)
    drawn.flags += ["--match_in", ",".join(drawn.wanted.match_in)]


def _draw_only(rng: random.Random, drawn: Drawn, examples: Examples, parents: Parents) -> None:
    if drawn.wanted.classes is None:
        _draw_classes(rng, drawn, examples, parents)
    drawn.wanted.only_matching = True
    drawn.flags += ["--only_matching"]


def _known(value: object) -> bool:
    return value is not None and value != -1


CONDITIONS: Sequence[tuple[str, str, Callable[[dict], bool]]] = (
    ("boxes", "boxes.is_group_of != 1", lambda row: row["is_group_of"] != 1),
    ("boxes", "boxes.is_occluded = 0", lambda row: row["is_occluded"] == 0),
    ("boxes", "boxes.is_truncated = 1", lambda row: row["is_truncated"] == 1),
    ("boxes", "boxes.is_inside < 1", lambda row: _known(row["is_inside"]) and row["is_inside"] < 1),
    (
        "boxes",
        "boxes.area >= 0.05",
        lambda row: (row["xmax"] - row["xmin"]) * (row["ymax"] - row["ymin"]) >= 0.05,
    ),
    ("boxes", "boxes.source in (xclick)", lambda row: row["source"] == "xclick"),
    ("image_labels", "image_labels.confidence >= 1", lambda row: row["confidence"] >= 1),
    (
        "machine_labels",
        "machine_labels.confidence >= 0.7",
        lambda row: row["confidence"] > 0.7 - 1e-6,
    ),
    (
        "masks",
        "masks.predicted_iou > 0.8",
        lambda row: row["predicted_iou"] is not None and row["predicted_iou"] > 0.8,
    ),
    ("points", "points.estimated_yes_no = yes", lambda row: row["estimated_yes_no"] == "yes"),
    (
        "relationships",
        "relationships = (*, holds, *)",
        lambda row: row["relationship"] == "holds",
    ),
    ("images", "images.license ~ by/2.0", lambda row: "by/2.0" in (row["license"] or "")),
    ("images", "images.rotation = 0", lambda row: row["published_rotation"] == 0),
    ("images", "images.split != test", lambda row: row["split"] != "test"),
)


def _draw_where(rng: random.Random, drawn: Drawn, *_: object) -> None:
    for subject, text, test in rng.sample(CONDITIONS, rng.randint(1, 3)):
        drawn.wanted.where = [*drawn.wanted.where, (subject, test)]
        drawn.flags += ["--where", text]


def _draw_where_images(rng: random.Random, drawn: Drawn, *_: object) -> None:
    subject, text, test = rng.choice(CONDITIONS)
    drawn.wanted.where_images = [(subject, test)]
    drawn.flags += ["--where_images", text]


def _draw_ids(rng: random.Random, drawn: Drawn, examples: Examples, _: object) -> None:
    everything = _all(examples)
    some = rng.sample([each["image_id"] for each in everything], len(everything) // 3)
    drawn.wanted.image_ids = set(some)
    for image_id in some:
        drawn.flags += ["--image_ids", rng.choice(["", "train/"]) + image_id]


def _draw_sample(rng: random.Random, drawn: Drawn, *_: object) -> None:
    drawn.wanted.sample_fraction = rng.choice([0.2, 0.5, 0.9])
    drawn.flags += ["--sample_fraction", str(drawn.wanted.sample_fraction)]


def _draw_max_images(rng: random.Random, drawn: Drawn, *_: object) -> None:
    drawn.wanted.max_images = rng.choice([1, 5, 20, 10_000])
    drawn.flags += ["--max_images", str(drawn.wanted.max_images)]


def _draw_max_per_class(rng: random.Random, drawn: Drawn, *_: object) -> None:
    drawn.wanted.max_per_class = rng.choice([1, 2, 7, 1000])
    drawn.flags += ["--max_per_class", str(drawn.wanted.max_per_class)]


def _draw_seed(rng: random.Random, drawn: Drawn, *_: object) -> None:
    drawn.wanted.seed = rng.randint(1, 1000)
    drawn.flags += ["--seed", str(drawn.wanted.seed)]
    if drawn.wanted.max_images is None:
        _draw_max_images(rng, drawn)


def _draw_expand(_: random.Random, drawn: Drawn, *__: object) -> None:
    drawn.wanted.expand_hierarchy = True
    drawn.flags += ["--expand_hierarchy"]


#: What draws each flag, by its name.
SINGLE: Mapping[str, Callable[..., None]] = {
    "label_types": _draw_label_types,
    "classes": _draw_classes,
    "match": _draw_match,
    "match_in": _draw_match_in,
    "only_matching": _draw_only,
    "where": _draw_where,
    "where_images": _draw_where_images,
    "image_ids": _draw_ids,
    "sample_fraction": _draw_sample,
    "max_images": _draw_max_images,
    "max_per_class": _draw_max_per_class,
    "seed": _draw_seed,
    "expand_hierarchy": _draw_expand,
}


def draw(rng: random.Random, examples: Examples, parents: Parents, names: Sequence[str]) -> Drawn:
    """Draws a selection that uses some flags."""
    drawn = Drawn([], naive.Wanted())
    for name in names:
        SINGLE[name](rng, drawn, examples, parents)
    return drawn
