"""Plans which inputs a selection reads, in which order, and which of their rows."""

import dataclasses
import gzip
import zlib
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from open_images.building.selecting import Choice
from transforms.dataset.elements import ByteRange, Source, in_one_piece
from transforms.kinds.images import IMAGES
from transforms.kinds.kind import Kind
from transforms.kinds.masks import MASKS
from transforms.kinds.narratives import NARRATIVES
from transforms.kinds.reading.lines import RowFilter
from transforms.kinds.reading.text import parse_block, read_blocks
from transforms.kinds.registry import TABLES
from transforms.selection.choose import BucketImages, Chooser, ColumnRows
from transforms.selection.selection import Selection
from transforms.storage.stores import ObjectOptions

#: Columns of annotations that have files of their own, by the kind of these.
_COLUMNS_OF_FILES = {"mask_files": MASKS.column, "voice_files": NARRATIVES.column}
#: Where fewer of the images than this are chosen, to choose them first saves more than it costs.
_FEW = 1 / 3
#: Keys that readers of all rows can hold: more are chosen when the rows have come together.
_MOST_KEYS = 1_000_000
_SAMPLE_BYTES = 1 << 17
_KEY_BYTES = 8
#: What an image costs in an image table, about.
IMAGE_ROW_BYTES = 330


class Steps(NamedTuple):
    """How a selection is carried out.

    Attributes:
        decides_first: whether images are chosen before most of their rows are read.
        deciding_sources: indices of the sources whose rows decide about images.
        deciding_rows: which of their rows decide.
        rows: which rows can be wanted, by their images alone.
        share: of the images of any range of keys, those whose rows come together, at most about.
    """

    decides_first: bool
    deciding_sources: frozenset[int]
    deciding_rows: RowFilter
    rows: RowFilter
    share: float


def read_sources(sources: Sequence[Source], selection: Selection) -> list[Source]:
    """Returns the sources that a selection needs, numbered anew.

    Args:
        sources: tables, small files, and sources of pictures, mask PNGs and recordings.
        selection: what is to be built.
    """
    needed = []
    for source in sources:
        kind = TABLES.get(source.kind)
        if kind and not selection.reads(kind, source.name):
            continue
        column = _COLUMNS_OF_FILES.get(source.kind)
        if column and column not in selection.carried_columns:
            continue
        needed.append(dataclasses.replace(source, index=len(needed)))
    return needed


def deciding_view(source: Source, selection: Selection) -> Source:
    """Returns a source as it is read to decide: an image table without columns that don't.

    Its checksum is taken when all of it is read.
    """
    source = dataclasses.replace(source, digest=source.digest or "taken later")
    if source.kind != IMAGES.name:
        return source
    fields = {each.field for each in selection.image_conditions}
    read = {IMAGES.image_id, *IMAGES.required}
    read |= {name for name, field in IMAGES.fields.items() if field in fields}
    columns = tuple(name if name in read else "" for name in source.columns)
    return dataclasses.replace(source, columns=columns)


def plan_steps(choice: Choice, sources: Sequence[Source], options: ObjectOptions) -> Steps:
    """Plans how a selection is carried out.

    Args:
        choice: of images and annotations.
        sources: as of `read_sources`.
        options: how object stores are reached.
    """
    selection, keys = choice.selection, choice.image_keys
    rows = RowFilter(start=selection.order_start, size=selection.sample_size)
    tables = [source for source in sources if source.kind == IMAGES.name]
    # Without an image table, all images are known only by all of their rows.
    decide_all = selection.has_quota and not tables
    deciding = frozenset(
        source.index
        for source in sources
        if source.kind in TABLES
        and (decide_all or selection.decides(TABLES[source.kind], source.name))
    )
    # Conditions of `--where_images` look at rows of any label.
    labels = () if selection.inspected_types else selection.mids
    deciding_rows = dataclasses.replace(rows, labels=labels)
    universe = sum(source.size for source in tables) / IMAGE_ROW_BYTES
    first, share = False, 1.0
    if universe and keys is not None:
        share = _spare(len(keys) // _KEY_BYTES / universe)
    # A list of images, or a small sample, says by itself whose rows are wanted.
    is_open = keys is None and (selection.sample_fraction or 1.0) >= _FEW
    if universe and selection.chooses_images and is_open:
        qualify = _estimate(selection, sources, deciding, universe, options)
        expected = min(_quota(selection, universe), qualify)
        first = expected < _FEW and expected * universe < _MOST_KEYS
        share = _spare(qualify) if first else 1.0
    return Steps(first, deciding, deciding_rows, rows, share)


def _spare(share: float) -> float:
    """Returns a share that leaves room for an estimate that is too low."""
    return min(1.0, 3 * share + 0.05)


def _quota(selection: Selection, universe: float) -> float:
    """Returns which fraction of the images quotas leave at most."""
    most = [universe]
    if selection.max_images is not None:
        most.append(selection.max_images)
    if selection.max_per_class is not None and selection.classes is not None:
        most.append(selection.max_per_class * len(selection.mids))
    return min(most) / universe


def _estimate(
    selection: Selection,
    sources: Sequence[Source],
    deciding: Collection[int],
    universe: float,
    options: ObjectOptions,
) -> float:
    """Returns which fraction of the images qualify, about: by a piece of each deciding table."""
    of_annotations = tuple(each for each in selection.where if each.subject != "images")
    by_labels = dataclasses.replace(selection, match="any", where=of_annotations, where_images=())
    chooser = Chooser(by_labels, num_buckets=1)
    plain = dataclasses.replace(selection, classes=None, max_per_class=None)
    by_images = 1.0
    found = 0.0
    for source in sources:
        if source.index not in deciding:
            continue
        kind = TABLES[source.kind]
        for keys, rows, pieces in _sample(source, kind, options):
            images, owners = np.unique(keys, return_inverse=True)
            if kind is IMAGES:
                bucket = BucketImages(keys, rows, {})
                qualified = dataclasses.replace(chooser, selection=plain).qualify(bucket)
                by_images = min(by_images, float(qualified.images.mean()))
            else:
                nothing = pa.nulls(len(images), IMAGES.row)
                bucket = BucketImages(images, nothing, {kind.column: ColumnRows(rows, owners)})
                found += int(chooser.qualify(bucket).images.sum()) * pieces
    by_class = 1.0 if selection.classes is None else min(1.0, found / universe)
    return min(by_images, by_class)


def _sample(
    source: Source, kind: Kind, options: ObjectOptions
) -> Iterator[tuple[np.ndarray, pa.StructArray, float]]:
    """Yields keys and rows of a piece of a table, and how many such pieces it has, about."""
    if source.size <= source.data_start:
        return
    middle = source.data_start + (source.size - source.data_start) // 2
    piece = ByteRange(source.index, middle, min(middle + _SAMPLE_BYTES, source.size))
    if source.compressed:
        piece = ByteRange(source.index, 0, source.size)
    try:
        block = next(read_blocks(source, piece, _SAMPLE_BYTES, options), None)
    except (EOFError, zlib.error, gzip.BadGzipFile):  # which is reported when it is read
        return
    if block is None:
        return
    parsed = parse_block(source, block.data)
    if parsed.table.num_rows:
        rows = in_one_piece(parsed.table["value"])
        keys = in_one_piece(parsed.table["key"]).to_numpy()
        yield keys, rows, source.size / max(1, len(block.data))
