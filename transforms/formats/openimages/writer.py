"""Writes examples to parts: pictures, PNGs of masks and recordings, and pieces of tables."""

import functools
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from transforms.dataset.elements import in_one_piece
from transforms.dataset.schema import MAP_COLUMNS
from transforms.dataset.texts import end_to_end
from transforms.formats.loose import LooseFile, LooseWriter, SharedWriter, picture_files
from transforms.formats.mask_png import encode_mask
from transforms.formats.openimages import class_files, image_metas, tables
from transforms.kinds import published
from transforms.storage.claims import leads_out

FOLDER = "openimages"
ANNOTATIONS = f"{FOLDER}/annotations"
#: Images whose tables are text at once: a narrative may have a hundred kB.
_SLICE_IMAGES = 1024
#: Kinds whose columns are the fields of an annotation.
_PLAIN_KINDS = ("person_boxes", "relationships", "points")


class OpenImagesWriter(LooseWriter):
    """Writes pictures, PNGs of masks, and recordings."""

    def files(self, table: pa.Table) -> Iterator[LooseFile]:
        for examples, split in _slices(table):
            yield from picture_files(examples, f"{FOLDER}/images/{split}")
            if masks := tables.read_annotations(examples, "masks"):
                yield from _mask_files(masks, tables.name_masks(masks), split)
            if narratives := tables.read_annotations(examples, "narratives"):
                yield from self._recordings(narratives)

    def _recordings(self, narratives: tables.Annotations) -> Iterator[LooseFile]:
        """Yields recordings at their published paths, by which a build finds them again."""
        spoken = narratives.filter(narratives.rows.field("voice").is_valid())
        names = spoken.rows.field("voice_recording").to_pylist()
        written = set()
        for name, image_id, data in zip(
            names,
            spoken.image_ids.to_pylist(),
            spoken.rows.field("voice").field("bytes"),
            strict=True,
        ):
            # Others could take the place of another image's, or lead out of the folder.
            if leads_out(name) or image_id not in name.rpartition("/")[2]:
                self._dropped["recordings not named by their image"] += 1
            elif name not in written:
                written.add(name)
                yield LooseFile(f"{FOLDER}/voices/{name}", data.as_buffer())


class TableWriter(SharedWriter):
    """Writes pieces of tables.

    A piece has the header of its rows, as each part has its own: `format` makes one file of all
    pieces of a split.
    """

    def files(self, table: pa.Table) -> Iterator[LooseFile]:
        for examples, split in _slices(table):
            for each in self._tables(examples, split):
                yield _piece(each, split)
            if boxes := tables.read_annotations(examples, "boxes"):
                yield from _image_metas(examples, boxes, split)
            for name in MAP_COLUMNS:
                self._drop(f"{name.replace('_', ' ')}s", examples[name])

    @functools.cached_property
    def _boxable(self) -> pa.StringArray:
        labels = [each["label"] for each in class_files.boxable(self._content.classes)]
        return pa.array(labels, pa.string())

    def _tables(self, examples: pa.Table, split: str) -> Iterator[tables.Table]:
        yield tables.image_table(examples)
        if masks := tables.read_annotations(examples, "masks"):
            yield tables.mask_table(masks, tables.name_masks(masks))
        if labels := tables.read_annotations(examples, "image_labels"):
            yield from tables.label_tables(labels, self._boxable)
        if boxes := tables.read_annotations(examples, "boxes"):
            yield tables.box_table(boxes)
        for kind in _PLAIN_KINDS:
            if found := tables.read_annotations(examples, kind):
                yield tables.plain_table(kind, found)
                if kind == "person_boxes":  # whose published files name none
                    self._drop("sources of person boxes", found.rows.field("source"))
        narratives = tables.read_annotations(examples, "narratives")
        if narratives and len(narratives.rows):
            yield tables.narrative_table(narratives, split)

    def _drop(self, what: str, values: pa.Array | pa.ChunkedArray) -> None:
        """Counts values that aren't written."""
        self._dropped[what] += len(values) - values.null_count


def _slices(table: pa.Table) -> Iterator[tuple[pa.Table, str]]:
    """Yields some examples at a time, and their split: a part is of one."""
    for start in range(0, len(table), _SLICE_IMAGES):
        examples = table.slice(start, _SLICE_IMAGES)
        yield examples, examples["split"][0].as_py()


def _mask_files(
    masks: tables.Annotations, names: pa.StringArray, split: str
) -> Iterator[LooseFile]:
    """Yields the PNGs of masks that have pixels."""
    has_pixels = masks.rows.field("counts").is_valid()
    rows = masks.rows.filter(has_pixels)
    sizes = rows.field("size").to_pylist()
    for name, counts, size in zip(
        names.filter(has_pixels).to_pylist(), rows.field("counts"), sizes, strict=True
    ):
        png = encode_mask(counts.as_py(), *size)
        yield LooseFile(f"{FOLDER}/masks/{split}/{name}", png)


def _piece(table: tables.Table, split: str) -> LooseFile:
    header = f"{table.header}\n" if table.header else ""
    name = published.file_of(tables.RELEASE, table.name, split)
    return LooseFile(
        f"{ANNOTATIONS}/{name}", header.encode() + end_to_end(table.lines).to_pybytes()
    )


def _image_metas(examples: pa.Table, boxes: tables.Annotations, split: str) -> Iterator[LooseFile]:
    """Yields a piece of the sizes of images that have boxes, where these have pictures."""
    places = np.unique(boxes.images)
    some = examples.select(["image_id", "height", "width"]).take(pa.array(places))
    if not len(some) or some["width"].null_count:
        return
    heights, widths = some["height"].to_numpy(), some["width"].to_numpy()
    data = image_metas.encode_entries(in_one_piece(some["image_id"]), heights, widths)
    yield LooseFile(f"{ANNOTATIONS}/{split}-image-metas.pkl", data)
