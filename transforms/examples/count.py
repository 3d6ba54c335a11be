"""CountBuckets: rows by bucket → counts of what examples would hold, with nothing built."""

import dataclasses
import enum
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms import progress
from transforms.dataset.classes import decode_labels
from transforms.dataset.elements import Source, in_one_piece
from transforms.examples.apply_selection import join_selected
from transforms.examples.join import Joined
from transforms.examples.options import ExampleOptions
from transforms.examples.report import BuiltBucket, report_bucket
from transforms.examples.side_inputs import bucket_inputs
from transforms.exchange.batches import BucketBatches
from transforms.kinds.images import IMAGE_FIELDS
from transforms.kinds.registry import ANNOTATIONS, count_annotations
from transforms.selection.choose import BucketImages, Chooser
from transforms.selection.quotas import NO_CUTS, Cuts
from transforms.selection.selection import EVERYTHING

#: Places with members whose sizes are listed without reading them; a `.tar.gz` has to be unpacked.
SIZED = ("folder", "tar", "zip")


class Quantity(enum.StrEnum):
    """Quantity is counted, and of what: the rest of the key.

    Attributes:
        IMAGES: examples, of a split.
        BYTES: bytes of a column's annotations in Arrow's form, or of the fields of `images`.
        CLASS_IMAGES: images that show a class.
        CLASS_ANNOTATIONS: annotations of a class and column.
        PICTURES: pictures of a medium.
        PICTURE_BYTES: bytes of a medium's pictures, as far as sizes are known.
        UNSIZED_PICTURES: pictures of a medium whose size isn't known.
        BARE: images without a picture.
    """

    IMAGES = enum.auto()
    BYTES = enum.auto()
    CLASS_IMAGES = enum.auto()
    CLASS_ANNOTATIONS = enum.auto()
    PICTURES = enum.auto()
    PICTURE_BYTES = enum.auto()
    UNSIZED_PICTURES = enum.auto()
    BARE = enum.auto()


#: Counts by key: a `Quantity`, and of what.
Counts = Mapping[tuple[str, ...], int]


def count_examples(joined: Joined, options: ExampleOptions, num_buckets: int) -> Counts:
    """Returns the counts of the examples that a bucket would have.

    Args:
        joined: its images, with the annotations that examples carry.
        options: what examples are made of.
        num_buckets: how many buckets there are.
    """
    table = joined.table
    counts: Counter[tuple[str, ...]] = Counter()
    for each in pc.value_counts(table["split"]).to_pylist():
        counts[Quantity.IMAGES, each["values"]] = each["counts"]
    for column, count in count_annotations(table).items():
        if count:
            values = in_one_piece(table[column]).flatten()
            counts[Quantity.BYTES, column] = _plain_bytes(values)
            for label, number in _count_labels(values, ANNOTATIONS[column].labels).items():
                counts[Quantity.CLASS_ANNOTATIONS, label, column] = number
    images = table.select(["image_id", "split", *IMAGE_FIELDS]).to_batches()
    counts[Quantity.BYTES, "images"] = sum(_plain_bytes(each.to_struct_array()) for each in images)
    shown = _count_shown(joined, num_buckets)
    # Those of the selection are shown by what it looks at, which examples needn't carry.
    shown |= dict(zip(options.selection.mids, joined.class_images, strict=True))
    counts.update(
        {(Quantity.CLASS_IMAGES, label): count for label, count in shown.items() if count}
    )
    if options.with_pictures:
        counts.update(_count_pictures(table, options.sources))
    return counts


def _plain_bytes(values: pa.Array) -> int:
    """Returns the bytes of values in Arrow's form, whether or not texts are coded, without masks.

    Places of texts and lists take 4 bytes each.
    """
    dtype = values.type
    if pa.types.is_struct(dtype):
        return sum(map(_plain_bytes, values.flatten()))
    if pa.types.is_list(dtype):
        return 4 * len(values) + _plain_bytes(values.flatten())
    if pa.types.is_dictionary(dtype):
        lengths = pc.binary_length(values.dictionary).take(values.indices)
    elif pa.types.is_string(dtype):
        lengths = pc.binary_length(values)
    else:
        return len(values) * dtype.bit_width // 8
    return 4 * len(values) + (pc.sum(lengths).as_py() or 0)


def _count_labels(values: pa.StructArray, fields: Sequence[str]) -> Counter[str]:
    """Counts rows by label; one with the same label in two fields counts once."""
    found: Counter[str] = Counter()
    columns = [values.field(name) for name in fields]
    for place, labels in enumerate(columns):
        for before in columns[:place]:
            labels, before = labels.cast(pa.string()), before.cast(pa.string())
            labels = pc.if_else(pc.equal(labels, before), None, labels)
        coded = labels if pa.types.is_dictionary(labels.type) else labels.dictionary_encode()
        counts = np.bincount(coded.indices.drop_null().to_numpy(), minlength=1)
        there = np.flatnonzero(counts)
        names = coded.dictionary.take(pa.array(there)).to_pylist()
        found.update(dict(zip(names, counts[there].tolist(), strict=True)))
    return found


def _count_shown(joined: Joined, num_buckets: int) -> dict[str, int]:
    """Counts the images that show each class, as a selection of classes understands it."""
    chooser = Chooser(EVERYTHING, num_buckets)
    shown = chooser.find_shown(BucketImages.of_table(joined.keys, joined.table))
    labels = shown.names.to_pylist()
    return dict(zip(labels, shown.count_images(labels), strict=True))


def _count_pictures(table: pa.Table, sources: Sequence[Source]) -> Counts:
    """Counts pictures by the medium of the first source that has, or may have, each."""
    counts: Counter[tuple[str, ...]] = Counter()
    is_open = np.ones(len(table), bool)
    for source in sources:
        if source.kind != "pictures":
            continue
        sizes, is_there = _find_pictures(table, source)
        taken = is_open & is_there
        sizes = sizes[taken]
        counts[Quantity.PICTURES, source.medium] += len(sizes)
        counts[Quantity.PICTURE_BYTES, source.medium] += int(sizes[sizes > 0].sum())
        counts[Quantity.UNSIZED_PICTURES, source.medium] += int((sizes < 0).sum())
        is_open &= ~taken
    counts[(Quantity.BARE,)] += int(is_open.sum())
    return counts


def _find_pictures(table: pa.Table, source: Source) -> tuple[np.ndarray, np.ndarray]:
    """Returns the sizes of n images' pictures in a source, -1 if unknown, and which may be there.

    Returns:
        (n,) int64, and (n,) bool.
    """
    sizes = np.full(len(table), -1)
    if source.medium in SIZED:
        lists = in_one_piece(table["pictures"])
        owners = np.repeat(np.arange(len(lists)), lists.value_lengths().fill_null(0).to_numpy())
        members = lists.flatten()
        at = np.flatnonzero(members.field("source").to_numpy() == source.index)
        found, first = np.unique(owners[at], return_index=True)
        sizes[found] = members.field("size").to_numpy()[at[first]]
        is_there = np.zeros(len(table), bool)
        is_there[found] = True
        return sizes, is_there
    if source.medium == "original":
        sizes = table["original_size"].fill_null(-1).to_numpy()
        return sizes, table["original_url"].is_valid().to_numpy()
    if source.medium == "thumbnail":
        return sizes, table["thumbnail_300k_url"].is_valid().to_numpy()
    return sizes, np.ones(len(table), bool)


@dataclasses.dataclass(eq=False)
class CountBucketFn(beam.DoFn):
    """Counts what the examples of a bucket would hold.

    Attributes:
        options: what examples are made of.
        progress_folder: where buckets and images are counted; None for nowhere.
        num_buckets: how many buckets there are.
    """

    options: ExampleOptions
    progress_folder: str | None
    num_buckets: int

    def setup(self) -> None:
        progress.sign_on(self.progress_folder)

    def process(
        self, element: tuple[int, BucketBatches], encoded_labels: bytes, cuts: Cuts = NO_CUTS
    ) -> Iterator[Any]:
        bucket, batches = element
        labels = decode_labels(encoded_labels)
        joined = join_selected(batches, self.options, labels, self.num_buckets, cuts)
        yield count_examples(joined, self.options, self.num_buckets)
        built = BuiltBucket()
        built.add_split("").annotations = count_annotations(joined.table)
        yield from report_bucket(bucket, joined, built, len(self.options.sources))
        progress.add(self.progress_folder, buckets=1, images=len(joined.table))


def add_counts(counts: Iterable[Counts]) -> Counts:
    """Adds up counts by key."""
    total: Counter[tuple[str, ...]] = Counter()
    for each in counts:
        total.update(each)
    return total


@dataclasses.dataclass(eq=False)
class CountBuckets(beam.PTransform):
    """Batches by bucket → counts of what examples would hold.

    Outputs, by tag: `examples`, the `Counts` of each bucket; `failed`, `counts` and `funnels` as of
    `BuildBucket`.

    Attributes:
        options: what examples are made of.
        progress_folder: where buckets are counted; None for nowhere.
        labels: that class files name, encoded; one element.
        num_buckets: how many buckets there are.
        cuts: where the quotas of the selection are reached, one; None where it has none.
    """

    options: ExampleOptions
    progress_folder: str | None
    labels: beam.PCollection
    num_buckets: int
    cuts: beam.PCollection | None = None

    @beam.typehints.no_annotations  # Beam knows no tuples of PCollections
    def expand(self, buckets: beam.PCollection) -> beam.pvalue.DoOutputsTuple:
        inputs = bucket_inputs(self.labels, self.cuts)
        count = CountBucketFn(self.options, self.progress_folder, self.num_buckets)
        return buckets | beam.ParDo(count, **inputs).with_outputs(
            "failed", "counts", "funnels", main="examples"
        )
