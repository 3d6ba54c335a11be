"""Completes joined images to examples: their annotations turned, masks and maps drawn."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from transforms.dataset.failures import Failure
from transforms.examples.imaging.annotations import turn_annotations
from transforms.examples.masks.rasterise import Raster, draw_maps, rasterise_masks
from transforms.examples.options import ExampleOptions
from transforms.examples.pictures import Fetched, Finished
from transforms.kinds.registry import EXAMPLE
from transforms.sources.members import MemberReader


class Window(NamedTuple):
    """Examples of consecutive images, made together.

    Attributes:
        examples: a table with the columns of `EXAMPLE`; texts may be coded (`dataset.codes`).
        failures: of images that are left out, and of single masks.
        failed_images: how many images are left out.
        exif_reset: how many pictures had an orientation in their metadata that was set to 1.
    """

    examples: pa.Table
    failures: list[Failure]
    failed_images: int
    exif_reset: int


def complete_examples(
    fetched: Fetched,
    options: ExampleOptions,
    reader: MemberReader,
    class_index: Mapping[str, int],
    finished: Finished | None = None,
) -> Window:
    """Returns the examples of images whose pictures were fetched.

    Args:
        fetched: the images with their pictures, if examples carry any.
        options: what examples are made of.
        reader: reads mask PNGs.
        class_index: MID to class index, for semantic maps.
        finished: masks that were drawn by the build before; None for none.
    """
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
    if options.map_columns:
        image_ids = images["image_id"].to_pylist()
        columns |= draw_maps(image_ids, columns["masks"], sizes, class_index, options.map_columns)
    refused = fetched.failures
    examples = _to_examples(images, columns)
    return Window(examples, refused + failures, len(refused), fetched.exif_reset)


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
