"""Apache Beam transforms: examples as Arrow batches, for pipelines of your own."""

import os
import uuid
from collections.abc import Sequence

import apache_beam as beam
import pyarrow as pa

from open_images import reading
from open_images.building import graph
from open_images.building.flags import UnpublishedFlags
from open_images.building.plan import make_example_plan, read_vocabulary
from open_images.dataset import open_dataset
from open_images.values import keywords_of, none_of, texts
from transforms import journal
from transforms.errors import UsageError
from transforms.formats.described import leaves
from transforms.storage.stores import ObjectOptions


class ReadExamples(beam.PTransform):
    """A published version → Arrow batches of its examples, some 16 MiB each.

    The latest version is looked up once, when the pipeline is constructed. Workers read row groups
    in parallel, so batches come in no order.

        >>> with beam.Pipeline() as pipeline:  # doctest: +SKIP
        ...     batches = pipeline | open_images.ReadExamples("oid/dataset", "train", ["bboxes"])
        ...     boxes = batches | beam.Map(lambda batch: len(batch["bboxes"].flatten()))

    Args:
        output: the folder or URI that a build has published to.
        split: its name, such as `train`; None for all.
        columns: names of columns, or of fields in them, such as `bboxes.list.element.label`; None
            for all, pictures too.
        version: its name; None for the latest.
        s3_endpoint_url: address of a store like S3, for `s3://`.

    Raises:
        VersionError: There is no such version.
        UsageError: It has no such split or column, or no Parquet.
    """

    def __init__(
        self,
        output: str | os.PathLike[str],
        split: str | None = None,
        columns: Sequence[str] | None = None,
        *,
        version: str | None = None,
        s3_endpoint_url: str | None = None,
    ) -> None:
        super().__init__()
        dataset = open_dataset(output, version, s3_endpoint_url=s3_endpoint_url)
        self._shards = dataset.shards("parquet", split)
        self._columns = None if columns is None else checked_columns(dataset.schema, columns)
        self._options = ObjectOptions(s3_endpoint_url=s3_endpoint_url)

    def expand(self, root: beam.pvalue.PBegin) -> beam.PCollection[pa.RecordBatch]:
        return (
            root
            | "Shards" >> beam.Create(self._shards)
            | "SpreadShards" >> beam.Reshuffle()
            | "FindRowGroups" >> beam.FlatMap(reading.row_groups, self._options)
            # Row groups are many where shards are few, and each is some seconds of work.
            | "SpreadRowGroups" >> beam.Reshuffle()
            | "ReadRowGroups"
            >> beam.FlatMap(reading.read_batches, self._columns, self._options).with_output_types(
                pa.RecordBatch
            )
        )


def checked_columns(schema: pa.Schema, columns: Sequence[str]) -> tuple[str, ...]:
    """Returns names of columns, or of fields in them, that a schema has.

    Raises:
        UsageError: A name is none of the schema's; PyArrow would pass over it.
    """
    fields: dict[str, set[str]] = {}
    for leaf, _ in leaves(pa.struct(schema)):
        parts = leaf.split(".")
        fields.setdefault(parts[0], set()).update(
            ".".join(parts[:end]) for end in range(1, len(parts) + 1)
        )
    for column in (names := texts(columns)):
        name = column.partition(".")[0]
        if name not in fields:
            raise UsageError(f"column {none_of(name, schema.names)}")
        if column not in fields[name]:
            raise UsageError(f"column {none_of(column, sorted(fields[name]))}")
    return names


@keywords_of(UnpublishedFlags)
def BuildExamples(flags: UnpublishedFlags) -> beam.PTransform:  # noqa: N802 - a PTransform
    """Published files → Arrow batches of examples, as a build would write them; nothing is written.

    A batch holds consecutive images of one split, in shuffled order: pictures of some 64 MiB, or
    16,384 images without pictures. Images whose picture fails are left out; Beam's counter
    `failures` of the namespace `open_images` counts them, and bad rows and masks.

        >>> with beam.Pipeline() as pipeline:  # doctest: +SKIP
        ...     batches = pipeline | open_images.BuildExamples(
        ...         annotations="oid/annotations", images="oid/images"
        ...     )
        ...     batches | beam.FlatMap(embed) | beam.io.WriteToParquet("embeddings", SCHEMA)

    The keywords are those of `open_images.build`, as far as they decide about examples.

    Raises:
        UsageError: A flag or an input is wrong.
    """
    return _BuildExamples(flags)


class _BuildExamples(beam.PTransform):
    """Published files → Arrow batches of examples."""

    def __init__(self, flags: UnpublishedFlags) -> None:
        super().__init__("BuildExamples")
        folder = ""
        if flags.work_folder:
            folder = os.path.join(flags.work_folder, f"open-images-{uuid.uuid4().hex}")
        self._plan = make_example_plan(flags, folder)
        examples = self._plan.examples
        self._vocabulary = read_vocabulary(
            examples.sources, examples.object_options, examples.class_order
        )

    def expand(self, root: beam.pvalue.PBegin) -> beam.PCollection[pa.RecordBatch]:
        work = self._plan.work
        if work.path:
            for name in ("exchange", "progress", journal.FOLDER):
                os.makedirs(os.path.join(work.path, name))
        return graph.define_examples(root, self._plan, self._vocabulary).examples
