"""Reads a split of a version by one library's own loader, as a training loop does.

Usage: python benchmarks/loading_loops.py NAME VERSION SPLIT RESULT

Pictures are decoded and made 224 pixels square, examples are shuffled, batches are of 32, and two
workers or threads are at it. PyTorch's loops make pictures small by Pillow. RESULT is a JSON file:
what came, and what it took. Needs nothing but the library, so that its environment can be any.
"""

import io
import json
import os
import random
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

SIZE, BATCH, WORKERS, BUFFER, SEED = 224, 32, 2, 1000, 1

#: Pictures of (n, SIZE, SIZE, 3) uint8, and how many boxes they have.
Batch = tuple[Any, int]


def make_small(picture: Any) -> np.ndarray:
    """Makes a Pillow image SIZE pixels square: (SIZE, SIZE, 3) uint8."""
    return np.asarray(picture.convert("RGB").resize((SIZE, SIZE), resample=2))  # bilinear


def collate(samples: Sequence[tuple[np.ndarray, Sequence]]) -> Batch:
    """Makes a batch of small pictures and their boxes, in a worker of PyTorch's."""
    import torch

    pictures = torch.stack([torch.from_numpy(picture.copy()) for picture, _ in samples])
    return pictures, sum(len(boxes) for _, boxes in samples)


def collate_rows(rows: Sequence[dict]) -> Batch:
    """The same of rows that hold a Pillow image."""
    return collate([(make_small(row["image"]), row["bboxes"]) for row in rows])


def collate_samples(samples: Sequence[dict]) -> Batch:
    """The same of WebDataset's samples."""
    return collate([(make_small(each["jpg"]), each["json"]["bboxes"]) for each in samples])


class Epochs:
    """Batches that can be read again and again."""

    def __init__(self, read: Callable[[], Iterator[Batch]]) -> None:
        self._read = read

    def __iter__(self) -> Iterator[Batch]:
        return self._read()


def load_by_torch(dataset: Any, **flags: Any) -> Iterable[Batch]:
    """Returns PyTorch's loader of a dataset."""
    from torch.utils.data import DataLoader

    return DataLoader(dataset, batch_size=BATCH, num_workers=WORKERS, **flags)


def read_files(folder: Path, split: str, _: Path) -> Iterable[Batch]:
    """Reads a folder of JPEGs with a COCO JSON, by torchvision."""
    from torchvision.datasets import CocoDetection

    path = folder / "coco" / "annotations" / f"instances_{split}.json"
    dataset = CocoDetection(str(folder / "coco" / split), str(path), transform=make_small)
    return load_by_torch(dataset, collate_fn=collate, shuffle=True)


def read_datasets(folder: Path, split: str, work: Path) -> Iterable[Batch]:
    """Reads Parquet by `datasets`, which first makes Arrow files of it."""
    from datasets import load_dataset

    shards = [str(path) for path in sorted(folder.glob(f"parquet/{split}-*.parquet"))]
    dataset = load_dataset("parquet", data_files=shards, split="train", cache_dir=str(work))
    dataset = dataset.select_columns(["image", "bboxes"])
    return load_by_torch(dataset, collate_fn=collate_rows, shuffle=True)


def read_datasets_stream(folder: Path, split: str, _: Path) -> Iterable[Batch]:
    """Reads Parquet by `datasets`, as a stream."""
    from datasets import load_dataset

    shards = [str(path) for path in sorted(folder.glob(f"parquet/{split}-*.parquet"))]
    dataset = load_dataset("parquet", data_files=shards, split="train", streaming=True)
    dataset = dataset.select_columns(["image", "bboxes"]).shuffle(SEED, buffer_size=BUFFER)
    return load_by_torch(dataset, collate_fn=collate_rows)


def read_webdataset(folder: Path, split: str, _: Path) -> Iterable[Batch]:
    """Reads tar archives by WebDataset."""
    import webdataset

    shards = [str(path) for path in sorted(folder.glob(f"webdataset/{split}-*.tar"))]
    random.Random(SEED).shuffle(shards)
    samples = webdataset.WebDataset(shards, shardshuffle=False)
    dataset = samples.shuffle(BUFFER, rng=random.Random(SEED)).decode("pil")
    return load_by_torch(dataset, collate_fn=collate_samples)


def read_mds(folder: Path, split: str, _: Path) -> Iterable[Batch]:
    """Reads MDS by MosaicML Streaming."""
    from streaming import StreamingDataset
    from streaming.base.util import clean_stale_shared_memory

    clean_stale_shared_memory()
    dataset = StreamingDataset(
        local=str(folder / "mds"), split=split, batch_size=BATCH, shuffle=True, shuffle_seed=SEED
    )
    return load_by_torch(dataset, collate_fn=collate_rows)


def read_ray(folder: Path, split: str, _: Path) -> Iterable[Batch]:
    """Reads Parquet by Ray Data."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray
    from PIL import Image

    def decode(row: dict) -> dict:
        picture = Image.open(io.BytesIO(row["image"]["bytes"]))
        return {"picture": make_small(picture), "boxes": len(row["bboxes"])}

    ray.init(num_cpus=WORKERS, include_dashboard=False, log_to_driver=False)
    shards = [str(path) for path in sorted(folder.glob(f"parquet/{split}-*.parquet"))]
    rows = ray.data.read_parquet(shards, columns=["image", "bboxes"], shuffle="files")
    small = rows.map(decode)

    def read() -> Iterator[Batch]:
        for batch in small.iter_batches(
            batch_size=BATCH, local_shuffle_buffer_size=BUFFER, local_shuffle_seed=SEED
        ):
            yield batch["picture"], int(batch["boxes"].sum())

    return Epochs(read)


def read_tf_data(folder: Path, split: str, _: Path) -> Iterable[Batch]:
    """Reads TFRecord by tf.data."""
    import tensorflow as tf

    features = {
        "image": tf.io.FixedLenFeature([], tf.string),
        "bboxes/bbox": tf.io.FixedLenSequenceFeature([4], tf.float32, allow_missing=True),
    }

    def decode(record: Any) -> tuple:
        example = tf.io.parse_single_example(record, features)
        picture = tf.io.decode_jpeg(example["image"], channels=3)
        return tf_small(picture), tf.shape(example["bboxes/bbox"])[0]

    shards = sorted(map(str, folder.glob(f"tfrecord/*/*/*/*-{split}.tfrecord-*")))
    records = tf.data.TFRecordDataset(shards, num_parallel_reads=WORKERS).shuffle(BUFFER, SEED)
    return tf_batches(records.map(decode, num_parallel_calls=WORKERS))


def read_tfds(folder: Path, split: str, _: Path) -> Iterable[Batch]:
    """Reads TFRecord by TFDS, of the image and its boxes alone.

    It decodes before it hands anything out, so small pictures are shuffled.
    """
    import tensorflow as tf
    import tensorflow_datasets as tfds

    (path,) = folder.glob("tfrecord/*/*/*/dataset_info.json")
    examples = tfds.builder_from_directory(path.parent).as_dataset(
        split=split,
        shuffle_files=True,
        decoders=tfds.decode.PartialDecoding({"image": True, "bboxes": {"bbox": True}}),
    )

    def shrink(example: dict) -> tuple:
        return tf_small(example["image"]), tf.shape(example["bboxes"]["bbox"])[0]

    small = examples.map(shrink, num_parallel_calls=WORKERS)
    return tf_batches(small.shuffle(BUFFER, SEED))


def tf_small(picture: Any) -> Any:
    """Makes a picture SIZE pixels square: (SIZE, SIZE, 3) uint8."""
    import tensorflow as tf

    return tf.cast(tf.image.resize(picture, (SIZE, SIZE)), tf.uint8)


def tf_batches(examples: Any) -> Iterable[Batch]:
    """Returns batches of small pictures and numbers of boxes."""
    import tensorflow as tf

    threads = tf.data.Options()
    threads.threading.private_threadpool_size = WORKERS
    batches = examples.batch(BATCH).prefetch(2).with_options(threads)
    return Epochs(lambda: ((pictures, int(tf.reduce_sum(boxes))) for pictures, boxes in batches))


Loop = Callable[[Path, str, Path], Iterable[Batch]]

#: Loops, and the packages that they need.
LOOPS: dict[str, tuple[Loop, tuple[str, ...]]] = {
    "files": (read_files, ("torch", "torchvision", "pycocotools")),
    "datasets": (read_datasets, ("torch", "datasets")),
    "datasets_stream": (read_datasets_stream, ("torch", "datasets")),
    "webdataset": (read_webdataset, ("torch", "webdataset")),
    "mds": (read_mds, ("torch", "streaming")),
    "ray": (read_ray, ("ray", "pyarrow")),
    "tf_data": (read_tf_data, ("tensorflow",)),
    "tfds": (read_tfds, ("tensorflow", "tensorflow_datasets")),
}
#: Packages that PyPI has under other names.
_PUBLISHED = {"streaming": "mosaicml-streaming", "tensorflow": "tensorflow-cpu"}


def main(name: str, folder: str, split: str, result: str) -> int:
    """Reads the split twice, and times the second epoch; the exit code."""
    read, packages = LOOPS[name]
    started = time.perf_counter()
    batches = read(Path(folder), split, Path(result).parent)
    startup = 0.0
    for _ in range(2):
        examples = boxes = 0
        begun = time.perf_counter()
        for pictures, found in batches:
            startup = startup or time.perf_counter() - started
            assert tuple(pictures.shape[1:]) == (SIZE, SIZE, 3)
            examples, boxes = examples + len(pictures), boxes + found
    counts = {
        "examples": examples,
        "boxes": boxes,
        "startup": startup,
        "seconds": time.perf_counter() - begun,
        "versions": {each: version(_PUBLISHED.get(each, each)) for each in packages},
    }
    Path(result).write_text(json.dumps(counts))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
