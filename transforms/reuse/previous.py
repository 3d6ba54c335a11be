"""The version before, as a build reuses it: whole buckets, or single pictures and masks."""

import contextlib
import dataclasses
import errno
import functools
import itertools
import os
import stat
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from transforms.dataset import naming
from transforms.dataset.elements import BuiltPart, Origin
from transforms.dataset.keys import find
from transforms.exchange.batches import bucket_of
from transforms.formats.part import Crc32
from transforms.formats.registry import FORMATS, find_format
from transforms.reuse.identity import UNKNOWN
from transforms.reuse.recording import PART, PARTS, ROW
from transforms.storage import files
from transforms.storage.objects import StorageError, is_remote
from transforms.storage.stores import ObjectOptions

#: Fields of a part that are recorded of it; here `path` is the shard's.
_OF_PART = [name for name in PART.names if name in BuiltPart._fields and name != "path"]
#: Errors of reading a damaged file.
_DAMAGE = (OSError, ValueError, LookupError, TypeError, pa.ArrowException, StorageError)
_READ_BYTES = 256 << 10
#: Shards that a worker has open: consecutive buckets lie in the same few.
_SHARDS = 8


class Match(NamedTuple):
    """Images whose picture or masks are reused.

    Attributes:
        parts: sound parts of the version before that hold such images, in order.
        places: (n,) int64: where each of n images of this build is among the rows of these parts;
            -1 where its picture isn't to be taken over.
        masks: (n,) bool: whether its masks are to be, too.
    """

    parts: list[BuiltPart]
    places: np.ndarray
    masks: np.ndarray


class _RecordedPart(NamedTuple):
    """A part of the version before, and the digest of its bucket's input."""

    part: BuiltPart
    digest: str | None


@dataclasses.dataclass
class Previous:
    """A published version with its lineage.

    Attributes:
        folder: of the version.
        parts: of each bucket.
        buckets: how many there are.
        work: a folder of this build; local shards are linked into it.
        options: how object stores are reached.
    """

    folder: str
    parts: Mapping[int, Sequence[_RecordedPart]]
    buckets: int
    work: str
    options: ObjectOptions

    @classmethod
    def open(cls, folder: str, work: str, options: ObjectOptions) -> Self | None:
        """Reads the record that a version has of its parts.

        Args:
            folder: of the version.
            work: a folder of this build; local shards are linked into it.
            options: how object stores are reached.

        Returns:
            None where that can't be read.
        """
        try:
            data = files.read_file(os.path.join(folder, PARTS), options)
            table = pq.read_table(pa.BufferReader(data), page_checksum_verification=True)
            metadata = table.schema.metadata or {}
            if table.schema.remove_metadata() != PART.remove_metadata():
                return None
            parts: dict[int, list[_RecordedPart]] = defaultdict(list)
            for recorded in _read(folder, table, options):
                parts[recorded.part.bucket].append(recorded)
            return cls(folder, parts, int(metadata[b"buckets"]), work, options)
        except _DAMAGE:
            return None

    def bucket(
        self, bucket: int, buckets: int, digest: str, images: int, forms: Sequence[str]
    ) -> list[BuiltPart] | None:
        """Returns the parts of a bucket whose input has this digest, if all are there and sound.

        Args:
            bucket: its number.
            buckets: of how many.
            digest: of its input.
            images: how many it has.
            forms: the formats of the build.
        """
        if buckets != self.buckets:
            return None
        found = [
            part
            for part, recorded in self.parts.get(bucket, ())
            if recorded == digest and part.format in forms
        ]
        examples: Counter[str] = Counter()
        for part in found:
            examples[part.format] += part.num_examples
        if any(examples[form] != images for form in forms):
            return None
        return self._sound(found)

    def match(self, split: str, images: np.ndarray) -> Match | None:
        """Finds images whose picture or masks are the same in this version.

        Args:
            split: of the images.
            images: (n,) of `ROW`, by key; n isn't 0.

        Returns:
            None where there is nothing to be taken over.
        """
        ends = np.ascontiguousarray(images["key"][[0, -1]])
        first, last = bucket_of(ends, self.buckets).tolist()
        form = next(name for name in FORMATS if find_format(name).has_row_access)
        parts = list(self._between(first, last, form, split))
        try:
            rows = self._rows(self._between(first, last, naming.LINEAGE, split))
        except _DAMAGE:
            return None
        if not len(rows) or len(rows) != sum(part.num_examples for part in parts):
            return None
        places, is_same = find(rows["key"], images["key"])
        before = rows[np.where(is_same, places, 0)]
        is_same &= (before["picture"] == images["picture"]) & (images["picture"] != UNKNOWN)
        with_masks = (before["masks"] == images["masks"]) & (images["masks"] != UNKNOWN)
        sound = self._sound(parts) if is_same.any() else None
        return Match(sound, np.where(is_same, places, -1), is_same & with_masks) if sound else None

    def _between(self, first: int, last: int, form: str, split: str) -> Iterator[BuiltPart]:
        """Yields the parts of some buckets, in order."""
        for bucket in range(first, last + 1):
            for part, _ in self.parts.get(bucket, ()):
                if (part.format, part.split) == (form, split):
                    yield part

    def _rows(self, parts: Iterable[BuiltPart]) -> np.ndarray:
        """Returns the lineage rows of parts, (n,) of `ROW`.

        Raises:
            ValueError: A part's bytes have changed.
        """
        pieces = [np.empty(0, ROW)]
        for part in parts:
            assert part.origin is not None
            with files.open_file(part.path, self.options, part.bytes, part.origin.bytes) as file:
                data = files.read_at(file, part.origin.start, part.bytes)
            crc = Crc32()
            crc.update(data)
            if crc.hexdigest() != part.crc32:
                raise ValueError(f"{part.path}: its bytes have changed")
            pieces.append(np.frombuffer(data, ROW))
        return np.concatenate(pieces)

    def _sound(self, parts: list[BuiltPart]) -> list[BuiltPart] | None:
        """Returns the parts, where they stay; None if one isn't as it was written.

        Objects were checked by their ETags; local shards are read.
        """
        if is_remote(self.folder):
            return parts
        try:
            linked = [part._replace(path=link_into(self.work, part.path)) for part in parts]
        except OSError:
            return None
        return linked if all(map(is_sound, linked)) else None


def _read(folder: str, table: pa.Table, options: ObjectOptions) -> Iterator[_RecordedPart]:
    """Yields all parts but those in objects whose ETags have changed."""
    etags = None
    if is_remote(folder):
        etags = {status.path: status.version for status in files.walk(folder, options)}
    for name, rows in itertools.groupby(table.to_pylist(), key=lambda row: row["path"]):
        some = list(rows)
        path = os.path.join(folder, name)
        if os.path.isabs(name) or ".." in name.split("/"):
            continue  # which no build has written
        if etags is not None and (some[0]["etag"] is None or etags.get(path) != some[0]["etag"]):
            continue
        start = first = 0
        for number, row in enumerate(some):
            origin = Origin(
                number, len(some), start, first, row["size"], row["sha256"], row["footer"]
            )
            start += row["bytes"]
            first += row["num_examples"]
            own = {name: row[name] for name in _OF_PART}
            own |= {"path": path, "origin": origin, "dropped": tuple(row["dropped"])}
            yield _RecordedPart(BuiltPart(**own), row["digest"])


def link_into(folder: str, path: str) -> str:
    """Links a shard into a folder of this build, where nobody removes it; returns the link.

    It is the same each time.

    Raises:
        OSError: it isn't there, can't be linked, or is no regular file.
    """
    link = os.path.join(folder, f"of-before-{xxhash.xxh3_128_hexdigest(path.encode())}")
    with contextlib.suppress(FileExistsError):
        os.link(path, link, follow_symlinks=False)
    if not stat.S_ISREG(os.lstat(link).st_mode):
        raise OSError(errno.EPERM, "is no regular file", path)
    return link


def is_sound(part: BuiltPart) -> bool:
    """Returns whether the bytes of a part with an origin, in a local shard, are as written."""
    crc = Crc32()
    try:
        for data in find_format(part.format).read_body(part):
            crc.update(data)
    except _DAMAGE:
        return False
    return crc.hexdigest() == part.body


@functools.lru_cache(maxsize=_SHARDS)
def open_shard(path: str, _sha256: str, options: ObjectOptions) -> pq.ParquetFile:
    """Returns a Parquet shard of the version before, which stays open."""
    return pq.ParquetFile(files.open_file(path, options, _READ_BYTES))


def take_out(part: BuiltPart, path: str, options: ObjectOptions) -> BuiltPart:
    """Writes a part with an origin to a local file; returns the part as it is there.

    Raises:
        OSError, StorageError: The shard can't be read.
        ValueError: It isn't as it was written.
    """
    with open(path, "wb") as file:
        find_format(part.format).extract(part, file, options)
    return part._replace(path=path, origin=None)
