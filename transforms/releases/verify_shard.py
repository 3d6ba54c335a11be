"""One shard of a version, looked at from its first to its last byte."""

import io
import os
import warnings
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from transforms.dataset.failures import PixelError, Reason
from transforms.dataset.keys import image_keys
from transforms.examples.imaging.decode import verify_pixels
from transforms.examples.imaging.header import PILLOW_ERRORS, check_picture
from transforms.formats.format import FormatError, Picture
from transforms.formats.registry import find_format
from transforms.releases.shard_files import local_copy, sha256_of
from transforms.releases.verify_agreement import Tally
from transforms.storage.stores import ObjectOptions
from transforms.wording import counted


class ShardTask(NamedTuple):
    """A shard to look at.

    Attributes:
        folder: of the version.
        path: below it.
        form: of `registry.FORMATS`.
        split: it is of.
        sha256: that it should have.
        num_examples: likewise.
        schema: what the version says its examples consist of, in this format.
        columns: those by which examples are compared between formats.
        compare: whether examples' checksums are wanted.
        count: whether annotations are to be counted.
        sample: which examples' pictures to decode, by position, ascending; (k,) int64.
        options: how object stores are reached.
        strict: whether the build decoded pictures in full, so that damage in one is a problem.
    """

    folder: str
    path: str
    form: str
    split: str
    sha256: str
    num_examples: int
    schema: Mapping[str, str]
    columns: tuple[str, ...]
    compare: bool
    count: bool
    sample: np.ndarray
    options: ObjectOptions
    strict: bool = False


class ShardReport(NamedTuple):
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

    problems: list[str]
    damaged: list[str]
    keys: np.ndarray
    checksums: np.ndarray
    pictures: int
    annotations: Counter[str]
    readable: bool


class _Found(NamedTuple):
    """Of some examples: their ImageIDs, checksums, and how many are of the shard's split."""

    ids: pa.Array
    checksums: np.ndarray
    of_split: int


def check_shard(task: ShardTask) -> ShardReport:
    """Looks at a shard's bytes, schema, order and pictures.

    Raises:
        StorageError: The object store can't be read.
        OSError: A file can't be read.
    """
    nothing = np.empty(0, np.uint64)
    with local_copy(os.path.join(task.folder, task.path), task.options) as path:
        sha256 = sha256_of(path)
        if sha256 != task.sha256:
            # No reader is to be trusted with damaged data, and no more is to be learnt.
            problem = f"its SHA-256 is {sha256}, not {task.sha256}: its bytes have changed"
            return ShardReport([problem], [], nothing, nothing, 0, Counter(), readable=False)
        problems: list[str] = []
        damaged: list[str] = []
        found: list[_Found] = []
        annotations: Counter[str] = Counter()
        pictures = first = 0
        try:
            for examples in find_format(task.form).read(path, task.columns, task.schema):
                ids = examples.image_ids
                wanted = _within(task.sample, first, len(ids))
                pictures += len(wanted)
                for row in wanted:
                    problem, its_damage = _judge_picture(examples.picture(row), task.strict)
                    problems += [problem] if problem else []
                    damaged += [its_damage] if its_damage else []
                if task.count:
                    annotations += examples.count_annotations()
                checksums = examples.checksums() if task.compare else nothing
                found.append(_Found(ids, checksums, examples.count_in_split(task.split)))
                first += len(ids)
        except (FormatError, pa.ArrowException) as error:
            problems.append(str(error).partition("\n")[0])
            return ShardReport(
                problems, [], nothing, nothing, pictures, annotations, readable=False
            )
    count = sum(len(some.ids) for some in found)
    if count != task.num_examples:
        problems.append(
            f"has {counted(count, 'example')}, and {task.num_examples:,} by the manifest"
        )
    strangers = count - sum(some.of_split for some in found)
    if strangers:
        problems.append(f"{strangers:,} of its examples aren't of {task.split}")
    keys, ordered = _ordered_keys([some.ids for some in found], problems)
    all_checksums = np.concatenate([nothing, *(some.checksums for some in found)])
    if task.compare:
        all_checksums = all_checksums[ordered]
    return ShardReport(problems, damaged, keys, all_checksums, pictures, annotations, readable=True)


def find_example(task: ShardTask, image_id: str) -> dict[str, Any] | None:
    """Returns the features of an image; None where it isn't in this shard, which was sound."""
    with local_copy(os.path.join(task.folder, task.path), task.options) as path:
        for examples in find_format(task.form).read(path, task.columns, task.schema):
            row = pc.index(examples.image_ids, image_id).as_py()
            if row >= 0:
                return examples.features(row)
    return None


def _within(sample: np.ndarray, first: int, count: int) -> list[int]:
    start, stop = np.searchsorted(sample, [first, first + count])
    return (sample[start:stop] - first).tolist()


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
    """Ascending keys, and which example each is of; says where they didn't ascend."""
    pairs = [image_keys(some) for some in ids]
    keys = np.concatenate([np.empty(0, np.uint64), *(keys for keys, _ in pairs)])
    bad = sum(int((~valid).sum()) for _, valid in pairs)
    if bad:
        problems.append(f"{bad:,} ImageIDs aren't 16 hex digits")
    ordered = np.arange(len(keys))
    if (keys[1:] < keys[:-1]).any():
        count = int((keys[1:] < keys[:-1]).sum())
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
