"""Writes a corpus of `benchmarks.formats` by a format's own library; needs nothing else.

Usage: python benchmarks/format_peers.py NAME CORPUS OUTPUT
"""

import csv
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from multiprocessing import Process
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fiftyone.utils.data import LabeledImageDatasetExporter

WORKERS = 2
_SHARD_BYTES = 256 << 20

_SIDES = ("XMin", "XMax", "YMin", "YMax")

#: An image: its id, the path of its picture, and its boxes as the table has them.
Image = tuple[str, Path, list[dict[str, str]]]


def read_corpus(corpus: Path) -> list[Image]:
    """Returns all images with their boxes."""
    boxes: dict[str, list[dict[str, str]]] = defaultdict(list)
    for table in sorted((corpus / "annotations").glob("*annotations-bbox*.csv")):
        with table.open(newline="") as file:
            for row in csv.DictReader(file):
                boxes[row.pop("ImageID")].append(row)
    pictures = sorted((corpus / "images").glob("*/*.jpg"))
    return [(path.stem, path, boxes[path.stem]) for path in pictures]


def write_webdataset(images: Sequence[Image], output: Path, worker: int) -> None:
    """Writes tar archives by `ShardWriter`."""
    import webdataset

    pattern = f"{output}/train-{worker}-%05d.tar"
    with webdataset.ShardWriter(pattern, maxsize=_SHARD_BYTES, verbose=0) as sink:
        for image_id, path, boxes in images:
            sink.write({"__key__": image_id, "jpg": path.read_bytes(), "json": boxes})


def write_mds(images: Sequence[Image], output: Path, worker: int) -> None:
    """Writes MDS shards by `MDSWriter`."""
    from streaming import MDSWriter

    columns = {"image_id": "str", "image": "jpeg", "json": "json"}
    folder, hashes = f"{output}/{worker}", ["sha256"]
    with MDSWriter(out=folder, columns=columns, hashes=hashes, size_limit=_SHARD_BYTES) as sink:
        for image_id, path, boxes in images:
            sink.write({"image_id": image_id, "image": path.read_bytes(), "json": boxes})


def _export_by_fiftyone(images: Sequence[Image], exporter: "LabeledImageDatasetExporter") -> None:
    """Hands images to an exporter of FiftyOne, as `Dataset.export` does.

    A `Dataset` lives in MongoDB, which isn't started: what it would take is left out.
    """
    from fiftyone import Detection, Detections, ImageMetadata

    with exporter:
        for _, path, boxes in images:
            found = []
            for row in boxes:
                left, right, top, bottom = (float(row[key]) for key in _SIDES)
                corners = [left, top, right - left, bottom - top]
                found.append(Detection(label=row["LabelName"], bounding_box=corners))
            metadata = (
                ImageMetadata.build_for(str(path)) if exporter.requires_image_metadata else None
            )
            exporter.export_sample(str(path), Detections(detections=found), metadata=metadata)


def _classes(images: Sequence[Image]) -> list[str]:
    return sorted({box["LabelName"] for *_, boxes in images for box in boxes})


def write_fiftyone_coco(images: Sequence[Image], output: Path, worker: int) -> None:
    """Exports COCO by FiftyOne."""
    from fiftyone.utils.coco import COCODetectionDatasetExporter

    folder = f"{output}/{worker}"
    exporter = COCODetectionDatasetExporter(folder, classes=_classes(images), export_media=True)
    _export_by_fiftyone(images, exporter)


def write_fiftyone_yolo(images: Sequence[Image], output: Path, worker: int) -> None:
    """Exports YOLO by FiftyOne."""
    from fiftyone.utils.yolo import YOLOv5DatasetExporter

    folder = f"{output}/{worker}"
    exporter = YOLOv5DatasetExporter(folder, classes=_classes(images), export_media=True)
    _export_by_fiftyone(images, exporter)


def write_datumaro(images: Sequence[Image], output: Path, worker: int, form: str) -> None:
    """Exports files by Datumaro."""
    from datumaro.components.annotation import Bbox
    from datumaro.components.dataset import Dataset
    from datumaro.components.dataset_base import DatasetItem
    from datumaro.components.media import Image as Media

    names = _classes(images)
    numbers = {name: number for number, name in enumerate(names)}
    items = []
    for image_id, path, boxes in images:
        media = Media.from_file(str(path))
        height, width = media.size
        found = []
        for row in boxes:
            left, right = float(row["XMin"]) * width, float(row["XMax"]) * width
            top, bottom = float(row["YMin"]) * height, float(row["YMax"]) * height
            label = numbers[row["LabelName"]]
            found.append(Bbox(left, top, right - left, bottom - top, label=label))
        items.append(DatasetItem(image_id, subset="train", media=media, annotations=found))
    Dataset.from_iterable(items, categories=names).export(
        f"{output}/{worker}", form, save_media=True
    )


def write_datumaro_coco(images: Sequence[Image], output: Path, worker: int) -> None:
    """Exports COCO by Datumaro."""
    write_datumaro(images, output, worker, "coco_instances")


def write_datumaro_yolo(images: Sequence[Image], output: Path, worker: int) -> None:
    """Exports YOLO by Datumaro."""
    write_datumaro(images, output, worker, "yolo")


WRITERS: dict[str, Callable[[Sequence[Image], Path, int], None]] = {
    "shard_writer": write_webdataset,
    "mds_writer": write_mds,
    "fiftyone_coco": write_fiftyone_coco,
    "fiftyone_yolo": write_fiftyone_yolo,
    "datumaro_coco": write_datumaro_coco,
    "datumaro_yolo": write_datumaro_yolo,
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
