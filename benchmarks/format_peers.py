"""Writes a corpus of `benchmarks.formats` by a format's own library; needs nothing else.

Usage: python benchmarks/format_peers.py NAME CORPUS OUTPUT
"""

import csv
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from multiprocessing import Process
from pathlib import Path

WORKERS = 2
_SHARD_BYTES = 256 << 20

#: An image: its id, the path of its picture, and its rows as the CSV files have them.
Image = tuple[str, Path, dict[str, list[dict[str, str]]]]


def read_corpus(corpus: Path) -> list[Image]:
    """Returns all images with their rows."""
    rows: dict[str, dict[str, list]] = defaultdict(lambda: {"bboxes": [], "image_labels": []})
    for column, name in (
        ("bboxes", "train-annotations-bbox.csv"),
        ("image_labels", "train-annotations-human-imagelabels.csv"),
    ):
        with (corpus / "annotations" / name).open(newline="") as file:
            for row in csv.DictReader(file):
                rows[row.pop("ImageID")][column].append(row)
    pictures = sorted((corpus / "images" / "train").iterdir())
    return [(path.stem, path, rows[path.stem]) for path in pictures]


def write_webdataset(images: Sequence[Image], output: Path, worker: int) -> None:
    """Writes tar archives by `ShardWriter`."""
    import webdataset

    pattern = f"{output}/train-{worker}-%05d.tar"
    with webdataset.ShardWriter(pattern, maxsize=_SHARD_BYTES, verbose=0) as sink:
        for image_id, path, rows in images:
            sink.write({"__key__": image_id, "jpg": path.read_bytes(), "json": rows})


def write_mds(images: Sequence[Image], output: Path, worker: int) -> None:
    """Writes MDS shards by `MDSWriter`."""
    from streaming import MDSWriter

    columns = {"image_id": "str", "image": "jpeg", "json": "json"}
    folder, hashes = f"{output}/{worker}", ["sha256"]
    with MDSWriter(out=folder, columns=columns, hashes=hashes, size_limit=_SHARD_BYTES) as sink:
        for image_id, path, rows in images:
            sink.write({"image_id": image_id, "image": path.read_bytes(), "json": rows})


def write_datumaro(images: Sequence[Image], output: Path, worker: int, form: str) -> None:
    """Exports files by Datumaro."""
    from datumaro.components.annotation import Bbox
    from datumaro.components.dataset import Dataset
    from datumaro.components.dataset_base import DatasetItem
    from datumaro.components.media import Image as Media

    height, width = 768, 1024  # as all are, so that none is decoded for it
    names = sorted({box["LabelName"] for *_, rows in images for box in rows["bboxes"]})
    numbers = {name: number for number, name in enumerate(names)}
    items = []
    for image_id, path, rows in images:
        boxes = []
        for row in rows["bboxes"]:
            left, right = float(row["XMin"]) * width, float(row["XMax"]) * width
            top, bottom = float(row["YMin"]) * height, float(row["YMax"]) * height
            label = numbers[row["LabelName"]]
            boxes.append(Bbox(left, top, right - left, bottom - top, label=label))
        media = Media.from_file(str(path), size=(height, width))
        items.append(DatasetItem(image_id, subset="train", media=media, annotations=boxes))
    Dataset.from_iterable(items, categories=names).export(
        f"{output}/{worker}", form, save_media=True
    )


def write_coco(images: Sequence[Image], output: Path, worker: int) -> None:
    """Exports COCO by Datumaro."""
    write_datumaro(images, output, worker, "coco_instances")


def write_yolo(images: Sequence[Image], output: Path, worker: int) -> None:
    """Exports YOLO by Datumaro."""
    write_datumaro(images, output, worker, "yolo")


WRITERS: dict[str, Callable[[Sequence[Image], Path, int], None]] = {
    "shard_writer": write_webdataset,
    "mds_writer": write_mds,
    "datumaro_coco": write_coco,
    "datumaro_yolo": write_yolo,
}


def main(name: str, corpus: str, output: str) -> int:
    """Runs a writer in two processes, of half of the images each; the exit code."""
    Path(output).mkdir(parents=True)
    images = read_corpus(Path(corpus))
    processes = [
        Process(target=WRITERS[name], args=(images[worker::WORKERS], Path(output), worker))
        for worker in range(WORKERS)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return max(abs(process.exitcode or 0) for process in processes)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
