"""The flags that choose images and annotations."""

import dataclasses
from collections.abc import Sequence
from typing import Literal

from open_images.values import choices, count, flag, fraction, natural, one_of, repeated, switch
from transforms.kinds.names import TABLES

#: As of `transforms.selection.label_types`, which imports too much for a command line's help.
LABEL_TYPES = (*(kind for kind in TABLES if kind != "images"), "machine_labels")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SelectionFlags:
    """Which images are built, and which annotations their examples carry."""

    label_types: Sequence[str] | None = flag(
        choices(LABEL_TYPES),
        None,
        group="selection",
        metavar="NAMES",
        help=f"which annotations examples carry, of {','.join(LABEL_TYPES)}; files that only "
        "others need aren't read. Default: all",
    )
    classes: Sequence[str] = flag(
        repeated,
        (),
        group="selection",
        metavar="CLASS",
        help="build the images that show a class, by its name or MID; repeatable, or comma "
        "separated. Vehicle+ is it with all classes below, !Boat+ leaves some out, @FILE names a "
        "file of classes, a line each, and list:boxable the classes of an annotation file",
    )
    match: Literal["any", "all"] = flag(
        one_of(("any", "all")),
        "any",
        group="selection",
        metavar="{any,all}",
        help="whether an image has to show any of --classes or all; of Vehicle+, and of a name "
        "that several classes have, one is enough. Default: any",
    )
    match_in: Sequence[str] | None = flag(
        choices(LABEL_TYPES),
        None,
        group="selection",
        metavar="NAMES",
        help="among which label types classes are looked for: positive image labels, points whose "
        "estimate is yes, and all others. Default: --label_types",
    )
    only_matching: bool = flag(
        switch,
        False,
        group="selection",
        help="drop annotations of other classes; verified negatives of --classes stay, and "
        "narratives, which have no class",
    )
    where: Sequence[str] = flag(
        repeated,
        (),
        group="selection",
        metavar="CONDITION",
        help="drop annotations, or images, that fail a condition: 'boxes.is_group_of != 1', "
        "'boxes.area >= 0.01', 'boxes.source in (xclick)', 'relationships = (Man, holds, *)', "
        "'images.license ~ by/2.0'; repeatable. A flag that isn't known is neither 0 nor 1",
    )
    where_images: Sequence[str] = flag(
        repeated,
        (),
        group="selection",
        metavar="CONDITION",
        help="drop images that have an annotation which fails a condition; repeatable",
    )
    image_ids: Sequence[str] = flag(
        repeated,
        (),
        group="selection",
        metavar="ID|FILE",
        help="build just these images: an ImageID, or a file of them (SPLIT/ID or ID a line, a CSV "
        "with a column ImageID, or a JSON list); repeatable",
    )
    sample_fraction: float | None = flag(
        fraction,
        None,
        group="selection",
        metavar="FRACTION",
        help="consider only so many of the images; a larger fraction holds a smaller one",
    )
    max_images: int | None = flag(
        count,
        None,
        group="selection",
        metavar="N",
        help="build at most so many images; a larger number holds a smaller one",
    )
    max_per_class: int | None = flag(
        count,
        None,
        group="selection",
        metavar="N",
        help="build the first N images of each class, or all that there are, and none that no "
        "class needs",
    )
    seed: int = flag(
        natural,
        0,
        group="selection",
        metavar="N",
        help="which images are the first ones, for the three flags above. Default: 0, the first of "
        "the shards",
    )
    expand_hierarchy: bool = flag(
        switch,
        False,
        group="selection",
        help="repeat boxes, masks, points (yes) and positive labels for all classes above theirs, "
        "and verified negatives for all below, as the Open Images Challenge does",
    )
