"""Where the files of a version are, relative to its folder."""

SPLITS = ("train", "validation", "test")
#: Other names of splits, in some of the published files and among people.
SPLIT_ALIASES = {"val": "validation"}
#: Without it a version is none.
MANIFEST = "manifest.json"
CLASSES = "classes.json"
#: What the version holds, for programs that read datasets of any kind.
CROISSANT = "croissant.json"
#: The images that a selection lists, where it does.
IMAGE_IDS = "image_ids.txt.gz"
#: The folder of what the next build needs to know, and the form of its parts.
LINEAGE = "lineage"


def numbers(index: int, shards: int) -> str:
    """Returns the number of a shard as its name has it.

    >>> numbers(0, 16)
    '00000-of-00016'
    """
    return f"{index:05d}-of-{shards:05d}"
