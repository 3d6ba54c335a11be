"""A published version of the dataset, to look at and to load."""

import bisect
import functools
import json
import os
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from open_images import reading
from open_images.values import none_of
from transforms.dataset.failures import SCHEMA
from transforms.dataset.keys import image_keys
from transforms.dataset.naming import CLASSES, SPLIT_ALIASES, SPLITS
from transforms.errors import UsageError
from transforms.formats.registry import FORMATS
from transforms.releases.manifest import Manifest, ManifestError
from transforms.releases.output import Output
from transforms.storage import files
from transforms.storage.stores import ObjectOptions

_CLASSES = pa.schema(
    {
        "index": pa.int32(),
        "label": pa.string(),
        "name": pa.string(),
        "parents": pa.list_(pa.string()),
        "lists": pa.list_(pa.string()),
    }
)


def open_dataset(
    output: str | os.PathLike[str],
    version: str | None = None,
    *,
    s3_endpoint_url: str | None = None,
) -> "Dataset":
    """Opens a version of a dataset, which stays the same whatever is published later.

    Args:
        output: the folder or URI that a build has published to.
        version: its name; None for the latest.
        s3_endpoint_url: address of a store like S3, for `s3://`.

    Raises:
        VersionError: There is no such version, or its manifest can't be read.
        StorageError, OSError: The output can't be read.
    """
    options = ObjectOptions(s3_endpoint_url=s3_endpoint_url)
    published = Output(os.fspath(output), options)
    name = published.choose(version)
    try:
        return Dataset(published, name, published.manifest(name))
    except ManifestError as error:
        raise ManifestError(f"{published.path}: version {name}: {error}") from None


class Dataset:
    """A published version.

    Attributes:
        version: its name.
        folder: where it is.
        manifest: the content of its `manifest.json`.
        splits: number of examples by split, such as `{"train": 1000}`.
        formats: names of the formats that it has shards in.

    What it reads raises `OSError` or `StorageError` where a file isn't there any more.
    """

    def __init__(self, output: Output, version: str, manifest: Manifest) -> None:
        self._output = output
        self._options = output.options
        self.version = version
        self.folder = output.folder(version)
        self.manifest = manifest
        splits = manifest.splits
        self.splits = {name: splits[name].num_examples for name in SPLITS if name in splits}
        self.formats = tuple(name for name in FORMATS if name in manifest.formats)
        self._first_keys: dict[reading.RowGroup, int] = {}

    def __repr__(self) -> str:
        counts = ", ".join(f"{name} {count:,}" for name, count in self.splits.items())
        return (
            f"<open_images.Dataset {self.version} of {self._output.path}: "
            f"{counts} examples; {', '.join(self.formats)}>"
        )

    def shards(self, form: str, split: str | None = None) -> list[str]:
        """Returns the paths of the shards of a format, in order.

        Args:
            form: such as `parquet`.
            split: such as `train`; None for all.

        Raises:
            UsageError: The version isn't in that format, or has no such split.
        """
        if form not in self.formats:
            raise UsageError(f"format {none_of(form, self.formats)}")
        split = SPLIT_ALIASES.get(split or "", split)
        if split is not None and split not in self.splits:
            raise UsageError(f"split {none_of(split, list(self.splits))}")
        return [
            os.path.join(self.folder, shard.path)
            for name in self.splits
            if split in (None, name)
            for shard in self.manifest.splits[name].of_format(form)
        ]

    @functools.cached_property
    def classes(self) -> pa.Table:
        """The classes in index order.

        Columns: `index` (from 1, as in semantic maps), `label` (the MID), `name`, `parents` (MIDs,
        by the hierarchies), `lists` (the class lists that hold it); and `points`, where there was a
        file of point classes.
        """
        rows = json.loads(files.read_file(os.path.join(self.folder, CLASSES), self._options))
        schema = _CLASSES
        if any("points" in row for row in rows):
            points = pa.array([row.get("points") for row in rows])
            schema = schema.append(pa.field("points", points.type))
        return pa.Table.from_pylist(rows, schema)

    @functools.cached_property
    def schema(self) -> pa.Schema:
        """The columns of an example, as its Parquet shards have them.

        Raises:
            UsageError: The version has no Parquet.
        """
        with reading.opened(self.shards("parquet")[0], self._options) as shard:
            return shard.schema_arrow

    def failures(self) -> pa.Table:
        """Reads the table of failures: what was left out, and why.

        Columns: `image_id`, `split`, `stage`, `reason`, `detail`, `source`, `line`; null where one
        doesn't apply.
        """
        if self.manifest.files is None:  # a version of an earlier release
            found = files.list_files(os.path.join(self.folder, "failures"), self._options)
        else:
            names = (file.path for file in self.manifest.files)
            found = [
                os.path.join(self.folder, each) for each in names if each.startswith("failures/")
            ]
        tables = []
        for path in found:
            with files.open_file(path, self._options) as file:
                tables.append(pq.read_table(file))
        return pa.concat_tables(tables) if tables else SCHEMA.empty_table()

    def image(self, image_id: str) -> dict[str, Any]:
        """Reads one example, with its picture and all annotations.

        Shards are in key order, so a binary search over their first ImageIDs finds it.

        Args:
            image_id: 16 hexadecimal digits.

        Returns:
            Each column's value as `pyarrow` converts it to Python.

        Raises:
            KeyError: The version has no such image: it may be among the `failures`.
            UsageError: The version has no Parquet.
        """
        if not isinstance(image_id, str):
            raise TypeError(f"{image_id!r} is no text: give an ImageID, 16 hexadecimal digits")
        keys, is_valid = image_keys(pa.array([image_id]))
        for split in self.splits if is_valid[0] else ():
            group = self._find_group(split, int(keys[0]))
            ids = reading.read_column(group, "image_id", self._options).to_pylist()
            if image_id in ids:
                row, with_picture = ids.index(image_id), self.manifest.with_pictures
                return reading.read_example(group, row, with_picture, self._options)
        raise KeyError(f"{image_id}: no such image in version {self.version}")

    def _find_group(self, split: str, key: int) -> reading.RowGroup:
        """Returns the row group of a split that holds the image with a key, if any does."""
        shards = [reading.RowGroup(path, 0) for path in self.shards("parquet", split)]
        shard = self._last_before(shards, key)
        return self._last_before(list(reading.row_groups(shard.path, self._options)), key)

    def _last_before(self, groups: list[reading.RowGroup], key: int) -> reading.RowGroup:
        """Returns the last row group that begins at or before a key; else the first."""
        at = bisect.bisect_right(groups, key, key=self._first_key)
        return groups[max(at - 1, 0)]

    def _first_key(self, group: reading.RowGroup) -> int:
        if group not in self._first_keys:
            ids = reading.read_column(group, "image_id", self._options)
            keys, _ = image_keys(ids.chunk(0).slice(0, 1))
            self._first_keys[group] = int(keys[0])
        return self._first_keys[group]
