"""Images of COCO: their numbers, and which classes are known of each."""

from collections import Counter
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.dataset.elements import in_one_piece
from transforms.dataset.keys import image_keys
from transforms.formats import json_text
from transforms.formats.annotations import Annotations, class_lists, judge_classes
from transforms.formats.coco.annotations import Objects
from transforms.formats.json_text import strings
from transforms.selection.label_types import are_by_machine

#: Licences of pictures; all that Open Images publishes have the first.
LICENSES = (
    {
        "id": 1,
        "name": "Attribution License (CC BY 2.0)",
        "url": "https://creativecommons.org/licenses/by/2.0/",
    },
    {"id": 2, "name": "Another license: see license_url of the image", "url": ""},
)
_CC_BY = r"^https?://creativecommons\.org/licenses/by/2\.0/?$"
#: Bits of a key that a number has: so many integers float64 holds, by which pycocotools and
#: JavaScript hold them.
_NUMBER_BITS = 53


def image_numbers(image_ids: pa.Array, after: int) -> np.ndarray:
    """Returns the numbers of images, (n,) int64, ascending.

    A number is the first 53 bits of the image's key (`transforms.dataset.keys`), by which it
    follows from the ImageID. Of images that share these bits, of which 9 million have none in all
    likelihood, a later one has the number after that of the one before.

    Args:
        image_ids: (n,) ImageIDs, in the order of their keys.
        after: the number of the image before; -1 for none.
    """
    keys, _ = image_keys(image_ids)
    places = np.arange(len(keys))
    numbers = (keys >> np.uint64(64 - _NUMBER_BITS)).astype(np.int64) - places
    return np.maximum.accumulate(np.maximum(numbers, after + 1)) + places


def describe_images(
    table: pa.Table,
    numbers: np.ndarray,
    objects: Objects,
    index: Mapping[str, int],
    dropped: Counter[str],
) -> pa.StringArray:
    """Returns the images as JSON objects.

    Args:
        table: n rows of examples with pictures.
        numbers: (n,) int64, of the images.
        objects: in the images.
        index: MID to class index; 0 for a class that has none.
        dropped: counts what is left out.
    """
    negative, incomplete = _judge_classes(table, objects, index, dropped)
    licenses = in_one_piece(table["license"])
    is_cc_by = pc.match_substring_regex(licenses, _CC_BY)
    return json_text.objects(
        {
            "id": json_text.numbers(numbers),
            "file_name": strings(_file_names(table)),
            "width": json_text.numbers(in_one_piece(table["width"])),
            "height": json_text.numbers(in_one_piece(table["height"])),
            "license": pc.if_else(is_cc_by, "1", "2"),
            "license_url": strings(pc.if_else(is_cc_by, None, licenses)),
            "coco_url": strings(in_one_piece(table["original_url"])),
            "flickr_url": strings(in_one_piece(table["original_landing_url"])),
            "rotation": json_text.numbers(in_one_piece(table["rotation"])),
            "neg_category_ids": negative,
            "not_exhaustive_category_ids": incomplete,
        }
    )


def _file_names(table: pa.Table) -> pa.StringArray:
    """Returns the file names of pictures."""
    chunks = [chunk.field("path") for chunk in table["image"].chunks]
    return pa.concat_arrays(chunks) if chunks else pa.array([], pa.string())


def _judge_classes(
    table: pa.Table, objects: Objects, index: Mapping[str, int], dropped: Counter[str]
) -> tuple[pa.StringArray, pa.StringArray]:
    """Returns the lists of classes for each image that `judge_classes` finds."""
    labels = Annotations.of(in_one_piece(table["image_labels"]), index)
    dropped["image labels of classes without an index"] += labels.left_out
    by_machine = int(are_by_machine(labels.fields["source"]).sum())
    dropped["machine-generated image labels"] += by_machine
    annotated = objects.pairs
    negative, partial = (
        json_text.lists(json_text.numbers(numbers), rows)
        for numbers, rows in (
            class_lists(pairs, len(table))
            for pairs in judge_classes(labels, annotated, annotated[objects.is_crowd])
        )
    )
    return negative, partial
