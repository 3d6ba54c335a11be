"""Where the files of a version are, relative to its folder."""

FORMATS = ("tfrecord", "parquet")
SPLITS = ("train", "validation", "test")
TFDS_NAME = "open_images"
TFDS_VERSION = "1.0.0"
#: Without it a version is none.
MANIFEST = "manifest.json"
CLASSES = "classes.json"
#: The folder of what the next build needs to know, and the form of its parts.
LINEAGE = "lineage"


def tfds_folder(release: str) -> str:
    """The folder in which TFDS finds the dataset, below its `data_dir`."""
    return f"tfrecord/{TFDS_NAME}/{release}/{TFDS_VERSION}"


def shard_path(form: str, release: str, split: str, index: int, shards: int) -> str:
    """A shard's path.

    >>> shard_path("parquet", "v7", "train", 0, 16)
    'parquet/train-00000-of-00016.parquet'
    >>> shard_path("tfrecord", "v7", "train", 0, 16)
    'tfrecord/open_images/v7/1.0.0/open_images-train.tfrecord-00000-of-00016'
    """
    numbers = f"{index:05d}-of-{shards:05d}"
    if form == LINEAGE:
        return f"{LINEAGE}/{split}-{numbers}"
    if form == "parquet":
        return f"parquet/{split}-{numbers}.parquet"
    return f"{tfds_folder(release)}/{TFDS_NAME}-{split}.tfrecord-{numbers}"
