"""Shards from parts: which parts make a shard, and putting them together."""

import contextlib
import hashlib
import os
import uuid
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import NamedTuple

import pyarrow.parquet as pq

from transforms.elements import BuiltPart, Shard
from transforms.outputs import naming, parquet_concat, tfrecord
from transforms.outputs.part import HashingFile

#: A shard may exceed its target by this much before another is begun.
_SLACK = 1.25
_READ_BYTES = 4 << 20


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
    """Groups the parts of each format and split, in key order, into shards of that many bytes."""
    ordered = sorted(parts)
    for (form, split), some in groupby(ordered, key=lambda part: (part.format, part.split)):
        shards: list[list[BuiltPart]] = []
        size = 0
        for part in some:
            if not shards or size + part.bytes > shard_size * _SLACK:
                shards.append([])
                size = 0
            shards[-1].append(part)
            size += part.bytes
        for index, group in enumerate(shards):
            yield ShardPlan(form, split, index, len(shards), tuple(group))


def seal_shard(plan: ShardPlan, folder: str, release: str) -> Shard:
    """Makes a shard of its parts, having read every byte of them back.

    Args:
        plan: the shard.
        folder: the version's folder.
        release: names the TFDS config.

    Raises:
        DamagedPartError: A part's checksum or number of examples isn't what its writer reported.
    """
    for part in plan.parts:
        _verify(part)
    path = naming.shard_path(plan.form, release, plan.split, plan.index, plan.shards)
    target = os.path.join(folder, path)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    attempt = f"{target}.{uuid.uuid4().hex}"
    num_examples = sum(part.num_examples for part in plan.parts)
    if len(plan.parts) == 1:
        os.link(plan.parts[0].path, attempt)
        size, sha256 = plan.parts[0].bytes, plan.parts[0].sha256
    else:
        concatenate = parquet_concat.concatenate if plan.form == "parquet" else tfrecord.concatenate
        with open(attempt, "wb") as raw:
            file = HashingFile(raw)
            concatenate([part.path for part in plan.parts], file)
            size, sha256 = file.tell(), file.sha256
    if count_examples(plan.form, attempt) != num_examples:
        raise DamagedPartError(f"{path}: not the number of examples that its parts have")
    with open(attempt, "rb") as file:
        os.fsync(file.fileno())
    os.replace(attempt, target)
    with contextlib.suppress(FileNotFoundError):
        # Where a retry finds the link of the attempt before, replacing it by another does nothing.
        os.remove(attempt)
    return Shard(plan.form, plan.split, plan.index, path, num_examples, size, sha256)


def count_examples(form: str, path: str) -> int:
    """How many examples a shard holds, by its own account."""
    if form == "parquet":
        return pq.read_metadata(path).num_rows
    return tfrecord.count_records(path)


def _verify(part: BuiltPart) -> None:
    digest = hashlib.sha256()
    with open(part.path, "rb") as file:
        while data := file.read(_READ_BYTES):
            digest.update(data)
    if digest.hexdigest() != part.sha256:
        raise DamagedPartError(
            f"{part.path}: was not read back as it was written; is the disk sound?"
        )
