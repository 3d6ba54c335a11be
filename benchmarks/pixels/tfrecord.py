"""Pictures as they are, with boxes, in TFRecord: this project and TFDS's own writer."""

import hashlib
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.pixels.corpus import Corpus
from benchmarks.pixels.turns import Program, run_in_turns, table
from benchmarks.report import judged


@dataclass(frozen=True)
class Stored:
    """What TFRecord files hold.

    Attributes:
        images: examples.
        boxes: of them all.
        digest: the sum of a hash an example, of its id, its picture and its boxes.
    """

    images: int
    boxes: int
    digest: int


def compare_tfrecord(large: Corpus, small: Corpus, work: Path, workers: int, repeats: int) -> None:
    """Runs and prints the comparison.

    Args:
        large: the pictures.
        small: a few of the same, for start-up.
        work: for what is written.
        workers: processes.
        repeats: runs of each.

    Raises:
        AssertionError: the results differ.
    """
    programs = [
        Program(
            f"this project, from a {source}",
            lambda corpus, output, source=source: _build(corpus, source, output, workers),
            read,
        )
        for source in ("folder", "tar")
    ]
    programs += [
        Program(
            name,
            lambda corpus, output, processes=processes: [
                *(sys.executable, "-m", "benchmarks.pixels.tfds_prepare"),
                *(str(corpus.folder), str(output), str(processes)),
            ],
            read,
        )
        for name, processes in ((f"TFDS, {workers} processes", workers), ("TFDS, as usual", 1))
    ]
    *ours, theirs, usual = results = run_in_turns(programs, large, small, work, repeats)
    assert theirs.contents.images == len(large.pictures), theirs.contents
    print(table(f"Stored bytes and boxes in TFRecord, {workers} processes each", results))
    for result in (*ours, usual):
        assert result.contents == theirs.contents, f"{result.contents}, {theirs.contents}"
    print(
        f"  equal: {theirs.contents.images:,} images with the bytes and boxes of each, "
        f"{theirs.contents.boxes:,} boxes"
    )
    for result in ours:
        for peer in (theirs, usual):
            what = f"images/s, {result.name} / {peer.name}"
            print(judged(what, result.rate / peer.rate, 4))
            print(judged("the same beyond start-up", result.rate_beyond / peer.rate_beyond, 4))
            print(judged("the same by CPU for an image", peer.cpu_each / result.cpu_each, 4))


def _build(corpus: Corpus, source: str, output: Path, workers: int) -> list[str]:
    images = corpus.images if source == "folder" else corpus.tar
    return [
        *(sys.executable, "-m", "pipelines.build", "--annotations", str(corpus.annotations)),
        *("--images", str(images), "--format", "tfrecord"),
        *("--num_workers", str(workers), "--output", str(output)),
    ]


def read(output: Path) -> Stored:
    """Reads all TFRecord files below a folder, in full."""
    import tensorflow as tf  # only here: it takes seconds

    features = {
        "image_id": tf.io.FixedLenFeature([], tf.string),
        "image": tf.io.FixedLenFeature([], tf.string),
        "bboxes/bbox": tf.io.FixedLenSequenceFeature([4], tf.float32, allow_missing=True),
    }
    files = [str(path) for path in sorted(output.rglob("*.tfrecord-*"))]
    records = tf.data.TFRecordDataset(files)
    images = boxes = digest = 0
    for record in records:
        example = tf.io.parse_single_example(record, features)
        edges = example["bboxes/bbox"].numpy()
        content = hashlib.blake2b(example["image_id"].numpy(), digest_size=8)
        content.update(example["image"].numpy())
        content.update(edges.tobytes())
        images, boxes = images + 1, boxes + len(edges)
        digest += int.from_bytes(content.digest(), "big")
    return Stored(images, boxes, digest)
