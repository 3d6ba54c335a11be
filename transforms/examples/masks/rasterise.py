"""Rasterising masks: their PNGs read, brought to the picture's size, and encoded."""

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import pyarrow as pa

from transforms.dataset import rle
from transforms.dataset.elements import Source, in_one_piece, relist
from transforms.dataset.failures import Failure, PixelError, Reason, Stage
from transforms.dataset.schema import IMAGE
from transforms.examples.imaging.rotate import turn, turned_size
from transforms.examples.masks import maps, png
from transforms.kinds.masks import MASK
from transforms.kinds.parsing.table import struct_array
from transforms.sources.contents import path_of
from transforms.sources.members import MemberReader, address_of, check_alike, group_by_place

Raster = tuple[tuple[int, int], bytes, int]
_NO_RASTER = (None, None, None)
_RASTER = pa.struct([(name, MASK.field(name).type) for name in ("size", "counts", "area")])


def rasterise_masks(
    joined: pa.Table,
    sizes: Sequence[tuple[int, int] | None],
    rotations: Sequence[int | None],
    reader: MemberReader,
    kept: Sequence[Sequence[Raster] | None],
    sources: Sequence[Source],
) -> tuple[pa.ListArray, list[Failure]]:
    """Encodes the masks of n images as COCO run lengths.

    Args:
        joined: n rows of `join.Joined.table`; `mask_files` null where no mask source was given.
        sizes: (width, height) of each image's picture; None keeps the size of the PNG.
        rotations: by which each picture was turned.
        reader: reads members by address.
        kept: what is known of an image's masks already; None where they are to be read.
        sources: all sources of the build, by index.

    Returns:
        (n,) lists of `MASK`, null where the source of masks was not given, and a failure for
        each mask whose PNG is missing or broken: its row stays, with `size`, `counts` and `area`
        null.
    """
    masks = in_one_piece(joined["masks"])
    rows = masks.flatten()
    rasters: list[tuple] = []
    found: list[Failure] = []
    if joined["mask_files"].null_count == len(joined):
        rasters = [_NO_RASTER] * len(rows)
    else:
        images = _collect_images(joined, masks, sizes, rotations)
        reader.expect(
            address_of(image.files[name])
            for image, known in zip(images, kept, strict=True)
            for name in image.names
            if known is None and name in image.files
        )
        for image, known in zip(images, kept, strict=True):
            if known is None:
                known, failures = _rasterise_image(image, reader, sources)
                found += failures
            rasters += known
    names = [field.name for field in rows.type] + list(_RASTER.names)
    columns = dict(zip(names, rows.flatten() + pa.array(rasters, _RASTER).flatten(), strict=True))
    return relist(masks, struct_array(MASK, columns, len(rows))), found


class _Image(NamedTuple):
    """An image whose masks are rasterised.

    Attributes:
        image_id: of the image.
        split: of the image.
        size: (width, height) of its picture, if there is one.
        rotation: by which the picture was turned.
        names: of the PNGs of its masks.
        members: mask files that were listed for it.
        files: the first of these by base name.
    """

    image_id: str
    split: str
    size: tuple[int, int] | None
    rotation: int | None
    names: list[str]
    members: list[Mapping]
    files: Mapping[str, Mapping]


def _collect_images(
    joined: pa.Table,
    masks: pa.ListArray,
    sizes: Sequence[tuple[int, int] | None],
    rotations: Sequence[int | None],
) -> list[_Image]:
    paths = iter(masks.flatten().field("mask_path").to_pylist())
    lengths = masks.value_lengths().fill_null(0).to_pylist()
    names = [list(itertools.islice(paths, length)) for length in lengths]
    listed = joined["mask_files"].to_pylist()
    files = [
        {member["name"].rpartition("/")[2]: member for member in reversed(members)}
        for members in listed
    ]
    ids, splits = joined["image_id"].to_pylist(), joined["split"].to_pylist()
    return list(map(_Image, ids, splits, sizes, rotations, names, listed, files))


def _rasterise_image(
    image: _Image, reader: MemberReader, sources: Sequence[Source]
) -> tuple[list[tuple], list[Failure]]:
    """Returns a raster for each mask of an image, and a failure for each without pixels."""
    repeats = _find_repeats(image.members) if len(image.files) < len(image.members) else {}
    rasters: list[tuple] = []
    found: list[Failure] = []
    for name in image.names:
        try:
            if name in repeats:
                _check_repeats(repeats[name], reader)
            rasters.append(_rasterise(name, image, reader))
        except PixelError as error:
            rasters.append(_NO_RASTER)
            source = None
            if member := image.files.get(name):
                source = path_of(sources[member["source"]], member["container"])
            where = image.image_id, image.split, Stage.MASK, error.reason
            found.append(Failure(*where, f"{name}: {error.detail}", source))
    return rasters, found


def _find_repeats(members: Sequence[Mapping]) -> dict[str, list[Mapping]]:
    """The members, by base name, that the archive of the first of that base name has twice."""
    repeats: dict[str, list[Mapping]] = {}
    for group in group_by_place(members, lambda each: (each["container"], each["name"])):
        repeats.setdefault(group[0]["name"].rpartition("/")[2], group)
    return {name: group for name, group in repeats.items() if len(group) > 1}


def _check_repeats(members: Sequence[Mapping], reader: MemberReader) -> None:
    contents = (_read(member, reader) for member in members)
    check_alike(contents, members[0]["name"], (member["offset"] for member in members))


def _rasterise(name: str, image: _Image, reader: MemberReader) -> Raster:
    if name not in image.files:
        raise PixelError(Reason.MASK_MISSING, "no source of masks has it")
    data = _read(image.files[name], reader)
    # Resized as it is stored, and turned then, as its picture is.
    stored_size = image.size and turned_size(*image.size, image.rotation)
    mask = turn(png.decode_mask(data, stored_size), image.rotation)
    return mask.shape, *rle.encode(mask)


def _read(member: Mapping, reader: MemberReader) -> bytes:
    try:
        return reader.read(address_of(member))
    except PixelError as error:
        raise PixelError(Reason.MASK_CORRUPT, str(error)) from None


def draw_maps(
    image_ids: Sequence[str],
    masks: pa.ListArray,
    sizes: Sequence[tuple[int, int] | None],
    class_index: Mapping[str, int],
    names: Sequence[str],
) -> dict[str, pa.Array]:
    """Instance and semantic maps of n images, as 16-bit PNGs; null where an image has no picture.

    Args:
        image_ids: (n,) ids, for the PNGs' names.
        masks: (n,) lists of `MASK`.
        sizes: (width, height) of each picture.
        class_index: MID to class index, from 1; 0 for a class that has none.
        names: which of `schema.MAP_COLUMNS` to draw.
    """
    drawn: dict[str, list[dict | None]] = {name: [] for name in names}
    for image_id, rows, size in zip(image_ids, masks.to_pylist(), sizes, strict=True):
        if size is None:
            for column in drawn.values():
                column.append(None)
            continue
        width, height = size
        rows = rows or []
        counts, areas = [row["counts"] for row in rows], [row["area"] for row in rows]
        instances = maps.instance_map(counts, areas, height, width)
        for name, column in drawn.items():
            picture = instances
            if name == "semantic_map":
                classes = [class_index[row["label"]] or None for row in rows]
                picture = maps.semantic_map(instances, classes)
            path = f"{image_id}_{name.removesuffix('_map')}.png"
            column.append({"bytes": maps.encode_map(picture), "path": path})
    return {name: pa.array(column, IMAGE) for name, column in drawn.items()}
