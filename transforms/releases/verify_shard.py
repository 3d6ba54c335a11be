"""One shard of a version, looked at from its first to its last byte."""

import io
import os
import warnings
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from PIL import Image

from transforms.dataset.failures import PixelError, Reason
from transforms.dataset.keys import image_keys
from transforms.dataset.schema import ANNOTATION_COLUMNS, EXAMPLE, count_annotations
from transforms.examples.imaging.decode import verify_pixels
from transforms.examples.imaging.header import PILLOW_ERRORS, check_picture
from transforms.releases.example_checksums import (
    checksum,
    feature_kinds,
    row_checksums,
    row_features,
)
from transforms.releases.records import (
    Feature,
    RecordError,
    count_values,
    entry_bounds,
    key_prefix,
    parse_example,
    read_records,
)
from transforms.releases.shard_files import local_copy, read_batches, sha256_of
from transforms.releases.verify_agreement import Tally
from transforms.storage.stores import ObjectOptions
from transforms.wording import counted

_BATCH_RECORDS = 4096

#: Column of annotations to the feature of its first text, which has one value an annotation.
_COUNTED = {
    column: next(f"{column}/{field.name}" for field in dtype if pa.types.is_string(field.type))
    for column, dtype in ANNOTATION_COLUMNS.items()
}


class ShardTask(NamedTuple):
    """A shard to look at.

    Attributes:
        folder: of the version.
        path: below it.
        form: of `naming.FORMATS`.
        split: it is of.
        sha256: that it should have.
        num_examples: likewise.
        columns: of `EXAMPLE`, which features come from.
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
    columns: tuple[str, ...]
    compare: bool
    count: bool
    sample: np.ndarray
    options: ObjectOptions
    strict: bool = False


class ShardReport(NamedTuple):
    """What a shard holds.

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


class _Rows(NamedTuple):
    """Some examples: their ImageIDs, checksums, samples whose pictures are to be decoded, and how
    many annotations each column has."""

    ids: pa.Array
    checksums: np.ndarray
    of_split: int
    samples: list[tuple[str, bytes | None, tuple[int, int]]]
    annotations: Counter[str]


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
        rows = _parquet_rows(path, task) if task.form == "parquet" else _record_rows(path, task)
        found: list[_Rows] = []
        annotations: Counter[str] = Counter()
        pictures = 0
        try:
            for some in rows:
                pictures += len(some.samples)
                for sample in some.samples:
                    problem, its_damage = _judge_picture(*sample, task.strict)
                    problems += [problem] if problem else []
                    damaged += [its_damage] if its_damage else []
                annotations += some.annotations
                found.append(some._replace(samples=[]))
        except (RecordError, pa.ArrowException, _SchemaError) as error:
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


def find_example(task: ShardTask, image_id: str) -> dict[str, Feature] | None:
    """The features of an image, or None where it isn't in this shard, which was sound."""
    with local_copy(os.path.join(task.folder, task.path), task.options) as path:
        if task.form == "parquet":
            for table in read_batches(path):
                row = pc.index(table["image_id"], image_id).as_py()
                if row >= 0:
                    return row_features(table, row, task.columns)
            return None
        wanted = image_id.encode()
        examples = map(parse_example, read_records(path))
        return next((found for found in examples if found["image_id"].values == [wanted]), None)


class _SchemaError(Exception):
    """Columns aren't those of an example."""


def _parquet_rows(path: str, task: ShardTask) -> Iterator[_Rows]:
    _check_schema(pq.read_schema(path))
    first = 0
    for table in read_batches(path):
        wanted = _within(task.sample, first, len(table))
        yield _Rows(
            table["image_id"].chunk(0),
            row_checksums(table, task.columns) if task.compare else np.empty(0, np.uint64),
            pc.sum(pc.equal(table["split"], task.split)).as_py() or 0,
            [_sample_of_row(table, row) for row in wanted],
            count_annotations(table) if task.count else Counter(),
        )
        first += len(table)


def _check_schema(schema: pa.Schema) -> None:
    if schema.equals(EXAMPLE) and schema.metadata == EXAMPLE.metadata:
        return
    for field in EXAMPLE:
        place = schema.get_field_index(field.name)
        if place < 0:
            raise _SchemaError(f"lacks the column {field.name}")
        if schema.field(place) != field:
            raise _SchemaError(f"the column {field.name} is {schema.field(place).type}")
    raise _SchemaError("its columns, or what is said of them, aren't those of an example")


def _sample_of_row(table: pa.Table, row: int) -> tuple[str, bytes | None, tuple[int, int]]:
    example = table.select(["image_id", "image", "width", "height"]).slice(row, 1).to_pylist()[0]
    size = (example["width"], example["height"])
    return example["image_id"], (example["image"] or {}).get("bytes"), size


def _record_rows(path: str, task: ShardTask) -> Iterator[_Rows]:
    kinds = feature_kinds(task.columns)
    names = list(kinds)
    prefixes = [key_prefix(name) for name in names]
    image_id, split = names.index("image_id"), names.index("split")
    its_split = _text_entry("split", task.split)
    sampled = set(task.sample.tolist())
    ids: list[bytes] = []
    found: list[int] = []
    samples = []
    of_split = 0
    annotations: Counter[str] = Counter()
    counted = {column: names.index(name) for column, name in _COUNTED.items() if task.count}

    def rows() -> _Rows:
        checksums_of = np.array(found, np.uint64)
        return _Rows(pa.array(ids, pa.string()), checksums_of, of_split, samples, annotations)

    for place, record in enumerate(read_records(path)):
        try:
            bounds = entry_bounds(record, prefixes)
            of_split += record[bounds[split] : bounds[split + 1]] == its_split
            entry = record[bounds[image_id] : bounds[image_id + 1]]
            (name,) = parse_example(_message(entry))["image_id"].values
            if place == 0:
                _check_kinds(parse_example(record), kinds)
            for column, at in counted.items():
                annotations[column] += count_values(record[bounds[at] : bounds[at + 1]])
            if place in sampled:
                samples.append(_sample_of_record(name, parse_example(record)))
        except ValueError as error:
            raise RecordError(f"example {place}: {error}") from None
        ids.append(name)
        if task.compare:
            found.append(checksum(record))
        if len(ids) == _BATCH_RECORDS:
            yield rows()
            ids, found, samples, of_split, annotations = [], [], [], 0, Counter()
    yield rows()


def _message(entry: bytes) -> bytes:
    """An example with this entry alone, which is short."""
    return bytes((0x0A, len(entry))) + entry


def _text_entry(name: str, value: str) -> bytes:
    """The entry of a feature of one short text."""
    texts = bytes((0x0A, len(value))) + value.encode()
    feature = bytes((0x0A, len(texts))) + texts
    content = key_prefix(name) + bytes((len(feature),)) + feature
    return bytes((0x0A, len(content))) + content


def _check_kinds(example: dict[str, Feature], kinds: dict[str, int]) -> None:
    for name, feature in example.items():
        if feature.kind != kinds[name]:
            raise RecordError(f"the feature {name} is of kind {feature.kind}")


def _sample_of_record(
    name: bytes, example: dict[str, Feature]
) -> tuple[str, bytes | None, tuple[int, int]]:
    image = example["image"].values
    size = (int(example["width"].values[0]), int(example["height"].values[0]))
    return name.decode(errors="replace"), image[0] if image else None, size


def _within(sample: np.ndarray, first: int, count: int) -> list[int]:
    start, stop = np.searchsorted(sample, [first, first + count])
    return (sample[start:stop] - first).tolist()


def _judge_picture(
    image_id: str, data: bytes | None, size: tuple[int, int], strict: bool
) -> tuple[str, str]:
    """Decodes a picture.

    Returns:
        The problem, and the damage that is no problem since the build didn't look for it (unless
        `strict`); each one line, or empty.
    """
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


def _by(size: tuple[int, int]) -> str:
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
