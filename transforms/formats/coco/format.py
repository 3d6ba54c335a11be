"""COCO as an output format: read by pycocotools, torchvision, Detectron2, FiftyOne and CVAT.

Instances of a split are one JSON file, captions another, and pictures lie in a folder
(https://cocodataset.org/#format-data). Images have the lists of classes that LVIS has
(https://www.lvisdataset.org/dataset). In Roboflow's layout the files lie beside the pictures.
"""

import contextlib
import functools
import json
import os
import zlib
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.dataset import naming
from transforms.dataset.classes import ClassTable
from transforms.dataset.elements import in_one_piece
from transforms.dataset.texts import end_to_end, join
from transforms.formats import json_text
from transforms.formats.annotations import count_absent
from transforms.formats.coco.annotations import describe_objects
from transforms.formats.coco.document import (
    ANNOTATIONS,
    CATEGORIES,
    HEAD,
    IMAGES,
    Document,
    Piece,
    open_document,
)
from transforms.formats.coco.images import LICENSES, describe_images, image_numbers
from transforms.formats.format import Content, NewFiles, SharedFiles
from transforms.formats.loose import (
    FileList,
    LooseFile,
    LooseFormat,
    LooseWriter,
    SharedWriter,
    picture_files,
    read_files,
    verify_parts,
)
from transforms.formats.part import HashingFile, StoredPart
from transforms.formats.settings import FormatSettings

_SLICE_ROWS = 4096
_SEPARATOR = ",\n"
_HOMEPAGE = "https://storage.googleapis.com/openimages/web/index.html"
#: What it holds of an example's annotations.
_COLUMNS = ("image_labels", "bboxes", "masks", "narratives")
_ROBOFLOW = "roboflow"
#: Roboflow's datasets begin with a class that nothing is of, and detectors count on it.
_ROOT = {"id": 0, "name": "open-images", "supercategory": "none"}


class Layout(NamedTuple):
    """Where a split's files lie, below the folder of the version.

    Attributes:
        pictures: the folder of the pictures.
        instances: the file of boxes and masks.
        captions: the file of captions.
    """

    pictures: str
    instances: str
    captions: str


def layout_of(settings: FormatSettings, split: str) -> Layout:
    """Returns where a split's files lie.

    >>> from transforms.formats.settings import DEFAULT_SETTINGS
    >>> layout_of(DEFAULT_SETTINGS, "train").instances
    'coco/annotations/instances_train.json'
    """
    if settings.coco_layout == _ROBOFLOW:
        folder = f"coco/{'valid' if split == 'validation' else split}"
        return Layout(folder, f"{folder}/_annotations.coco.json", f"{folder}/_captions.coco.json")
    annotations = "coco/annotations"
    return Layout(
        f"coco/{split}",
        f"{annotations}/instances_{split}.json",
        f"{annotations}/captions_{split}.json",
    )


class CocoWriter(LooseWriter):
    """Writes pictures."""

    def files(self, table: pa.Table) -> Iterator[LooseFile]:
        layout = layout_of(self._content.settings, table["split"][0].as_py())
        yield from picture_files(table, layout.pictures)


class DocumentWriter(SharedWriter):
    """Writes pieces of JSON files."""

    #: The number of the image before.
    _last_image = -1

    @functools.cached_property
    def _written(self) -> set[str]:
        """The JSON files of which the part has pieces."""
        return set()

    def files(self, table: pa.Table) -> Iterator[LooseFile]:
        settings = self._content.settings
        for start in range(0, len(table), _SLICE_ROWS):
            rows = table.slice(start, _SLICE_ROWS)
            split = rows["split"][0].as_py()
            layout = layout_of(settings, split)
            for path, images, annotations in self._documents(rows, layout):
                if path not in self._written:
                    self._written.add(path)
                    yield _piece(path, HEAD, _head(settings, split))
                    if path == layout.instances:
                        yield _piece(path, CATEGORIES, _categories(self._content))
                yield _piece(path, IMAGES, images)
                yield _piece(path, ANNOTATIONS, annotations)

    def _documents(
        self, table: pa.Table, layout: Layout
    ) -> Iterator[tuple[str, pa.Buffer, pa.Buffer]]:
        """Yields the path of each JSON file, and the images and annotations to add to it."""
        numbers = image_numbers(in_one_piece(table["image_id"]), self._last_image)
        self._last_image = int(numbers[-1])
        self._dropped += count_absent(table, _COLUMNS)
        index = self._content.classes.index
        objects = describe_objects(table, numbers, index, self._dropped)
        described = describe_images(table, numbers, objects, index, self._dropped)
        lines = end_to_end(join(described, _SEPARATOR))
        images = lines.slice(0, lines.size - len(_SEPARATOR))
        yield layout.instances, images, objects.lines()
        if table["narratives"].null_count < len(table):
            yield layout.captions, images, _captions(table, numbers)


def _piece(path: str, section: str, data: bytes | pa.Buffer) -> LooseFile:
    return LooseFile(Piece(path, section).encode(), memoryview(data))


def _captions(table: pa.Table, numbers: np.ndarray) -> pa.Buffer:
    """Returns the captions as lines, as of `document.Piece`."""
    narratives = in_one_piece(table["narratives"])
    counts = narratives.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    texts = {
        "image_id": json_text.numbers(np.repeat(numbers, counts)),
        "caption": json_text.strings(pc.struct_field(narratives.flatten(), "caption")),
    }
    return end_to_end(join(json_text.members(texts), "\n"))


def _head(settings: FormatSettings, split: str) -> bytes:
    info = {
        "description": f"Open Images {settings.release}, {split}",
        "url": _HOMEPAGE,
        "version": settings.release,
        "contributor": "Google LLC; annotations CC BY 4.0",
    }
    text = json.dumps({"info": info, "licenses": LICENSES}, ensure_ascii=False)
    return text[1:-1].encode()


def _categories(content: Content) -> bytes:
    return _encode_categories(content.classes, content.settings.coco_layout == _ROBOFLOW)


@functools.lru_cache(maxsize=1)
def _encode_categories(classes: ClassTable, with_root: bool) -> bytes:
    """Returns the member `categories` with a comma before it, compressed.

    The supercategory is the first parent that has a name, or the class itself. Where several
    classes share a name, all but the first have their MID behind it.
    """
    names = {each["label"]: each["name"] for each in classes.records if each["name"]}
    lines = [_ROOT] if with_root else []
    taken = {each["name"] for each in lines}
    for each in classes.numbered:
        label = each["label"]
        unique = classes.names[label]
        while unique in taken:
            unique += f" ({label})"
        taken.add(unique)
        parent = next((names[parent] for parent in each["parents"] if parent in names), unique)
        lines.append({"id": each["index"], "name": unique, "supercategory": parent, "mid": label})
    text = ",\n".join(json.dumps(line, ensure_ascii=False) for line in lines)
    return zlib.compress(f',"categories":[\n{text}\n]'.encode(), 1)


class Documents(SharedFiles):
    """A JSON file a split for boxes and masks, and one for captions."""

    writer = DocumentWriter

    def concatenate(
        self, parts: Iterable[StoredPart], destination: HashingFile, new_files: NewFiles
    ) -> None:
        listed = FileList(destination, new_files)
        documents: dict[str, Document] = {}
        with contextlib.ExitStack() as stack:
            for part in verify_parts(parts):
                for file in read_files(part.path):
                    path, section = Piece.parse(file.path)
                    if path not in documents:
                        opened = open_document(listed, path, os.path.dirname(part.path))
                        documents[path] = stack.enter_context(opened)
                    documents[path].add(section, file.data)


class Coco(LooseFormat):
    """Pictures, and a JSON file a split for boxes and masks, and one for captions."""

    name = "coco"
    writer = CocoWriter
    shared = Documents()
    needs_classes = True

    def shard_path(self, settings: FormatSettings, split: str, index: int, shards: int) -> str:
        return f"coco/files/{split}-{naming.numbers(index, shards)}.sha256"

    def missing(self, kinds: Collection[str], settings: FormatSettings) -> str:
        if "pictures" not in kinds:
            return "its boxes are in pixels of pictures: name these by --images"
        if not {"boxes", "masks", "narratives"} & set(kinds):
            return "it holds boxes, masks and captions: name files of these by --annotations"
        return ""

    def loading_code(self, folder: str, settings: FormatSettings, split: str) -> str:
        path = f"{folder}/{layout_of(settings, split).instances}"
        return f"from pycocotools.coco import COCO; dataset = COCO({path!r})"


FORMAT = Coco()
