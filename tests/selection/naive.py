"""The naive answer to a selection: loops over examples as dicts.

It shares no code with what it judges. It starts from all examples of a corpus, as `tests.oracle`
has them, and from what a drawn selection says in words.
"""

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from tests.oracle import order_key

COLUMNS = {
    "image_labels": "image_labels",
    "machine_labels": "image_labels",
    "boxes": "bboxes",
    "person_boxes": "person_boxes",
    "masks": "masks",
    "relationships": "relationships",
    "narratives": "narratives",
    "points": "points",
}
ROOT = "/m/0bl9f"
_GOLDEN_RATIO = 0x9E3779B97F4A7C15
Test = Callable[[dict], bool]


@dataclasses.dataclass
class Wanted:
    """A selection; conditions are triples of a label type or `images`, a text, and a test."""

    splits: Sequence[str] | None = None
    label_types: Sequence[str] | None = None
    classes: Sequence[Sequence[str]] | None = None
    match: str = "any"
    match_in: Sequence[str] | None = None
    only_matching: bool = False
    where: Sequence[tuple[str, str, Test]] = ()
    where_images: Sequence[tuple[str, str, Test]] = ()
    image_ids: Collection[str] | None = None
    sample_fraction: float | None = None
    max_images: int | None = None
    max_per_class: int | None = None
    seed: int = 0
    expand_hierarchy: bool = False


def type_of(column: str, row: dict) -> str:
    """The label type of a row."""
    if column == "image_labels":
        return "machine_labels" if row["source"] == "machine" else "image_labels"
    return next(name for name, its in COLUMNS.items() if its == column)


def labels_of(row: dict) -> list[str]:
    """The labels of a row."""
    return [row[name] for name in ("label", "label1", "label2") if row.get(name) is not None]


def shows(column: str, row: dict) -> bool:
    """Whether a row says that its class is there."""
    if column == "image_labels":
        return row["confidence"] is not None and row["confidence"] > 0
    if column == "points":
        return row["estimated_yes_no"] == "yes"
    return True


def rows_of(example: dict) -> Iterable[tuple[str, str, dict]]:
    """Each annotation of an example with its column and label type."""
    for column in dict.fromkeys(COLUMNS.values()):
        for row in example[column] or ():
            yield column, type_of(column, row), row


@dataclasses.dataclass
class Selected:
    """What a selection leaves.

    Attributes:
        examples: by split, in order.
        images: the ids of all images that are chosen, those that can't be built among them.
        kept: how many annotations of these images are kept, by column.
        dropped: how many aren't, by column and rule.
        class_images: how many of these images show each class of the selection.
        missing: images that were asked for, and of which nothing is read.
    """

    examples: dict[str, list[dict]] = dataclasses.field(default_factory=dict)
    images: list[str] = dataclasses.field(default_factory=list)
    kept: Counter[str] = dataclasses.field(default_factory=Counter)
    dropped: Counter[tuple[str, str]] = dataclasses.field(default_factory=Counter)
    class_images: Counter[str] = dataclasses.field(default_factory=Counter)
    missing: list[str] = dataclasses.field(default_factory=list)


def select(
    examples: Mapping[str, list[dict]],
    wanted: Wanted,
    parents: Mapping[str, list[str]],
    unsound: Collection[str] = (),
    has_image_tables: bool = True,
) -> Selected:
    """What a selection leaves of a corpus.

    Args:
        examples: all, by split.
        wanted: the selection.
        parents: of each class.
        unsound: images that may be chosen, but can't be built.
        has_image_tables: whether images are known by tables, and not by annotations that are read.
    """
    start = wanted.seed * _GOLDEN_RATIO % 2**64
    order = sorted(
        (each for some in examples.values() for each in some),
        key=lambda each: (order_key(each["image_id"]) - start) % 2**64,
    )
    matched_types = wanted.match_in or wanted.label_types or list(COLUMNS)
    read_types = {
        *(wanted.label_types or COLUMNS),
        *(subject for subject, *_ in wanted.where_images),
    }
    if wanted.classes is not None or wanted.max_per_class is not None:
        read_types |= {name for name in matched_types if name != "narratives"}
    mids = {mid for term in wanted.classes or () for mid in term}
    selected = Selected()
    qualified: list[tuple[dict, set[str]]] = []
    for example in order:
        place = (order_key(example["image_id"]) - start) % 2**64
        if not has_image_tables and not any(kind in read_types for _, kind, _ in rows_of(example)):
            if example["image_id"] in (wanted.image_ids or ()):
                selected.missing.append(example["image_id"])
            continue
        if wanted.splits is not None and example["split"] not in wanted.splits:
            continue
        if wanted.image_ids is not None and example["image_id"] not in wanted.image_ids:
            continue
        if wanted.sample_fraction is not None and place >= int(wanted.sample_fraction * 2**64):
            continue
        tests = [*wanted.where, *wanted.where_images]
        if not all(test(example) for subject, _, test in tests if subject == "images"):
            continue
        if any(
            kind == subject and not test(row)
            for subject, _, test in wanted.where_images
            for _, kind, row in rows_of(example)
        ):
            continue
        shown = {
            label
            for column, kind, row in rows_of(example)
            if kind in matched_types
            and column != "narratives"
            and shows(column, row)
            and all(test(row) for subject, _, test in wanted.where if subject == kind)
            for label in labels_of(row)
        }
        if wanted.classes is not None:
            matches = [bool(shown & set(term)) for term in wanted.classes]
            if not (all if wanted.match == "all" else any)(matches):
                continue
            shown &= mids
        qualified.append((example, shown))
    if wanted.max_per_class is not None:
        seen: dict[str, int] = defaultdict(int)
        needed = []
        for example, shown in qualified:
            if any(seen[label] < wanted.max_per_class for label in shown):
                needed.append((example, shown))
            for label in shown:
                seen[label] += 1
        qualified = needed
    if wanted.max_images is not None:
        qualified = qualified[: wanted.max_images]
    for example, shown in sorted(qualified, key=lambda pair: order_key(pair[0]["image_id"])):
        selected.images.append(example["image_id"])
        selected.class_images.update(shown & mids)
        built = _annotations(example, wanted, mids, parents, selected, read_types)
        if example["image_id"] not in unsound:
            selected.examples.setdefault(example["split"], []).append(built)
    return selected


def _annotations(
    example: dict,
    wanted: Wanted,
    mids: set[str],
    parents: Mapping[str, list[str]],
    selected: Selected,
    read_types: Collection[str],
) -> dict:
    """An example with the annotations that are kept, and those that follow from them; it counts
    what is kept and dropped of the types that are read."""
    built = dict(example)
    for column in dict.fromkeys(COLUMNS.values()):
        types = [name for name, its in COLUMNS.items() if its == column]
        carried = [
            name for name in types if wanted.label_types is None or name in wanted.label_types
        ]
        kept = []
        for row in example[column] or ():
            rule = _rule_against(column, row, carried, wanted, mids)
            if rule:
                selected.dropped[column, rule] += type_of(column, row) in read_types
            else:
                selected.kept[column] += 1
                kept.append(dict(row))
        if wanted.expand_hierarchy:
            kept = expand(column, kept, parents)
        built[column] = kept if carried and example[column] is not None else None
    return built


def _rule_against(
    column: str, row: dict, carried: Sequence[str], wanted: Wanted, mids: set[str]
) -> str | None:
    """The first rule by which a row is dropped; None if none does."""
    kind = type_of(column, row)
    if kind not in carried:
        return "label_types"
    for subject, text, test in wanted.where:
        if subject == kind and not test(row):
            return text
    of_classes = wanted.only_matching and wanted.classes is not None and column != "narratives"
    if of_classes and not mids & set(labels_of(row)):
        return "only_matching"
    return None


def _png_of(mask: dict) -> tuple:
    """What tells the PNG of a mask, whose path isn't published."""
    return (
        (mask["mask_path"],)
        if "mask_path" in mask
        else (mask["box_id"], mask["xmin"], mask["ymin"])
    )


def _ancestors(label: str, parents: Mapping[str, list[str]]) -> list[str]:
    found: list[str] = []
    nearest = [label]
    while nearest:
        nearest = list(
            dict.fromkeys(
                p for one in nearest for p in parents.get(one, ()) if p not in found and p != label
            )
        )
        found += nearest
    return [each for each in found if each != ROOT]


def _descendants(label: str, parents: Mapping[str, list[str]]) -> list[str]:
    found: list[str] = []
    nearest = [label]
    while nearest:
        below = [other for one in nearest for other in parents if one in parents[other]]
        nearest = [each for each in dict.fromkeys(below) if each not in found]
        found += nearest
    return found


def expand(column: str, rows: list[dict], parents: Mapping[str, list[str]]) -> list[dict]:
    """Rows with those that follow; what the image has already isn't added."""
    key: dict[str, Callable[[dict], Any]] = {
        "bboxes": lambda row: tuple(row[n] for n in ("label", "xmin", "xmax", "ymin", "ymax")),
        "masks": lambda row: (row["label"], *_png_of(row)),
        "points": lambda row: (row["label"], row["x"], row["y"]),
        "image_labels": lambda row: (row["label"], row["source"]),
    }
    if column not in key:
        return rows
    published = {key[column](row) for row in rows}
    added: list[tuple[int, dict]] = []
    for place, row in enumerate(rows):
        if column == "points" and row["estimated_yes_no"] != "yes":
            continue
        if column == "image_labels" and not row["confidence"]:
            related = [] if row["confidence"] is None else _descendants(row["label"], parents)
        else:
            related = _ancestors(row["label"], parents)
        added += [(place, row | {"label": label}) for label in related]
    best: dict[Any, tuple[int, dict]] = {}
    for place, row in added:
        mine = key[column](row)
        if mine in published:
            continue
        sure = row.get("confidence") or 0
        if mine not in best or sure > (best[mine][1].get("confidence") or 0):
            best[mine] = place, row
    found = []
    for place, row in enumerate(rows):
        found.append(row)
        found += [
            its for at, its in added if at == place and best.get(key[column](its)) == (at, its)
        ]
    return found
