"""Image tables: split, rotation, license and author of each image.

They decide which images a build has.

`Rotation` is in degrees counter-clockwise by which image and boxes together should be turned; V3
lacks it.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.dataset.failures import Reason
from transforms.dataset.naming import SPLIT_ALIASES, SPLITS
from transforms.kinds.kind import CsvKind
from transforms.kinds.parsing.table import STRING, Rows, by_value, empty_as_null

#: Columns of an image; `rotation` is in degrees counter-clockwise, as published.
IMAGE_FIELDS = {
    "rotation": pa.int16(),
    "original_url": STRING,
    "original_landing_url": STRING,
    "license": STRING,
    "author_profile_url": STRING,
    "author": STRING,
    "title": STRING,
    "thumbnail_300k_url": STRING,
    "original_size": pa.int64(),
    "original_md5": STRING,
}
IMAGE_ROW = pa.struct({"split": STRING, **IMAGE_FIELDS})

_ROTATIONS = ("0", "90", "180", "270")

_TEXTS = (
    "OriginalURL",
    "OriginalLandingURL",
    "License",
    "AuthorProfileURL",
    "Author",
    "Title",
    "OriginalMD5",
    "Thumbnail300KURL",
)


def _without_aliases(names: pa.Array) -> pa.Array:
    """Returns names of splits, with aliases such as `val` replaced."""
    for alias, split in SPLIT_ALIASES.items():
        names = pc.if_else(pc.equal(names, alias), split, names)
    return names


def _check(rows: Rows) -> None:
    split = by_value(rows.columns["Subset"], lambda names: _without_aliases(pc.utf8_lower(names)))
    is_split = pc.is_in(split, pa.array(SPLITS)).to_numpy(zero_copy_only=False)
    rows.require(is_split, f"Subset is none of {', '.join(SPLITS)}")
    rows.columns["Subset"] = split
    for name in rows.columns.keys() & _TEXTS:
        rows.columns[name] = empty_as_null(rows.columns[name])
    if "Rotation" in rows.columns:
        _make_rotation(rows)


def _make_rotation(rows: Rows) -> None:
    """Converts texts to degrees: null where unknown (empty or `nan`) or not one of the four."""
    text = by_value(
        rows.columns["Rotation"], lambda texts: pc.utf8_lower(pc.utf8_trim_whitespace(texts))
    )
    degrees = by_value(text, lambda texts: pc.replace_substring_regex(texts, r"\.0*$", ""))
    sound = pc.is_in(degrees, pa.array(_ROTATIONS))
    unknown = pc.is_in(text, pa.array(["", "nan", None], STRING))
    bad = ~np.asarray(pc.or_(sound, unknown))
    rows.note(bad, Reason.BAD_ROTATION, "Rotation is none of 0, 90, 180, 270, empty, nan")
    rows.columns["Rotation"] = pc.if_else(sound, degrees, None)


IMAGES = CsvKind(
    name="images",
    column="image",
    other_columns=("split", "published_rotation", *IMAGE_FIELDS),
    required={"Subset": STRING},
    # Rows that contradict each other are compared in this order.
    optional={"Rotation": STRING, "OriginalSize": pa.int64(), **dict.fromkeys(_TEXTS, STRING)},
    free_texts=_TEXTS,
    kept="image",
    row=IMAGE_ROW,
    check=_check,
    renamed={"Subset": "split"},
    few_values=("rotation", "published_rotation", "license", "author", "author_profile_url"),
    spilled_a_byte=1.05,
)
