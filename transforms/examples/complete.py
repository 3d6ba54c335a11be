"""Completes joined images to examples: annotations turned, masks and maps drawn, voices added."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from transforms.dataset.elements import in_one_piece, relist
from transforms.dataset.failures import Failure
from transforms.examples.imaging.annotations import turn_annotations
from transforms.examples.masks.rasterise import Raster, draw_maps, rasterise_masks
from transforms.examples.options import ExampleOptions
from transforms.examples.pictures import Finished
from transforms.examples.voices.read import Voiced
from transforms.kinds.narratives import NARRATIVE, NARRATIVE_ROW
from transforms.kinds.parsing.table import struct_array
from transforms.kinds.registry import EXAMPLE
from transforms.sources.members import MemberReader


class Window(NamedTuple):
    """Examples of consecutive images, made together.

    Attributes:
        examples: a table with the columns of `EXAMPLE`; texts may be coded (`dataset.codes`).
        failures: of images that are left out, and of single masks and recordings.
        failed_images: how many images are left out.
        exif_reset: how many pictures had an orientation in their metadata that was set to 1.
        recordings: how many recordings narratives name; 0 where no source of them was given.
    """

    examples: pa.Table
    failures: list[Failure]
    failed_images: int
    exif_reset: int
    recordings: int


def complete_examples(
    voiced: Voiced,
    options: ExampleOptions,
    reader: MemberReader,
    class_index: Mapping[str, int],
    finished: Finished | None = None,
) -> Window:
    """Returns the examples of images whose pictures and recordings were read.

    Args:
        voiced: the images with their pictures and recordings, if examples carry any.
        options: what examples are made of.
        reader: reads mask PNGs.
        class_index: MID to class index, for semantic maps.
        finished: masks that were drawn by the build before; None for none.
    """
    fetched = voiced.fetched
    images, columns = fetched.images, dict(fetched.columns)
    columns["published_rotation"] = images["rotation"]
    rotations: Sequence[int | None] = [None] * len(images)
    if options.image_spec.apply_rotation:
        rotations = images["rotation"].to_pylist()
        images = turn_annotations(images, images["rotation"])
        # Nothing is left to turn, but where it is unknown: there it stays null.
        columns["rotation"] = pc.multiply(images["rotation"], pa.scalar(0, pa.int16()))
    sizes: Sequence[tuple[int, int] | None] = [None] * len(images)
    if options.with_pictures:
        sizes = list(zip(columns["width"].to_pylist(), columns["height"].to_pylist(), strict=True))
    rasters: Sequence[Sequence[Raster] | None] = [None] * len(images)
    if finished:
        rasters = finished.read_rasters(images["image_id"])
    columns["masks"], failures = rasterise_masks(
        images, sizes, rotations, reader, rasters, options.sources
    )
    columns["narratives"] = _add_voices(in_one_piece(images["narratives"]), voiced.voices)
    if options.map_columns:
        image_ids = images["image_id"].to_pylist()
        columns |= draw_maps(image_ids, columns["masks"], sizes, class_index, options.map_columns)
    refused = fetched.failures
    examples = _to_examples(images, columns)
    failures = refused + failures + voiced.failures
    return Window(examples, failures, len(refused), fetched.exif_reset, voiced.recordings)


def _add_voices(narratives: pa.ListArray, voices: pa.StructArray) -> pa.ListArray:
    """Returns (n,) lists of `NARRATIVE`, of lists of narratives as joined and their recordings."""
    rows = narratives.flatten()
    columns = dict(zip(NARRATIVE_ROW.names, rows.flatten(), strict=True))
    return relist(narratives, struct_array(NARRATIVE, columns | {"voice": voices}, len(rows)))


def _to_examples(images: pa.Table, columns: dict[str, pa.Array]) -> pa.Table:
    """Returns a table with the columns of `EXAMPLE`: those given, those of images, or nulls."""
    given = dict(zip(images.column_names, images.columns, strict=True)) | columns
    arrays = [
        given[field.name] if field.name in given else pa.nulls(len(images), field.type)
        for field in EXAMPLE
    ]
    # The types are those of `EXAMPLE`, but for texts that come as dictionaries.
    fields = [field.with_type(array.type) for field, array in zip(EXAMPLE, arrays, strict=True)]
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields, EXAMPLE.metadata))
