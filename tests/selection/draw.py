"""Drawn selections: as flags, and as the naive answer takes them."""

import dataclasses
import random
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from tests.selection import naive
from tests.selection.corpora import Corpus

Test = Callable[[dict], bool]


@dataclasses.dataclass
class Drawn:
    """A selection in two forms."""

    flags: list[str]
    wanted: naive.Wanted


def _types(corpus: Corpus) -> list[str]:
    """The label types that a corpus has."""
    (example,) = corpus.everything[:1]
    return [name for name, column in naive.COLUMNS.items() if example[column] is not None]


def _pick_types(rng: random.Random, corpus: Corpus) -> list[str]:
    types = _types(corpus)
    return rng.sample(types, rng.randint(1, min(4, len(types))))


def _common_labels(corpus: Corpus) -> list[str]:
    counts = Counter(
        label
        for example in corpus.everything
        for column, _, row in naive.rows_of(example)
        if naive.shows(column, row)
        for label in naive.labels_of(row)
    )
    known = {each["label"] for each in corpus.classes if each["name"] or each["lists"]}
    return [label for label, _ in counts.most_common(60) if label in known]


def _draw_label_types(rng: random.Random, drawn: Drawn, corpus: Corpus) -> None:
    drawn.wanted.label_types = _pick_types(rng, corpus)
    drawn.flags += ["--label_types", ",".join(drawn.wanted.label_types)]


def _draw_classes(rng: random.Random, drawn: Drawn, corpus: Corpus) -> None:
    labels = _common_labels(corpus)
    terms = []
    for label in rng.sample(labels, min(rng.randint(1, 3), len(labels))):
        text, mids = _draw_class(rng, label, corpus)
        if rng.random() < 0.4:
            below = [mid for mid in corpus.parents if not mids.isdisjoint(_chain(mid, corpus))]
            mids, text = {*mids, *below}, f"{text}+"
        drawn.flags += ["--classes", _quoted(text)]
        terms.append(mids)
    if rng.random() < 0.3:
        text, mids = _draw_class(rng, rng.choice(labels), corpus)
        left = [term - mids for term in terms]
        if any(left):
            drawn.flags += ["--classes", _quoted(f"!{text}")]
            terms = [term for term in left if term]
    drawn.wanted.classes = [sorted(term) for term in terms]


def _draw_class(rng: random.Random, label: str, corpus: Corpus) -> tuple[str, set[str]]:
    """A class as people write it, and its MIDs."""
    (name,) = [each["name"] for each in corpus.classes if each["label"] == label]
    if name is None or rng.random() < 0.5:
        return label, {label}
    mids = {each["label"] for each in corpus.classes if _fold(each["name"]) == _fold(name)}
    changes = (str, str.upper, str.lower, lambda text: text.replace(" ", "_"))
    return rng.choice(changes)(name), mids


def _fold(name: str | None) -> str:
    return re.sub("[ _-]+", " ", (name or "").lower())


def _quoted(text: str) -> str:
    return f'"{text}"' if "," in text else text


def _chain(label: str, corpus: Corpus) -> set[str]:
    """All classes above one."""
    parents = corpus.parents
    found: set[str] = set()
    pending = list(parents.get(label, ()))
    while pending:
        each = pending.pop()
        if each not in found:
            found.add(each)
            pending += parents.get(each, ())
    return found


def _need_classes(rng: random.Random, drawn: Drawn, corpus: Corpus) -> None:
    if drawn.wanted.classes is None:
        _draw_classes(rng, drawn, corpus)


def _draw_match(rng: random.Random, drawn: Drawn, corpus: Corpus) -> None:
    _need_classes(rng, drawn, corpus)
    drawn.wanted.match = "all"
    drawn.flags += ["--match", "all"]


def _draw_match_in(rng: random.Random, drawn: Drawn, corpus: Corpus) -> None:
    _need_classes(rng, drawn, corpus)
    drawn.wanted.match_in = _pick_types(rng, corpus)
    drawn.flags += ["--match_in", ",".join(drawn.wanted.match_in)]


def _draw_only(rng: random.Random, drawn: Drawn, corpus: Corpus) -> None:
    _need_classes(rng, drawn, corpus)
    drawn.wanted.only_matching = True
    drawn.flags += ["--only_matching"]


def _known(value: object) -> bool:
    return value is not None and value != -1


def _flag(name: str, test: Callable[[int], bool]) -> Test:
    return lambda row: _known(row[name]) and test(row[name])


CONDITIONS: Sequence[tuple[str, str, Test]] = (
    ("boxes", "boxes.is_group_of != 1", lambda row: row["is_group_of"] != 1),
    ("boxes", "boxes.is_group_of = -1", lambda row: row["is_group_of"] == -1),
    ("boxes", "boxes.is_occluded = 0", lambda row: row["is_occluded"] == 0),
    ("boxes", "boxes.is_truncated = 1", lambda row: row["is_truncated"] == 1),
    ("boxes", "boxes.is_inside < 1", _flag("is_inside", lambda value: value < 1)),
    ("boxes", "boxes.is_depiction in (0, 1)", _flag("is_depiction", lambda value: True)),
    ("boxes", "boxes.is_depiction not in (0)", lambda row: row["is_depiction"] != 0),
    (
        "boxes",
        "boxes.area >= 0.05",
        lambda row: (row["xmax"] - row["xmin"]) * (row["ymax"] - row["ymin"]) >= 0.05,
    ),
    ("boxes", "boxes.width > 0.1", lambda row: row["xmax"] - row["xmin"] > 0.1),
    ("boxes", "boxes.source in (xclick)", lambda row: row["source"] == "xclick"),
    ("boxes", "boxes.source !~ MIL", lambda row: "mil" not in row["source"]),
    ("boxes", "boxes.label != /m/01yrx", lambda row: row["label"] != "/m/01yrx"),
    (
        "person_boxes",
        "person_boxes.age_presentation = young",
        lambda row: row["age_presentation"] == "Young",
    ),
    ("image_labels", "image_labels.confidence >= 1", lambda row: row["confidence"] >= 1),
    (
        "machine_labels",
        "machine_labels.confidence >= 0.7",
        lambda row: row["confidence"] > 0.7 - 1e-6,
    ),
    (
        "machine_labels",
        "machine_labels.confidence = 0.8",
        lambda row: round(row["confidence"], 6) == 0.8,
    ),
    (
        "masks",
        "masks.predicted_iou > 0.8",
        lambda row: row["predicted_iou"] is not None and row["predicted_iou"] > 0.8,
    ),
    (
        "masks",
        "masks.area > 0.01",
        lambda row: (
            row["xmin"] is not None
            and (row["xmax"] - row["xmin"]) * (row["ymax"] - row["ymin"]) > 0.01
        ),
    ),
    ("points", "points.estimated_yes_no = yes", lambda row: row["estimated_yes_no"] == "yes"),
    ("points", "points.yes_votes >= 3", lambda row: (row["yes_votes"] or 0) >= 3),
    ("points", "points.text_label !~ lines", lambda row: "lines" not in (row["text_label"] or "")),
    (
        "relationships",
        "relationships = (*, holds, *)",
        lambda row: row["relationship"] == "holds",
    ),
    (
        "relationships",
        "relationships != (/m/04bcr3, *, *)",
        lambda row: row["label1"] != "/m/04bcr3",
    ),
    ("narratives", "narratives.caption ~ CAT", lambda row: "cat" in row["caption"].lower()),
    ("images", "images.license ~ by/2.0", lambda row: "by/2.0" in (row["license"] or "")),
    ("images", "images.rotation = 0", lambda row: row["published_rotation"] == 0),
    ("images", "images.rotation != 90", lambda row: row["published_rotation"] != 90),
    ("images", "images.split != test", lambda row: row["split"] != "test"),
    ("images", "images.original_size > 2000000", lambda row: (row["original_size"] or 0) > 2e6),
    ("images", "images.title !~ two lines", lambda row: "two lines" not in (row["title"] or "")),
)


def _possible_conditions(corpus: Corpus) -> list[tuple[str, str, Test]]:
    subjects = {"images", *_types(corpus)}
    return [condition for condition in CONDITIONS if condition[0] in subjects]


def _draw_where(rng: random.Random, drawn: Drawn, corpus: Corpus) -> None:
    for condition in rng.sample(_possible_conditions(corpus), rng.randint(1, 3)):
        drawn.wanted.where = [*drawn.wanted.where, condition]
        drawn.flags += ["--where", condition[1]]


def _draw_where_images(rng: random.Random, drawn: Drawn, corpus: Corpus) -> None:
    condition = rng.choice(_possible_conditions(corpus))
    drawn.wanted.where_images = [condition]
    drawn.flags += ["--where_images", condition[1]]


def _draw_ids(rng: random.Random, drawn: Drawn, corpus: Corpus) -> None:
    ids = [each["image_id"] for each in corpus.everything]
    some = rng.sample(ids, len(ids) // 3)
    drawn.wanted.image_ids = set(some)
    for image_id in some:
        text = rng.choice([image_id, f"train/{image_id}", image_id.upper()])
        drawn.flags += ["--image_ids", text]


def _draw_splits(rng: random.Random, drawn: Drawn, _: Corpus) -> None:
    drawn.wanted.splits = rng.sample(["train", "validation", "test"], rng.randint(1, 2))
    drawn.flags += ["--splits", ",".join(drawn.wanted.splits)]


def _draw_sample(rng: random.Random, drawn: Drawn, _: Corpus) -> None:
    drawn.wanted.sample_fraction = rng.choice([0.2, 0.5, 0.9])
    drawn.flags += ["--sample_fraction", str(drawn.wanted.sample_fraction)]


def _draw_max_images(rng: random.Random, drawn: Drawn, _: Corpus) -> None:
    drawn.wanted.max_images = rng.choice([1, 5, 20, 10_000])
    drawn.flags += ["--max_images", str(drawn.wanted.max_images)]


def _draw_max_per_class(rng: random.Random, drawn: Drawn, _: Corpus) -> None:
    drawn.wanted.max_per_class = rng.choice([1, 2, 7, 1000])
    drawn.flags += ["--max_per_class", str(drawn.wanted.max_per_class)]


def _draw_seed(rng: random.Random, drawn: Drawn, corpus: Corpus) -> None:
    drawn.wanted.seed = rng.randint(1, 1000)
    drawn.flags += ["--seed", str(drawn.wanted.seed)]
    if drawn.wanted.max_images is None:
        _draw_max_images(rng, drawn, corpus)


def _draw_expand(_: random.Random, drawn: Drawn, corpus: Corpus) -> None:
    if any(corpus.parents.values()):
        drawn.wanted.expand_hierarchy = True
        drawn.flags += ["--expand_hierarchy"]


#: What draws each flag, by its name.
SINGLE: Mapping[str, Callable[[random.Random, Drawn, Corpus], None]] = {
    "splits": _draw_splits,
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


def draw(rng: random.Random, corpus: Corpus, names: Sequence[str]) -> Drawn:
    """Draws a selection that uses some flags."""
    drawn = Drawn([], naive.Wanted())
    for name in names:
        SINGLE[name](rng, drawn, corpus)
    return drawn


def draw_some(rng: random.Random, corpus: Corpus) -> Drawn:
    """Draws a selection that uses some drawn flags."""
    names = [name for name in SINGLE if rng.random() < 0.3] or ["classes"]
    return draw(rng, corpus, names)
