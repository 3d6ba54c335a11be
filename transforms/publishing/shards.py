"""Shards from parts: which parts make a shard, and putting them together."""

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import NamedTuple

import pyarrow.parquet as pq

from transforms.elements import BuiltPart, Shard
from transforms.outputs import naming, parquet_concat, tfrecord
from transforms.outputs.part import Crc32, HashingFile
from transforms.storage import files
from transforms.storage.objects import is_remote
from transforms.storage.stores import ObjectOptions

#: A shard may exceed its target by this much before another is begun.
_SLACK = 1.25
#: A part of this fraction of the target is a shard by itself: to put it together with others would
#: mean to write all of it once more.
_ALONE = 1 / 8
_DOWNLOAD_BYTES = 8 << 20
_READ_BYTES = 256 << 10  # which stay in the cache while they are checked, hashed and written


class ShardPlan(NamedTuple):
    """A shard to be made of consecutive parts."""

    form: str
    split: str
    index: int
    shards: int
    parts: tuple[BuiltPart, ...]


class DamagedPartError(Exception):
    """What was read back isn't what was written."""


def plan_shards(parts: Iterable[BuiltPart], shard_size: int) -> Iterator[ShardPlan]:
    """Groups the parts of each format and split, in key order, into shards.

    A part of an eighth of `shard_size` or more is a shard by itself; smaller neighbours are put
    together to shards of about `shard_size`.
    """
    ordered = sorted(parts)
    for (form, split), some in groupby(ordered, key=lambda part: (part.format, part.split)):
        shards: list[list[BuiltPart]] = []
        room = 0.0
        for part in some:
            alone = part.bytes >= shard_size * _ALONE
            if alone or part.bytes > room:
                shards.append([])
                room = shard_size * _SLACK
            shards[-1].append(part)
            room = 0 if alone else room - part.bytes
        for index, group in enumerate(shards):
            yield ShardPlan(form, split, index, len(shards), tuple(group))


def seal_shard(
    plan: ShardPlan, folder: str, release: str, options: ObjectOptions = files.DEFAULTS
) -> Shard:
    """Makes a shard of its parts, having read every byte of them back.

    Args:
        plan: the shard.
        folder: the version's folder, local or in an object store; so may the parts be.
        release: names the TFDS config.
        options: how object stores are reached.

    Raises:
        DamagedPartError: A part's checksum or number of examples isn't what its writer reported.
        StorageError: The object store can't be read, or written to.
    """
    path = naming.shard_path(plan.form, release, plan.split, plan.index, plan.shards)
    num_examples = sum(part.num_examples for part in plan.parts)
    with contextlib.ExitStack() as stack:
        scratch = os.path.dirname(plan.parts[0].path)
        if is_remote(scratch):
            scratch = stack.enter_context(tempfile.TemporaryDirectory())
            local = tuple(_download(part, scratch, options) for part in plan.parts)
            plan = plan._replace(parts=local)
        attempt = stack.enter_context(files.staged(os.path.join(folder, path), scratch, options))
        size, sha256 = _put_together(plan, attempt)
        if count_examples(plan.form, attempt) != num_examples:
            raise DamagedPartError(f"{path}: not the number of examples that its parts have")
    return Shard(plan.form, plan.split, plan.index, path, num_examples, size, sha256)


def _download(part: BuiltPart, folder: str, options: ObjectOptions) -> BuiltPart:
    """Copies a part from an object store."""
    path = os.path.join(folder, os.path.basename(part.path))
    with (
        files.open_file(part.path, options, buffer_size=_DOWNLOAD_BYTES) as source,
        open(path, "wb") as copy,
    ):
        shutil.copyfileobj(source, copy, _DOWNLOAD_BYTES)
    return part._replace(path=path)


def _put_together(plan: ShardPlan, attempt: str) -> tuple[int, str]:
    """Makes a file of verified parts; its size and SHA-256."""
    digest = hashlib.sha256()
    if len(plan.parts) == 1:
        (part,) = plan.parts
        _read_back(part, digest.update)
        os.link(part.path, attempt)
        return part.bytes, digest.hexdigest()
    with files.create_lasting_file(attempt) as raw:
        file = HashingFile(raw, digest)
        for part in plan.parts:
            # TFRecords stand end to end, whatever file they are in.
            _read_back(part, file.write if plan.form == "tfrecord" else None)
        if plan.form == "parquet":
            parquet_concat.concatenate([part.path for part in plan.parts], file)
        return file.tell(), file.digest


def count_examples(form: str, path: str) -> int:
    """How many examples a shard holds, by its own account."""
    if form == "parquet":
        return pq.read_metadata(path).num_rows
    return tfrecord.count_records(path)


def _read_back(part: BuiltPart, take: Callable[[memoryview], object] | None = None) -> None:
    """Reads a part to its end, and verifies it; `take` is given its bytes on the way."""
    crc = Crc32()
    room = memoryview(bytearray(_READ_BYTES))
    with open(part.path, "rb", buffering=0) as file:
        while count := file.readinto(room):
            crc.update(room[:count])
            if take:
                take(room[:count])
    if crc.hexdigest() != part.crc32:
        raise DamagedPartError(
            f"{part.path}: was not read back as it was written; is the disk sound?"
        )
