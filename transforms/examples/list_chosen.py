"""Lists the images that a selection chooses, and the PNGs of their masks, in place of examples."""

import dataclasses
import os
from collections.abc import Iterator

import apache_beam as beam
import pyarrow as pa

from transforms.dataset.classes import decode_labels
from transforms.dataset.elements import to_ipc
from transforms.examples.apply_selection import join_selected
from transforms.examples.options import ExampleOptions
from transforms.examples.side_inputs import bucket_inputs
from transforms.exchange.batches import BucketBatches
from transforms.selection.quotas import NO_CUTS, Cuts
from transforms.storage import files

#: A file of `ListChosen`: a row an image, with the names of the PNGs of its masks.
CHOSEN = pa.schema({"split": pa.string(), "image_id": pa.string(), "masks": pa.list_(pa.string())})
#: How the names of these files end.
SUFFIX = ".arrow"


@dataclasses.dataclass(eq=False)
class ListChosenFn(beam.DoFn):
    """Writes a file of `CHOSEN` for each bucket with images that are chosen.

    It yields how many images each condition leaves, as tuples of the condition and a number.

    Attributes:
        options: the sources, splits and selection.
        num_buckets: how many buckets there are.
        folder: for the files.
    """

    options: ExampleOptions
    num_buckets: int
    folder: str

    def process(
        self, element: tuple[int, BucketBatches], encoded_labels: bytes, cuts: Cuts = NO_CUTS
    ) -> Iterator[tuple[tuple[str, int], ...]]:
        bucket, batches = element
        labels = decode_labels(encoded_labels)
        joined = join_selected(batches, self.options, labels, self.num_buckets, cuts)
        if len(joined.table):
            path = os.path.join(self.folder, f"{bucket}{SUFFIX}")
            files.write_file(path, to_ipc(_chosen_rows(joined.table)), self.folder)
        yield tuple(joined.funnel.items())


def _chosen_rows(table: pa.Table) -> pa.Table:
    masks = table["masks"].combine_chunks()
    names = pa.ListArray.from_arrays(masks.offsets, masks.values.field("mask_path"))
    return pa.table([table["split"], table["image_id"], names], schema=CHOSEN)


@dataclasses.dataclass(eq=False)
class ListChosen(beam.PTransform):
    """Batches by bucket → files of `CHOSEN` in a folder, and funnels as of `ListChosenFn`.

    Attributes:
        options: the sources, splits and selection.
        num_buckets: how many buckets there are.
        folder: for the files, which all workers see.
        labels: that class files name, encoded; one element.
        cuts: where the quotas of the selection are reached, one; None where it has none.
    """

    options: ExampleOptions
    num_buckets: int
    folder: str
    labels: beam.PCollection
    cuts: beam.PCollection | None

    def expand(self, buckets: beam.PCollection) -> beam.PCollection:
        inputs = bucket_inputs(self.labels, self.cuts)
        return buckets | beam.ParDo(
            ListChosenFn(self.options, self.num_buckets, self.folder), **inputs
        )
