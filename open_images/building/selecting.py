"""From flags to a selection: names become MIDs, texts conditions, lists keys."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from open_images.building.class_names import ClassNames
from open_images.building.label_maps import read_label_map
from open_images.building.listed_images import read_keys
from open_images.building.parse_conditions import parse_condition, spell_condition
from open_images.building.selection_flags import SelectionFlags
from transforms.dataset.classes import ClassFile, build_classes
from transforms.dataset.elements import Source
from transforms.errors import UsageError
from transforms.kinds.registry import TABLES
from transforms.releases import listed_images
from transforms.selection.expand import Hierarchy
from transforms.selection.label_types import LABEL_TYPES
from transforms.selection.selection import EVERYTHING, Selection
from transforms.storage import files
from transforms.storage.stores import ObjectOptions


class Choice(NamedTuple):
    """A selection, with the list of images and the class order that flags name.

    Attributes:
        selection: of images and annotations.
        image_keys: of the images that are listed, sorted uint64 in bytes; None where none are.
        class_order: the MIDs that are numbered from 1; None for all in published order.
        class_names: display names of the classes of the selection, by MID.
    """

    selection: Selection
    image_keys: bytes | None = None
    class_order: tuple[str, ...] | None = None
    class_names: Mapping[str, str] = {}

    @property
    def is_everything(self) -> bool:
        """Whether all is selected, and all classes are numbered."""
        return self.selection == EVERYTHING and self.class_order is None


def resolve_selection(
    flags: SelectionFlags,
    class_files: Sequence[ClassFile],
    sources: Iterable[Source],
    options: ObjectOptions = files.DEFAULTS,
) -> Choice:
    """Returns the selection that flags describe, for some inputs.

    Args:
        flags: of a build, with those of a selection file.
        class_files: all that there are.
        sources: the tables there are.
        options: how object stores are reached.

    Raises:
        UsageError: A class, field or file isn't there, or flags contradict each other.
    """
    classes = build_classes(class_files, labels=())
    names = ClassNames(classes, class_files, options)
    _check(flags)
    selection = Selection(
        label_types=None if flags.label_types is None else tuple(flags.label_types),
        classes=names.terms(flags.classes) if flags.classes else None,
        match=flags.match or "any",
        match_in=None if flags.match_in is None else tuple(flags.match_in),
        only_matching=bool(flags.only_matching),
        where=tuple(parse_condition("where", text, names) for text in flags.where),
        where_images=tuple(
            parse_condition("where_images", text, names) for text in flags.where_images
        ),
        has_image_ids=bool(flags.image_ids),
        sample_fraction=flags.sample_fraction,
        max_images=flags.max_images,
        max_per_class=flags.max_per_class,
        seed=flags.seed or 0,
        hierarchy=_hierarchy(classes) if flags.expand_hierarchy else None,
    )
    _check_files(flags, selection, sources)
    _check_matched_types(flags, selection)
    keys = read_keys(flags.image_ids, options).tobytes() if flags.image_ids else None
    order = _class_order(flags, selection, names, options)
    named = {mid: names.name(mid) for mid in selection.mids if names.name(mid) != mid}
    return Choice(selection, keys, order, named)


def describe(choice: Choice, splits: Sequence[str] | None) -> dict[str, object]:
    """Returns what was chosen as a manifest records it, and as a selection file can have it.

    Classes are MIDs there, so that it needs no other file but the list of images beside it.

    Args:
        choice: of images and annotations.
        splits: those that are built; None for all.
    """
    selection = choice.selection
    content: dict[str, object] = {
        "splits": splits,
        "label_types": selection.label_types,
        "classes": selection.classes,
        "match": selection.match,
        "match_in": selection.match_in,
        "only_matching": selection.only_matching,
        "where": [spell_condition(condition) for condition in selection.where],
        "where_images": [spell_condition(condition) for condition in selection.where_images],
        "sample_fraction": selection.sample_fraction,
        "max_images": selection.max_images,
        "max_per_class": selection.max_per_class,
        "seed": selection.seed,
        "expand_hierarchy": selection.hierarchy is not None,
        "label_map": choice.class_order,
    }
    if choice.image_keys is not None:
        content["image_ids"] = listed_images.describe(choice.image_keys)
    return content


def _class_order(
    flags: SelectionFlags, selection: Selection, names: ClassNames, options: ObjectOptions
) -> tuple[str, ...] | None:
    """Returns the MIDs of the classes that are numbered; None where all are.

    Raises:
        UsageError: A class or file isn't there, or flags contradict each other.
    """
    if flags.label_map is not None:
        if flags.classes_from is not None:
            raise UsageError("--classes_from and --label_map exclude each other: drop one of them")
        return read_label_map(flags.label_map, names, options)
    if flags.classes_from is None:
        return None
    if flags.classes_from != "selected":
        return names.list_named(f"--classes_from {flags.classes_from}", flags.classes_from)
    if selection.classes is None:
        raise UsageError("--classes_from selected needs --classes: name some, or another list")
    return selection.mids


def _hierarchy(classes: Sequence[Mapping[str, Any]]) -> Hierarchy:
    """Returns the hierarchy of classes.

    Raises:
        UsageError: There is none.
    """
    found = Hierarchy.of_parents({each["label"]: each["parents"] for each in classes})
    if not found.above:
        raise UsageError(
            "--expand_hierarchy: no hierarchy is there: add bbox_labels_600_hierarchy.json by "
            "--annotations"
        )
    return found


def _check(flags: SelectionFlags) -> None:
    """Raises UsageError where flags contradict each other."""
    if not flags.classes:
        if flags.match_in and not flags.max_per_class:
            raise UsageError(
                "--match_in needs --classes or --max_per_class: give one, or leave it out"
            )
        if flags.only_matching:
            raise UsageError("--only_matching needs --classes: name some, or leave it out")
        if flags.match == "all":
            raise UsageError("--match all needs --classes: name some, or leave it out")
    quotas = ("sample_fraction", "max_images", "max_per_class")
    if flags.seed and all(getattr(flags, name) is None for name in quotas):
        raise UsageError(
            "--seed needs --sample_fraction, --max_images or --max_per_class, for it says which "
            "images are the first: give one, or leave it out"
        )


def _check_files(flags: SelectionFlags, selection: Selection, sources: Iterable[Source]) -> None:
    """Raises UsageError where flags name label types of which no file is there."""
    tables = [source for source in sources if source.kind in TABLES]

    def check(flag: str, name: str, what: str) -> None:
        label_type = LABEL_TYPES[name]
        if not any(
            TABLES[each.kind] is label_type.kind and label_type.may_hold(each.name)
            for each in tables
        ):
            raise UsageError(
                f"--{flag}: no file of {name} is there: name one by --annotations, or leave "
                f"{what} out"
            )

    for flag in ("label_types", "match_in"):
        for name in getattr(flags, flag) or ():
            check(flag, name, name)
    looked_at = {name for name in LABEL_TYPES if selection.carries(name)} | selection.deciding_types
    for flag in ("where", "where_images"):
        for condition in getattr(selection, flag):
            # A condition on others has no effect.
            if condition.subject in looked_at:
                check(f"{flag} {condition.text!r}", condition.subject, "the condition")


def _check_matched_types(flags: SelectionFlags, selection: Selection) -> None:
    """Raises UsageError where classes are looked for among annotations that have none."""
    if not selection.needs_classes or selection.matched_types:
        return
    flag = "match_in" if flags.match_in else "label_types"
    types = ",".join(getattr(flags, flag) or ())
    others = ",".join(each.name for each in LABEL_TYPES.values() if each.kind.labels)
    raise UsageError(
        f"--{flag} {types}: {types} have no class to look for: name some of {others} by --match_in"
    )
