"""Checks one shard of a version, every byte of it."""

import contextlib
import dataclasses
import io
import os
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from transforms.dataset.failures import PixelError, Reason
from transforms.dataset.keys import image_keys
from transforms.examples.imaging.decode import verify_pixels
from transforms.examples.imaging.header import PILLOW_ERRORS, check_picture
from transforms.formats.format import FormatError, ListedFile, Picture
from transforms.formats.registry import find_format
from transforms.releases.manifest import ShardFile
from transforms.releases.merging import within
from transforms.releases.shard_files import local_copy, sha256_of
from transforms.releases.verify_agreement import Stream, Tally
from transforms.storage.objects import AbsentError
from transforms.storage.stores import ObjectOptions
from transforms.wording import counted


class ShardTask(NamedTuple):
    """A shard to check.

    Attributes:
        folder: of the version.
        split: of the shard.
        shard: its entry in the manifest.
        schema: that the version records for this format.
        columns: those by which examples are compared between formats.
        compare: whether examples' checksums are wanted.
        count: whether annotations are to be counted.
        sample: which examples' pictures to decode, by position, ascending; (k,) int64.
        options: how object stores are reached.
        strict: whether the build decoded pictures in full, so that damage in one is a problem.
    """

    folder: str
    split: str
    shard: ShardFile
    schema: Mapping[str, str]
    columns: tuple[str, ...]
    compare: bool
    count: bool
    sample: np.ndarray
    options: ObjectOptions
    strict: bool = False

    @property
    def stream(self) -> Stream:
        """Its split and format."""
        return self.split, self.shard.format


def _nothing() -> np.ndarray:
    return np.empty(0, np.uint64)


@dataclasses.dataclass
class ShardReport:
    """The findings in a shard.

    Attributes:
        problems: a line each, without the path.
        damaged: a line for each damaged picture that isn't a problem, without the path.
        keys: of its examples, ascending; (n,) uint64. Empty where it couldn't be read.
        checksums: of these; (n,) uint64, or empty.
        pictures: how many were decoded, or should have been.
        annotations: how many annotations each column has, if they are counted.
        readable: whether all examples are in `keys`.
    """

    problems: list[str] = dataclasses.field(default_factory=list)
    damaged: list[str] = dataclasses.field(default_factory=list)
    keys: np.ndarray = dataclasses.field(default_factory=_nothing)
    checksums: np.ndarray = dataclasses.field(default_factory=_nothing)
    pictures: int = 0
    annotations: Counter[str] = dataclasses.field(default_factory=Counter)
    readable: bool = True


def check_shard(task: ShardTask) -> ShardReport:
    """Checks a shard's bytes, schema, order and pictures.

    Raises:
        StorageError: The object store can't be read.
        OSError: A file can't be read.
    """
    shard, report = task.shard, ShardReport()
    ids, checksums, strangers = [], [_nothing()], 0
    with local_copy(os.path.join(task.folder, shard.path), task.options) as path:
        try:
            sha256 = sha256_of(path)
            if sha256 != shard.sha256:
                # No reader is to be trusted with damaged data, and no more is to be learnt.
                raise FormatError(
                    f"its SHA-256 is {sha256}, not {shard.sha256}: its bytes have changed"
                )
            form = find_format(shard.format)
            report.problems += _check_listed(task, form.listed_files(path))
            for examples in form.read(path, task.columns, task.schema):
                ids.append(examples.image_ids)
                first = sum(map(len, ids[:-1]))
                wanted = within(task.sample, first, len(ids[-1])).tolist()
                report.pictures += len(wanted)
                for row in wanted:
                    problem, damage = _judge_picture(examples.picture(row), task.strict)
                    report.problems += [problem] if problem else []
                    report.damaged += [damage] if damage else []
                if task.count:
                    report.annotations += examples.count_annotations()
                if task.compare:
                    checksums.append(examples.checksums())
                strangers += len(ids[-1]) - examples.count_in_split(task.split)
        except (FormatError, pa.ArrowException) as error:
            report.problems.append(str(error).partition("\n")[0])
            report.damaged.clear()
            report.readable = False
            return report
    count = sum(map(len, ids))
    if count != shard.num_examples:
        report.problems.append(
            f"has {counted(count, 'example')}, and {shard.num_examples:,} by the manifest"
        )
    if strangers:
        report.problems.append(f"{strangers:,} of its examples aren't of {task.split}")
    report.keys, ordered = _ordered_keys(ids, report.problems)
    if task.compare:
        report.checksums = np.concatenate(checksums)[ordered]
    return report


def _check_listed(task: ShardTask, listed: Iterable[ListedFile]) -> Iterator[str]:
    """Yields a line for each file that a shard lists and that has changed."""
    for file in listed:
        with contextlib.suppress(FileNotFoundError, AbsentError):  # `check_files` has a line for it
            sha256 = sha256_of(os.path.join(task.folder, file.path), task.options)
            if sha256 != file.sha256:
                yield f"{file.path}: its SHA-256 is {sha256}, not {file.sha256}: it has changed"


def find_example(task: ShardTask, image_id: str) -> dict[str, Any] | None:
    """Returns the features of an image; None where it isn't in this shard, which was sound."""
    with local_copy(os.path.join(task.folder, task.shard.path), task.options) as path:
        for examples in find_format(task.shard.format).read(path, task.columns, task.schema):
            row = pc.index(examples.image_ids, image_id).as_py()
            if row >= 0:
                return examples.features(row)
    return None


def _judge_picture(picture: Picture, strict: bool) -> tuple[str, str]:
    """Decodes a picture.

    Returns:
        The problem, and the damage that is no problem since the build didn't look for it (unless
        `strict`); each one line, or empty.
    """
    image_id, data, size = picture
    try:
        found, damage = _decode(data or b"")
    except PixelError as error:
        return f"the picture of {image_id} doesn't decode: {error}", ""
    if damage and strict:
        return f"the picture of {image_id} doesn't decode: {damage}", ""
    if found != size:
        return f"the picture of {image_id} is {_by(found)}, and by its row {_by(size)}", ""
    return "", f"the picture of {image_id} is damaged: {damage}" if damage else ""


def _decode(data: bytes) -> tuple[tuple[int, int], str]:
    """Decodes a picture in full; returns its width and height, and its damage or an empty text.

    Raises:
        PixelError: No build accepts it.
    """
    if data.startswith(b"RIFF"):  # WebP, which a build may write, and never reads
        try:
            return _load(data, "WEBP"), ""
        except PILLOW_ERRORS:
            pass  # `check_picture` raises for it
    header = check_picture(data)
    damage = ""
    try:
        verify_pixels(data, header)
    except PixelError as error:
        damage = str(error)
        if error.reason != Reason.TOO_MANY_PIXELS:
            try:
                _load(data, header.format)
            except PILLOW_ERRORS:
                damage += ", and Pillow can't decode it"
    return (header.width, header.height), damage


def _load(data: bytes, form: str) -> tuple[int, int]:
    """Decodes a picture by Pillow, as most readers do; returns its width and height."""
    with (
        warnings.catch_warnings(action="ignore"),
        Image.open(io.BytesIO(data), formats=[form]) as picture,
    ):
        picture.load()
        return picture.size


def _by(size: tuple[int | None, int | None]) -> str:
    return " x ".join(map(str, size))


def _ordered_keys(ids: list[pa.Array], problems: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Returns the keys in order, (n,) uint64, and the places of their examples, (n,) int64.

    Bad ids, and keys that don't ascend or occur twice, are added to `problems`.
    """
    pairs = [image_keys(some) for some in ids]
    keys = np.concatenate([np.empty(0, np.uint64), *(keys for keys, _ in pairs)])
    valid = np.concatenate([np.empty(0, bool), *(valid for _, valid in pairs)])
    if bad := int((~valid).sum()):
        problems.append(f"{bad:,} ImageIDs aren't 16 hex digits")
        # They have no key: one that is in order doesn't make others look misplaced.
        keys = np.where(valid, keys, np.maximum.accumulate(np.where(valid, keys, 0)) + 1)
    ordered = np.arange(len(keys))
    if count := int((keys[1:] < keys[:-1]).sum()):
        problems.append(
            f"isn't in the order of the hashes of ImageIDs, at {counted(count, 'place')}"
        )
        ordered = np.argsort(keys, kind="stable")
        keys = keys[ordered]
    again = Tally()
    again.add(keys[1:][keys[1:] == keys[:-1]])
    if again.count:
        problems.append(f"{again} is there more than once")
    return keys, ordered
