"""The dataset card, by which `datasets.load_dataset` and the Hugging Face Hub read the folder.

Format: https://huggingface.co/docs/hub/datasets-cards; its `dataset_info` is what `datasets` writes
by `DatasetInfo._to_yaml_dict`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from transforms.dataset.about import CITATION, HOMEPAGE
from transforms.dataset.naming import SPLITS
from transforms.formats import yaml
from transforms.formats.format import Shards
from transforms.formats.huggingface.features import OBJECTS, card_features

#: Sizes of datasets as the Hub names them, by the least number of examples.
_SIZES = {
    0: "n<1K",
    1_000: "1K<n<10K",
    10_000: "10K<n<100K",
    100_000: "100K<n<1M",
    1_000_000: "1M<n<10M",
    10_000_000: "10M<n<100M",
}
_TASKS = ("object-detection", "image-segmentation", "image-classification", "image-to-text")
_TAGS = ("open-images", "bounding-boxes", "instance-segmentation", "visual-relationships")
_TEXT = """\
---
{metadata}---

# {title}

{counts} of Open Images ({homepage}), written from its published annotations and pictures.

```python
from datasets import load_dataset

dataset = load_dataset("FOLDER OR REPOSITORY", split="{split}")
```

## Columns

Labels are class numbers, which `features` name; `classes.csv` has the MID of each. Two classes of
one name have the MID in theirs. -1 stands for a class without a number.

Coordinates are fractions of the picture's width and height, from its top left corner. A list is
empty where an image has nothing of the kind, and null where nothing of the kind was given. Flags
are 1, 0, or -1 where that isn't known. `counts` and `size` of a mask are its compressed run lengths
as COCO has them.
{objects}
## Licenses

Annotations: Google LLC, CC BY 4.0. Pictures: CC BY 2.0 by their authors, as the columns `author`
and `license` have it for each; it is on you to verify the license of a picture.

## Citation

```bibtex
{citation}
```
"""
_OBJECTS = """
`objects` has the boxes in pixels: `bbox` is left, top, width and height, `category` the class
number, and `id` the box's place in `bboxes`, where its flags are. `image_id` is the ImageID's 64
bits as a signed number, and `open_images_id` its text.
"""


def render(release: str, schema: pa.Schema, names: Sequence[str], shards: Shards) -> str:
    """Returns the content of the card.

    Args:
        release: of Open Images.
        schema: of the Parquet files.
        names: of the classes, by number.
        shards: of each split, in order.
    """
    splits = sorted(shards, key=SPLITS.index)
    examples = {split: sum(shard.num_examples for shard in shards[split]) for split in splits}
    title = f"Open Images {release.upper()}"
    metadata = {
        "pretty_name": title,
        "license": ["cc-by-4.0", "cc-by-2.0"],
        "language": ["en"],
        "task_categories": list(_TASKS),
        "size_categories": [_size_of(sum(examples.values()))],
        "tags": list(_TAGS),
        "dataset_info": _dataset_info(schema, names, splits, shards),
        "configs": [
            {
                "config_name": "default",
                "data_files": [
                    {"split": split, "path": f"data/{split}-*.parquet"} for split in splits
                ],
            }
        ],
    }
    return _TEXT.format(
        metadata=yaml.dump(metadata),
        title=title,
        counts=", ".join(f"{examples[split]:,} {split}" for split in splits) + " examples",
        homepage=HOMEPAGE,
        split=splits[0],
        objects=_OBJECTS if OBJECTS in schema.names else "",
        citation=CITATION,
    )


def _dataset_info(
    schema: pa.Schema, names: Sequence[str], splits: Sequence[str], shards: Shards
) -> Mapping[str, Any]:
    """Returns what `datasets` knows of a dataset before it reads a file.

    Bytes of a split are those of its files, nearly all of which are pictures.
    """
    sizes = {split: sum(shard.bytes for shard in shards[split]) for split in splits}
    total = sum(sizes.values())
    return {
        "features": card_features(schema, names),
        "splits": [
            {
                "name": split,
                "num_bytes": sizes[split],
                "num_examples": sum(shard.num_examples for shard in shards[split]),
            }
            for split in splits
        ],
        "download_size": total,
        "dataset_size": total,
    }


def _size_of(examples: int) -> str:
    return _SIZES[max(least for least in _SIZES if least <= examples)]
