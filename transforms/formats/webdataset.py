"""WebDataset as an output format: tar archives that are read from end to end, or by range.

A sample is what neighbouring files have in common before the first point of their names
(https://github.com/webdataset/webdataset). Here it is, of the image `0001eeaf4aed83f9`:

- `0001eeaf4aed83f9.jpg`, or `.png` or `.webp`: the picture, as it is;
- `0001eeaf4aed83f9.instance_map.png`, `….semantic_map.png`: maps;
- `0001eeaf4aed83f9.json`: all other columns of `EXAMPLE`; counts of masks as text;
- `0001eeaf4aed83f9.labels.json`: numbers of classes; see `label_numbers`.

An archive is ended by two blocks of zeros, which is the footer of parts and shards.
"""

import glob
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import groupby
from operator import eq
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc

from transforms.dataset.elements import BuiltPart, in_one_piece
from transforms.dataset.naming import numbers
from transforms.formats import json_text, samples, tar
from transforms.formats.format import (
    Content,
    ExampleWriter,
    Format,
    FormatError,
    NewFiles,
    Schema,
    Shards,
    open_shard,
    pieces,
)
from transforms.formats.label_numbers import label_numbers
from transforms.formats.part import Crc32, HashingFile, Part, StoredPart, take_first
from transforms.formats.settings import FormatSettings
from transforms.formats.tables import TableExamples
from transforms.formats.tfrecord import wire
from transforms.storage.stores import ObjectOptions

_JSON, _LABELS = "json", "labels.json"
_PICTURE = "image"


class WebDatasetWriter(ExampleWriter):
    """Writes samples to one archive."""

    def write(self, table: pa.Table) -> None:
        for start in range(0, len(table), samples.SLICE_ROWS):
            for data in wire.interleave(self._encode(table.slice(start, samples.SLICE_ROWS))):
                self._file.write(data)
        self._rows += len(table)

    def _encode(self, table: pa.Table) -> wire.Messages:
        columns = self._content.columns
        texts = [name for name in columns if not samples.is_picture(name)]
        labels = label_numbers(in_one_piece(table["image_labels"]), self._content.classes.index)
        ids = in_one_piece(table["image_id"])
        files = [
            tar.members(_names(ids, _extensions(table, name)), samples.picture_bytes(table, name))
            for name in columns
            if samples.is_picture(name)
        ]
        for extension, found in {
            _JSON: json_text.encode_objects({name: in_one_piece(table[name]) for name in texts}),
            _LABELS: json_text.encode(labels),
        }.items():
            files.append(tar.members(_names(ids, extension), samples.text_bytes(found)))
        return wire.concatenate(*files)

    def close(self) -> Part:
        body = self._file.digest
        self._file.write(tar.END)
        return super().close()._replace(body=body)


def _names(ids: pa.Array, extensions: pa.Array | str) -> pa.Array:
    return pc.binary_join_element_wise(ids, extensions, ".")


def _extensions(table: pa.Table, column: str) -> pa.Array:
    """Returns what follows the ImageID in the names of pictures: (n,)."""
    paths = pc.struct_field(in_one_piece(table[column]), "path")
    suffixes = pc.replace_substring_regex(paths, r"^.*\.", "")
    if column == _PICTURE:
        return suffixes
    return pc.binary_join_element_wise(column, suffixes, ".")


class WebDataset(Format):
    """A sample an example, with all of its columns."""

    name = "webdataset"
    writer = WebDatasetWriter
    needs_classes = True
    media_type = "application/x-tar"

    def shard_path(self, settings: FormatSettings, split: str, index: int, shards: int) -> str:
        return f"webdataset/{split}-{numbers(index, shards)}.tar"

    def count(self, path: str) -> int:
        try:
            with open(path, "rb", buffering=0) as file:
                return sum(
                    member.name.partition(".")[2] == _JSON for member in tar.read_members(file)
                )
        except ValueError as error:
            raise ValueError(f"{path} {error}") from None

    def concatenate(
        self, parts: Iterable[StoredPart], destination: HashingFile, new_files: NewFiles
    ) -> None:
        for part in parts:
            size = max(0, os.path.getsize(part.path) - len(tar.END))
            part.read(take_first(size, destination.write))
        destination.write(tar.END)

    def footer_checksum(self, path: str) -> str:
        crc = Crc32()
        with open(path, "rb") as file:
            file.seek(-len(tar.END), os.SEEK_END)
            crc.update(file.read())
        return crc.hexdigest()

    def read_body(self, part: BuiltPart) -> Iterator[bytes]:
        assert part.origin is not None
        if self.footer_checksum(part.path) != part.origin.footer:
            raise ValueError(f"{part.path}: its footer has changed")
        with open(part.path, "rb") as shard:
            yield from pieces(shard, *_span(part))

    def extract(self, part: BuiltPart, destination: BinaryIO, options: ObjectOptions) -> None:
        with open_shard(part, options) as shard:
            for data in pieces(shard, *_span(part)):
                destination.write(data)
        destination.write(tar.END)

    def documents(self, content: Content, shards: Shards) -> dict[str, Any]:
        return self._indexes(content.settings, shards)

    def document_tests(
        self, settings: FormatSettings, schema: Schema, shards: Shards
    ) -> dict[str, Callable[[Any], bool]]:
        return {path: partial(eq, index) for path, index in self._indexes(settings, shards).items()}

    def _indexes(self, settings: FormatSettings, shards: Shards) -> dict[str, Any]:
        """Returns the indexes by which `wids` finds samples by their number, by path.

        Their form is what `widsindex create` writes, of the package `webdataset` up to 0.2; it has
        an MD5 of each shard, which no reader needs.
        """
        return {
            f"webdataset/{split}.json": {
                "__kind__": "wids-shard-index-v1",
                "wids_version": 1,
                "name": f"open-images-{settings.release}-{split}",
                "shardlist": [
                    {
                        "url": os.path.basename(self.shard_path(settings, split, i, len(of_split))),
                        "nsamples": shard.num_examples,
                        "filesize": shard.bytes,
                        "sha256": shard.sha256,
                    }
                    for i, shard in enumerate(of_split)
                ],
            }
            for split, of_split in shards.items()
        }

    def loading_code(self, folder: str, settings: FormatSettings, split: str) -> str:
        pattern = f"{glob.escape(folder)}/webdataset/{split}-*.tar"
        return (
            "import glob, webdataset; "
            f"dataset = webdataset.WebDataset(sorted(glob.glob({pattern!r})), shardshuffle=False)"
            ".decode()"
        )

    def schema(self, content: Content) -> dict[str, str]:
        return samples.schema_of(content.columns)

    def read(
        self, path: str, columns: Sequence[str] | None = None, schema: Schema | None = None
    ) -> Iterator[TableExamples]:
        with open(path, "rb") as file:
            yield from samples.read_examples(_read_samples(file), columns, schema)


FORMAT = WebDataset()


def _span(part: BuiltPart) -> tuple[int, int]:
    """Returns where a part's members lie in its shard: the first byte, and how many."""
    assert part.origin is not None
    ends_before = part.origin.number * len(tar.END)
    return part.origin.start - ends_before, part.bytes - len(tar.END)


def _read_samples(file: BinaryIO) -> Iterator[samples.Sample]:
    try:
        for key, found in groupby(tar.read_members(file), lambda each: each.name.partition(".")[0]):
            contents = {member.name.partition(".")[2]: member for member in found}
            data = {name: _read(file, member) for name, member in contents.items()}
            text = data.pop(_JSON, None)
            if text is None or data.pop(_LABELS, None) is None:
                raise FormatError(f"{key} has no .{_JSON} or no .{_LABELS}")
            yield samples.Sample(text, dict(_picture(key, *each) for each in data.items()))
    except FormatError:
        raise
    except ValueError as error:
        raise FormatError(str(error)) from None


def _read(file: BinaryIO, member: tar.Member) -> bytes:
    return os.pread(file.fileno(), member.size, member.start)


def _picture(key: str, name: str, data: bytes) -> tuple[str, tuple[str, bytes]]:
    """Returns the column of a picture, and its path and bytes."""
    column, _, extension = name.rpartition(".")
    if not column:
        return _PICTURE, (f"{key}.{extension}", data)
    return column, (f"{key}_{column.removesuffix('_map')}.{extension}", data)
