"""The flags that choose images and annotations."""

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import Literal

from open_images.values import (
    Choices,
    count,
    flag,
    name,
    natural,
    one_of,
    path,
    path_or_texts,
    positive_fraction,
    repeated,
    switch,
)
from transforms.kinds.names import TABLES

selection_flag = partial(flag, group="selection")
#: As of `transforms.selection.label_types`, which imports too much for a command line's help.
LABEL_TYPE_NAMES = (*(kind for kind in TABLES if kind != "images"), "machine_labels")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SelectionFlags:
    """Which images are built, and which annotations their examples carry.

    A flag that is None or empty isn't given: the file that `selection` names decides, or a default.
    """

    selection: str | None = selection_flag(
        path,
        None,
        metavar="FILE",
        help="a TOML file of the flags below and of splits, or the manifest.json of a version, "
        "which is selected again; a flag that is given too goes before what the file says",
    )
    label_types: Sequence[str] | None = selection_flag(
        Choices(LABEL_TYPE_NAMES),
        None,
        metavar="NAMES",
        help=f"which annotations examples carry, of {', '.join(LABEL_TYPE_NAMES)}; files that only "
        "others need aren't read. Default: all",
    )
    classes: Sequence[str] = selection_flag(
        repeated,
        (),
        metavar="CLASS",
        help="build the images that show a class, by its name or MID; repeatable, or comma "
        "separated. Vehicle+ is it with all classes below, Cat|Dog either, !Boat+ leaves some out, "
        "@FILE names a file of classes, a line each, and list:boxable the classes of a class file",
    )
    match: Literal["any", "all"] | None = selection_flag(
        one_of(("any", "all")),
        None,
        metavar="{any,all}",
        help="whether an image has to show any of --classes or all; of Vehicle+, and of a name "
        "that several classes have, one is enough. Default: any",
    )
    match_in: Sequence[str] | None = selection_flag(
        Choices(LABEL_TYPE_NAMES),
        None,
        metavar="NAMES",
        help="among which label types classes are looked for: positive image labels, points whose "
        "estimate is yes, and all others. Default: --label_types",
    )
    only_matching: bool | None = selection_flag(
        switch,
        None,
        help="drop annotations of other classes; verified negatives of --classes stay, and "
        "narratives, which have no class",
    )
    where: Sequence[str] = selection_flag(
        repeated,
        (),
        metavar="CONDITION",
        help="drop annotations, or images, that fail a condition: 'boxes.is_group_of != 1', "
        "'boxes.area >= 0.01', 'boxes.source in (xclick)', 'relationships = (Man, holds, *)', "
        "'images.license ~ by/2.0'; repeatable. A flag that isn't known is neither 0 nor 1",
    )
    where_images: Sequence[str] = selection_flag(
        repeated,
        (),
        metavar="CONDITION",
        help="drop images that have an annotation which fails a condition; repeatable",
    )
    image_ids: Sequence[str] = selection_flag(
        repeated,
        (),
        metavar="ID|FILE",
        help="build just these images: an ImageID, or a file of them (SPLIT/ID or ID a line, a CSV "
        "with a column ImageID, or a JSON list); repeatable",
    )
    sample_fraction: float | None = selection_flag(
        positive_fraction,
        None,
        metavar="FRACTION",
        help="consider only so many of the images; a larger fraction holds a smaller one",
    )
    max_images: int | None = selection_flag(
        count,
        None,
        metavar="N",
        help="build at most so many images; a larger number holds a smaller one",
    )
    max_per_class: int | None = selection_flag(
        count,
        None,
        metavar="N",
        help="build the first N images of each class, or all that there are, and none that no "
        "class needs",
    )
    seed: int | None = selection_flag(
        natural,
        None,
        metavar="N",
        help="which images are the first ones, for the three flags above. Default: 0, the first of "
        "the shards",
    )
    expand_hierarchy: bool | None = selection_flag(
        switch,
        None,
        help="repeat boxes, masks, points (yes) and positive labels for all classes above theirs, "
        "and verified negatives for all below, as the Open Images Challenge does",
    )
    classes_from: str | None = selection_flag(
        name,
        None,
        metavar="NAME",
        help="number the classes of a class file alone, such as boxable, trainable or "
        "segmentation, in its order from 1, or the selected ones: index in classes.json, and "
        "semantic maps; others have null and 0",
    )
    label_map: str | Sequence[str] | None = selection_flag(
        path_or_texts,
        None,
        metavar="FILE",
        help="number the classes of a file likewise: a name or MID a line, CSV, JSON, or a label "
        "map of TensorFlow (.pbtxt)",
    )

    @property
    def selects(self) -> bool:
        """Whether any of these flags is given."""
        return any(
            getattr(self, field.name) not in (None, ())
            for field in dataclasses.fields(SelectionFlags)
        )
