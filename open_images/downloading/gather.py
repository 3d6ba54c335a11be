"""What is known of the pictures of a list: where sources hold them, and what image tables say.

The rows take the way that they take in a build: they are spilled to files by bucket of images, and
joined bucket by bucket, so that memory holds one bucket's, however long the list is.
"""

import gzip
import zlib
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from open_images.downloading.client import DownloadError
from open_images.downloading.image_list import Pictures, among, count, sorted_once
from open_images.downloading.parallel import Meter
from transforms.dataset.elements import LISTED, Source, to_batch
from transforms.dataset.failures import PixelError
from transforms.examples.join import Joined, join
from transforms.exchange import spills
from transforms.exchange.batches import KeyedBatch, bucket_of
from transforms.kinds.images import IMAGE_ROW, IMAGES
from transforms.kinds.reading.ranges import plan_ranges
from transforms.sources.contents import keyed, list_source, unpack_source
from transforms.storage.stores import ObjectOptions

_BUCKET_IMAGES = 32_768
_MAX_BUCKETS = 1 << 16
_BLOCK_BYTES = 16 << 20
_ADDRESSES = ("original_url", "original_size", "original_md5", "thumbnail_300k_url")


def gather(
    pictures: Pictures,
    sources: Sequence[Source],
    with_addresses: bool,
    folder: str,
    meter: Meter,
    options: ObjectOptions,
    bucket_images: int = _BUCKET_IMAGES,
) -> Iterator[Joined]:
    """Joins, bucket by bucket, the pictures of a list with what sources know of them.

    Args:
        pictures: those to have.
        sources: image tables and sources of pictures, by index.
        with_addresses: whether image tables are needed.
        folder: for files that are needed as long as this lasts.
        meter: is told what is found in each, and what is wrong with it.
        options: how object stores are reached.
        bucket_images: pictures that are joined at a time, about.

    Raises:
        DownloadError: An image table can't be read.
    """
    wanted = sorted_once(pictures.values())
    buckets = min(-(-count(pictures) // bucket_images), _MAX_BUCKETS)
    written: list[spills.Spill] = []
    for source in sources:
        if source.kind == IMAGES.name and with_addresses:
            batches = _read_addresses(source, meter, options)
        elif source.medium in LISTED:
            batches = _list_members(source, folder, meter, options)
        else:
            continue
        found = 0
        for order, batch in enumerate(batches):
            rows = batch.filter(pa.array(among(batch["key"].to_numpy(), wanted)))
            found += len(rows)
            if len(rows):
                known = [KeyedBatch(source.index, order, rows)]
                written.append(spills.write_spill(known, buckets, folder))
        meter.log(f"{source.name}: knows {found:,} of the pictures")
    the_list = Source(len(sources), IMAGES.name, "", 0)
    of_bucket = {split: bucket_of(keys, buckets) for split, keys in pictures.items()}
    for bucket in range(buckets):
        batches = [*spills.SpilledBatches(folder, bucket, buckets, tuple(sorted(written)))]
        for split, keys in pictures.items():
            listed = keys[of_bucket[split] == bucket]
            batches.append(KeyedBatch(the_list.index, 0, _list_rows(split, listed)))
        yield join(batches, [*sources, the_list], None)


def _list_rows(split: str, keys: np.ndarray) -> pa.RecordBatch:
    """Pictures of a list as rows of an image table."""
    rows = _image_rows({"split": pa.repeat(split, len(keys))}, len(keys))
    return pa.record_batch({"key": keys, "value": rows})


def _image_rows(known: dict[str, pa.Array], length: int) -> pa.StructArray:
    columns = [known.get(field.name, pa.nulls(length, field.type)) for field in IMAGE_ROW]
    return pa.StructArray.from_arrays(columns, fields=list(IMAGE_ROW))


def _list_members(
    source: Source, folder: str, meter: Meter, options: ObjectOptions
) -> Iterator[pa.RecordBatch]:
    """Yields addresses of a source's members, keyed."""
    refused, first = 0, ""
    try:
        for listing in list_source(source, options, unpack_source(source, folder, options)):
            if listing.failures:
                first = first or listing.failures[0].detail
                refused += len(listing.failures)
            if len(listing.table):
                yield keyed(listing.table, source.index)
    except PixelError as error:
        meter.log(f"{source.path}: {error}")
    if refused:
        meter.log(f"{source.path}: {refused:,} members are left out, the first: {first}")


def _read_addresses(
    source: Source, meter: Meter, options: ObjectOptions
) -> Iterator[pa.RecordBatch]:
    """Where an image table says that pictures are; nothing else of it, so that nothing else of it
    can contradict the list."""
    # Only here, since Beam takes a second or two to import.
    from transforms.kinds.reading import text

    bad_rows = 0
    try:
        for piece in plan_ranges(source, _BLOCK_BYTES):
            for block in text.read_blocks(source, piece, _BLOCK_BYTES, options):
                if block.is_rest:
                    continue
                parsed = text.parse_block(source, block.data)
                bad_rows += parsed.bad_rows
                value = parsed.table["value"].combine_chunks()
                known = {name: pc.struct_field(value, name) for name in _ADDRESSES}
                rows = _image_rows(known, len(value))
                yield to_batch(pa.table({"key": parsed.table["key"], "value": rows}))
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DownloadError(f"{source.name}: compressed data: {error}: get it again") from None
    if bad_rows:
        meter.log(f"{source.name}: {bad_rows:,} bad rows are left out")
