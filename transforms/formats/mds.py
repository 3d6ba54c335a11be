"""MDS as an output format, for MosaicML Streaming (https://github.com/mosaicml/streaming).

A shard is the number of its samples n, n + 1 offsets of samples from its start, and of the last
one's end, all uint32 in little-endian order; the columns as JSON; and the samples. A sample is the
sizes of its values, uint32 each, and the values, in the order of the columns' names
(streaming/base/format/mds, `MDSWriter.encode_joint_shard` and `encode_sample`). All columns have
values of any size.

What precedes the samples depends on all of them, so a part has it at its end: samples, then the
JSON, the size of each sample, their number, and the size of the JSON. Sealing puts it in front.
"""

import itertools
import json
import os
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from operator import eq
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.dataset.elements import BuiltPart, in_one_piece
from transforms.formats import described, json_text, samples
from transforms.formats.format import (
    Content,
    ExampleWriter,
    Format,
    FormatError,
    NewFiles,
    Schema,
    Shards,
    ShardSize,
    open_shard,
    pieces,
)
from transforms.formats.label_numbers import label_numbers
from transforms.formats.part import Crc32, HashingFile, Part, StoredPart
from transforms.formats.settings import FormatSettings
from transforms.formats.tables import TableExamples
from transforms.formats.tfrecord import wire
from transforms.storage.stores import ObjectOptions

_VERSION = 2
_UINT = np.dtype("<u4")
_PART_END = struct.Struct("<II")
_PICTURE = "image"
#: Columns that `EXAMPLE` has not: the picture's path, and numbers of classes.
_PATH, _LABELS = "image_path", "label_numbers"
#: Columns that are texts; others but pictures are JSON.
_TEXTS = ("image_id", "split", _PATH)
#: By which readers decode values. Pillow decodes those of `jpeg`, whatever their format is.
_JPEG, _PNG, _TEXT, _JSON = "jpeg", "png", "str", "json"


class MdsWriter(ExampleWriter):
    """Writes samples to a part."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._encodings = _encodings(self._content.columns)
        self._sizes: list[np.ndarray] = []

    def write(self, table: pa.Table) -> None:
        for start in range(0, len(table), samples.SLICE_ROWS):
            encoded = self._encode(table.slice(start, samples.SLICE_ROWS))
            self._sizes.append(encoded.sizes.astype(_UINT))
            for data in wire.interleave(encoded):
                self._file.write(data)
        self._rows += len(table)

    def _encode(self, table: pa.Table) -> wire.Messages:
        values = [self._values(table, name) for name in self._encodings]
        sizes = np.stack([np.diff(wire.bounds(each)) for each in values], axis=1)
        rows, columns = sizes.shape
        head = wire.binary(
            np.ascontiguousarray(sizes, _UINT).view(np.uint8),
            np.arange(rows + 1) * columns * _UINT.itemsize,
        )
        return wire.concatenate(*map(wire.raw, [head, *values]))

    def _values(self, table: pa.Table, name: str) -> pa.LargeBinaryArray:
        if name == _LABELS:
            labels = in_one_piece(table["image_labels"])
            numbers = label_numbers(labels, self._content.classes.index)
            return samples.text_bytes(json_text.encode(numbers))
        if name == _PATH:
            return samples.text_bytes(pc.struct_field(in_one_piece(table[_PICTURE]), "path"))
        if samples.is_picture(name):
            return samples.picture_bytes(table, name)
        column = in_one_piece(table[name])
        return samples.text_bytes(column if name in _TEXTS else json_text.encode(column))

    def close(self) -> Part:
        body = self._file.digest
        _write_part_end(self._file, _config(self._encodings), self._sizes)
        return super().close()._replace(body=body)


def _encodings(columns: Sequence[str]) -> dict[str, str]:
    """Returns the encoding of each column of samples, in the order of their names.

    Args:
        columns: of `EXAMPLE` that the dataset fills.
    """
    found = dict.fromkeys([*columns, _LABELS], _JSON)
    if _PICTURE in columns:
        found[_PATH] = _TEXT
    for name in columns:
        if samples.is_picture(name):
            found[name] = _JPEG if name == _PICTURE else _PNG
        elif name in _TEXTS:
            found[name] = _TEXT
    return dict(sorted(found.items()))


def _describe_columns(encodings: Mapping[str, str]) -> dict[str, Any]:
    """Returns what a shard and the index say of the columns."""
    return {
        "column_encodings": [*encodings.values()],
        "column_names": [*encodings],
        "column_sizes": [None] * len(encodings),
        "compression": None,
        "format": "mds",
        "hashes": ["sha256"],
        "size_limit": None,
        "version": _VERSION,
    }


def _config(encodings: Mapping[str, str]) -> bytes:
    return json.dumps(_describe_columns(encodings), sort_keys=True).encode()


def _write_part_end(
    file: HashingFile | BinaryIO, config: bytes, sizes: Sequence[np.ndarray]
) -> None:
    """Writes what follows the samples of a part.

    Args:
        file: the part.
        config: the columns as JSON.
        sizes: of the samples in order, in arrays of uint32.
    """
    file.write(config)
    for some in sizes:
        file.write(some.tobytes())
    file.write(_PART_END.pack(sum(map(len, sizes)), len(config)))


class _PartEnd(NamedTuple):
    """The columns as JSON, the size of each sample, and where they begin in the part."""

    config: bytes
    sizes: np.ndarray
    start: int


def _read_part_end(path: str) -> _PartEnd:
    """Reads the end of a part that was verified."""
    with open(path, "rb") as file:
        file.seek(-_PART_END.size, os.SEEK_END)
        count, config_bytes = _PART_END.unpack(file.read())
        size = config_bytes + count * _UINT.itemsize
        start = file.seek(-_PART_END.size - size, os.SEEK_END)
        data = file.read(size)
    return _PartEnd(data[:config_bytes], np.frombuffer(data[config_bytes:], _UINT), start)


class _Shard:
    """A shard, by what precedes its samples.

    Attributes:
        header: the bytes of that.
        config: the columns as JSON.
        offsets: (n + 1,) int64, where samples begin, and the last one ends.
    """

    def __init__(self, file: BinaryIO, path: str) -> None:
        """Reads the start of an open shard.

        Raises:
            ValueError: It isn't one, or is cut; the message names it.
        """
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        first = file.read(_UINT.itemsize * 2)
        count, start = np.frombuffer(first.ljust(8, b"\0"), _UINT).tolist()
        table = (count + 2) * _UINT.itemsize
        if not table <= start <= size:
            raise ValueError(f"{path} is no MDS shard")
        self.header = first + file.read(start - len(first))
        self.config = self.header[table:]
        self.offsets = np.frombuffer(self.header[_UINT.itemsize : table], _UINT).astype(np.int64)
        if self.offsets[-1] != size or (np.diff(self.offsets) < 0).any():
            raise ValueError(f"{path} is an MDS shard that is cut or damaged")

    @property
    def checksum(self) -> str:
        """CRC-32 of what precedes the samples."""
        crc = Crc32()
        crc.update(self.header)
        return crc.hexdigest()


def _open(part: BuiltPart, shard: BinaryIO) -> tuple[_Shard, np.ndarray]:
    """Returns the shard that a part lies in, and the offsets of its samples there.

    Raises:
        ValueError: It isn't as it was written.
    """
    assert part.origin is not None
    found = _Shard(shard, part.path)
    if found.checksum != part.origin.footer:
        raise ValueError(f"{part.path}: its header has changed")
    return found, found.offsets[part.origin.row :][: part.num_examples + 1]


class Mds(Format):
    """A sample an example, with all of its columns."""

    name = "mds"
    writer = MdsWriter
    needs_classes = True
    parts_are_shards = False
    most_target_bytes = 3 << 30  # offsets have 32 bits

    def shard_path(self, settings: FormatSettings, split: str, index: int, shards: int) -> str:
        return f"mds/{split}/shard.{index:05d}.mds"

    def count(self, path: str) -> int:
        with open(path, "rb") as file:
            return len(_Shard(file, path).offsets) - 1

    def concatenate(
        self, parts: Iterable[StoredPart], destination: HashingFile, new_files: NewFiles
    ) -> None:
        paths = []
        for part in parts:
            part.read()
            paths.append(part.path)
        ends = [_read_part_end(path) for path in paths]
        config = ends[0].config
        sizes = np.concatenate([end.sizes for end in ends]).astype(np.int64)
        start = (len(sizes) + 2) * _UINT.itemsize + len(config)
        offsets = start + wire.offsets_of(sizes)
        if offsets[-1] > np.iinfo(_UINT).max:
            raise ValueError("a shard of mds holds 4 GiB: lower --shard_size")
        destination.write(np.append(len(sizes), offsets).astype(_UINT).tobytes())
        destination.write(config)
        for path, end in zip(paths, ends, strict=True):
            with open(path, "rb") as file:
                for data in pieces(file, 0, end.start):
                    destination.write(data)

    def footer_checksum(self, path: str) -> str:
        with open(path, "rb") as file:
            return _Shard(file, path).checksum

    def read_body(self, part: BuiltPart) -> Iterator[bytes]:
        with open(part.path, "rb") as file:
            _, offsets = _open(part, file)
            yield from pieces(file, offsets[0], offsets[-1] - offsets[0])

    def extract(self, part: BuiltPart, destination: BinaryIO, options: ObjectOptions) -> None:
        with open_shard(part, options) as file:
            shard, offsets = _open(part, file)
            for data in pieces(file, offsets[0], offsets[-1] - offsets[0]):
                destination.write(data)
        _write_part_end(destination, shard.config, [np.diff(offsets).astype(_UINT)])

    def documents(self, content: Content, shards: Shards) -> dict[str, Any]:
        return {_index_path(split): _index(content.columns, shards[split]) for split in shards}

    def document_tests(
        self, settings: FormatSettings, schema: Schema, shards: Shards
    ) -> dict[str, Callable[[Any], bool]]:
        columns = [*described.columns_of(schema)]
        return {_index_path(split): partial(eq, _index(columns, shards[split])) for split in shards}

    def loading_code(self, folder: str, settings: FormatSettings, split: str) -> str:
        return (
            "from streaming import StreamingDataset; "
            f"dataset = StreamingDataset(local={f'{folder}/mds'!r}, split={split!r}, batch_size=1)"
        )

    def schema(self, content: Content) -> dict[str, str]:
        return samples.schema_of(content.columns)

    def read(
        self, path: str, columns: Sequence[str] | None = None, schema: Schema | None = None
    ) -> Iterator[TableExamples]:
        with open(path, "rb") as file:
            yield from samples.read_examples(_read_samples(file), columns, schema)


FORMAT = Mds()


def _index_path(split: str) -> str:
    return f"mds/{split}/index.json"


def _index(columns: Sequence[str], shards: Sequence[ShardSize]) -> dict[str, Any]:
    """Returns the index of a split, as of `Writer` in streaming/base/format/base/writer.py.

    Args:
        columns: of `EXAMPLE` that the dataset fills.
        shards: of the split.
    """
    described_columns = _describe_columns(_encodings(columns))
    return {
        "version": _VERSION,
        "shards": [
            described_columns
            | {
                "raw_data": {
                    "basename": f"shard.{index:05d}.mds",
                    "bytes": shard.bytes,
                    "hashes": {"sha256": shard.sha256},
                },
                "samples": shard.num_examples,
                "zip_data": None,
            }
            for index, shard in enumerate(shards)
        ],
    }


def _read_samples(file: BinaryIO) -> Iterator[samples.Sample]:
    try:
        shard = _Shard(file, "it")
        config = json.loads(shard.config)
        encodings = dict(zip(config["column_names"], config["column_encodings"], strict=True))
    except (ValueError, LookupError, TypeError) as error:
        raise FormatError(str(error)) from None
    for start, stop in itertools.pairwise(shard.offsets.tolist()):
        yield _to_sample(os.pread(file.fileno(), stop - start, start), encodings)


def _to_sample(data: bytes, encodings: Mapping[str, str]) -> samples.Sample:
    """Returns a sample of its bytes.

    Args:
        data: of the sample.
        encodings: of its columns, in order.

    Raises:
        FormatError: It isn't one.
    """
    values = dict(zip(encodings, _split(data, len(encodings)), strict=True))
    image_id = values.get("image_id", b"").decode(errors="replace")
    path = values.pop(_PATH, b"").decode(errors="replace")
    values.pop(_LABELS, None)
    members, pictures = [], {}
    for name, value in values.items():
        if encodings[name] in (_JPEG, _PNG):
            of_map = f"{image_id}_{name.removesuffix('_map')}.png"
            pictures[name] = path if name == _PICTURE else of_map, value
        else:
            text = encodings[name] == _TEXT
            member = json.dumps(value.decode(errors="replace")).encode() if text else value
            members.append(f"{json.dumps(name)}:".encode() + member)
    return samples.Sample(b"{" + b",".join(members) + b"}", pictures)


def _split(data: bytes, columns: int) -> list[bytes]:
    """Returns the values of a sample."""
    head = columns * _UINT.itemsize
    sizes = np.frombuffer(data[:head].ljust(head, b"\0"), _UINT)
    ends = (head + np.cumsum(sizes, dtype=np.int64)).tolist()
    if ends[-1:] != [len(data)]:
        raise FormatError("has a sample that is cut")
    return [data[start:stop] for start, stop in itertools.pairwise([head, *ends])]
