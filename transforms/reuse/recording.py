"""What a version keeps of how it came about, in the folder `lineage` beside its shards.

- `<split>-00000-of-00001`, or several: a row of `ROW` an image, in the order of the examples: what
  its picture and masks are known by.
- `parts.parquet`: a row a part, in the order in which they stand in the shards, with the digest of
  its bucket's input.

By these the next build tells what it needn't do again: see `reuse.previous`.
"""

import os
from collections.abc import Iterable, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from transforms.dataset import naming
from transforms.dataset.elements import BucketCount, BuiltPart, Shard
from transforms.formats.format import FileKind
from transforms.formats.part import Crc32, HashingFile
from transforms.formats.settings import FormatSettings
from transforms.storage import files
from transforms.storage.stores import ObjectOptions

PARTS = f"{naming.LINEAGE}/parts.parquet"

#: An image of a version; identities as of `reuse.identity`.
ROW = np.dtype([("key", "<u8"), ("picture", "<u8"), ("masks", "<u8")])

#: A part of a shard; what is said of the shard, too.
PART = pa.schema(
    {
        "format": pa.string(),
        "split": pa.string(),
        "bucket": pa.int32(),
        "sequence": pa.int32(),
        "num_examples": pa.int64(),
        "bytes": pa.int64(),
        "crc32": pa.string(),
        "body": pa.string(),
        "dropped": pa.map_(pa.string(), pa.int64()),
        "digest": pa.string(),  # of the bucket's input; null where something of it failed
        "path": pa.string(),
        "size": pa.int64(),
        "sha256": pa.string(),
        "footer": pa.string(),
        "etag": pa.string(),  # of an object
    }
)

#: Of objects, by path.
Etags = Mapping[str, str | None]


def write_rows(
    rows: np.ndarray, path: str, split: str, bucket: int, options: ObjectOptions
) -> BuiltPart:
    """Writes (n,) of `ROW`, all images of a bucket and split, as a part.

    Args:
        rows: by key.
        path: of the part.
        split: of the images.
        bucket: likewise.
        options: how object stores are reached.
    """
    file = HashingFile(files.create_file(path, options), Crc32())
    file.write(np.ascontiguousarray(rows).view(np.uint8))
    file.close()
    return BuiltPart(
        naming.LINEAGE, split, bucket, 0, path, len(rows), file.tell(), file.digest, file.digest
    )


class LineageRows(FileKind):
    """Files of `ROW`s: written in parts and put together like examples, and no output format."""

    name = naming.LINEAGE

    def shard_path(self, settings: FormatSettings, split: str, index: int, shards: int) -> str:
        return f"{naming.LINEAGE}/{split}-{naming.numbers(index, shards)}"

    def count(self, path: str) -> int:
        rows, rest = divmod(os.path.getsize(path), ROW.itemsize)
        if rest:
            raise ValueError(f"{path}: ends inside a row")
        return rows


LINEAGE = LineageRows()


def parts_table(
    shards: Iterable[Shard], counts: Iterable[BucketCount], buckets: int, etags: Etags
) -> pa.Table:
    """Returns the content of `parts.parquet`.

    Args:
        shards: of the version.
        counts: of all buckets.
        buckets: how many the build had.
        etags: of shards that are objects, by their paths.
    """
    digests = {count.bucket: count.digest for count in counts}
    rows = [
        part._asdict()
        | {"digest": digests.get(part.bucket), "path": shard.path, "size": shard.bytes}
        | {"sha256": shard.sha256, "footer": shard.footer, "etag": etags.get(shard.path)}
        for shard in sorted(shards)
        for part in shard.parts
    ]
    return pa.Table.from_pylist(rows, PART.with_metadata({"buckets": str(buckets)}))


def encode_parts(table: pa.Table) -> bytes:
    """Returns the file, with checksums of its pages."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, write_page_checksum=True)
    return sink.getvalue().to_pybytes()
