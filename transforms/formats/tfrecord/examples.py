"""The examples of a TFRecord shard, read back without turning them into rows."""

import contextlib
import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from transforms.formats.format import FormatError, Picture, Schema
from transforms.formats.tfrecord import records, wire
from transforms.formats.tfrecord.features import BOXES

_BATCH_BYTES, _BATCH_RECORDS = 8 << 20, 4096


class RecordFields(NamedTuple):
    """Which features of a format's records hold what programs ask for.

    Attributes:
        image_id: the ImageID.
        has_extension: whether `image_id` is a file's name, that ends with a dot and more.
        picture: the encoded picture.
        size: width and height; None where there are none.
        column_of: returns the column of `EXAMPLE` that a feature comes from.
    """

    image_id: str = "image_id"
    has_extension: bool = False
    picture: str = "image"
    size: tuple[str, str] | None = ("width", "height")
    column_of: Callable[[str], str] = lambda key: key.partition("/")[0]


#: Of records that hold all columns under their own names.
ALL_FIELDS = RecordFields()


class _Layout:
    """Which features records have, in their order, and which of them each column comes from.

    Attributes:
        fields: what some features are.
        prefixes: how the entry of each feature begins.
        spans: of each column, where runs of its features begin and end.
        counted: of each column of annotations, a feature with one value an annotation.
    """

    def __init__(self, keys: Sequence[str], fields: RecordFields) -> None:
        """Takes the features.

        Raises:
            FormatError: None of them is the ImageID.
        """
        self.fields = fields
        self.prefixes = [records.key_prefix(key) for key in keys]
        self.places = {key: place for place, key in enumerate(keys)}
        self.spans: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for column, run in itertools.groupby(keys, fields.column_of):
            first, *others = run
            place = self.places[first]
            self.spans[column].append((place, place + 1 + len(others)))
        self.counted: dict[str, str] = {}
        for key in keys:
            column, _, leaf = key.partition("/")
            if leaf and "/" not in leaf and leaf not in BOXES:
                self.counted.setdefault(column, key)
        if fields.image_id not in self.places:
            raise FormatError(f"lacks the feature {fields.image_id}")


class RecordExamples:
    """Consecutive records of a shard; see `format.Examples`."""

    def __init__(self, layout: _Layout, first: int) -> None:
        """Begins with the record of this number."""
        self._layout = layout
        self._first = first
        self._records: list[bytes] = []
        self._bounds: list[list[int]] = []
        self._ids: list[bytes] = []
        self._bytes = 0

    @property
    def is_full(self) -> bool:
        """Whether they are to be looked at before more are read."""
        return self._bytes >= _BATCH_BYTES or len(self._records) == _BATCH_RECORDS

    def add(self, record: bytes) -> None:
        """Takes the next record.

        Raises:
            FormatError: Its features are others.
        """
        with self._naming(len(self._records)):
            self._bounds.append(records.entry_bounds(record, self._layout.prefixes))
            self._records.append(record)
            (image_id,) = self._values(len(self._records) - 1, self._layout.fields.image_id)
        if self._layout.fields.has_extension:
            image_id = image_id.rpartition(b".")[0]
        self._ids.append(image_id)
        self._bytes += len(record)

    @property
    def image_ids(self) -> pa.StringArray:
        return pa.array([each.decode(errors="replace") for each in self._ids], pa.string())

    def count_in_split(self, split: str) -> int:
        if "split" not in self._layout.places:
            return len(self._records)
        entries = Counter(self._entry(row, "split") for row in range(len(self._records)))
        wanted = [split.encode()]
        return sum(n for each, n in entries.items() if records.parse_entry(each).values == wanted)

    def count_annotations(self) -> Counter[str]:
        counts: Counter[str] = Counter()
        for row in range(len(self._records)):
            with self._naming(row):
                for column, key in self._layout.counted.items():
                    counts[column] += len(self._values(row, key))
        return counts

    def picture(self, row: int) -> Picture:
        with self._naming(row):
            example = records.parse_example(self._records[row])
            image = example[self._layout.fields.picture].values
            size: tuple[int | None, int | None] = None, None
            if self._layout.fields.size:
                width, height = (int(example[name].values[0]) for name in self._layout.fields.size)
                size = width, height
        image_id = self._ids[row].decode(errors="replace")
        return Picture(image_id, image[0] if image else None, size)

    def checksums(self) -> np.ndarray:
        return np.array([records.checksum(record) for record in self._records], np.uint64)

    def column_checksums(self, columns: Sequence[str]) -> dict[str, np.ndarray]:
        found = {}
        for name in (name for name in columns if name in self._layout.spans):
            spans = self._layout.spans[name]
            entries = (
                b"".join(record[bounds[first] : bounds[last]] for first, last in spans)
                for record, bounds in zip(self._records, self._bounds, strict=True)
            )
            checksums = [records.checksum(wire.field(1, each)) for each in entries]
            found[name] = np.array(checksums, np.uint64)
        return found

    def features(self, row: int) -> dict[str, Any]:
        return records.comparable(records.parse_example(self._records[row]))

    def _entry(self, row: int, key: str) -> bytes:
        bounds, place = self._bounds[row], self._layout.places[key]
        return self._records[row][bounds[place] : bounds[place + 1]]

    def _values(self, row: int, key: str) -> Sequence[Any] | np.ndarray:
        return records.parse_entry(self._entry(row, key)).values

    @contextlib.contextmanager
    def _naming(self, row: int) -> Iterator[None]:
        """Lets an error say which example it is about."""
        try:
            yield
        except ValueError as error:
            raise FormatError(f"example {self._first + row}: {error}") from None


def read_examples(
    path: str, schema: Schema | None, fields: RecordFields = ALL_FIELDS
) -> Iterator[RecordExamples]:
    """Yields the examples of a local shard; see `format.Format.read`."""
    layout = _Layout([*schema], fields) if schema is not None else None
    batch: RecordExamples | None = None
    for place, record in enumerate(records.read_records(path)):
        if layout is None:  # all records of a shard have the features of the first
            layout = _Layout([*records.parse_example(record)], fields)
        if batch is None:
            batch = RecordExamples(layout, place)
        batch.add(record)
        if schema is not None and place == 0:
            for name, feature in records.parse_example(record).items():
                if (kind := records.KIND_NAMES.get(feature.kind)) != schema[name]:
                    raise FormatError(f"example 0: the feature {name} is of kind {kind}")
        if batch.is_full:
            yield batch
            batch = None
    if batch is not None:
        yield batch
