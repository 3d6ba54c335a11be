"""The flow of a build, on one screen."""

import dataclasses
import functools
from collections.abc import Callable, Collection
from typing import NamedTuple

import apache_beam as beam

from open_images.building.build_plan import BuildPlan, ExamplePlan, Vocabulary
from open_images.building.list_work import ListWork, Work
from open_images.building.select_inputs import deciding_view
from transforms.dataset.elements import ByteRange, Source
from transforms.examples.build import BuildBucket, MakeExamples
from transforms.examples.decide import Deciding, FindCuts, ListKeys
from transforms.examples.join import to_listed_batch
from transforms.examples.list_labels import ListLabels
from transforms.examples.write import PartBuilder
from transforms.exchange.exchange import GatherBuckets
from transforms.exchange.files import FileTransport
from transforms.exchange.shuffle import ShuffleTransport
from transforms.journal import Journal
from transforms.kinds.reading.read import RangeReader, ReadAnnotations, Rows
from transforms.releases.publish import Publish
from transforms.reuse.builder import ReusingBuilder
from transforms.sources.listed import ListMembers


class Gathered(NamedTuple):
    """The rows of each bucket of images, and the reports of reading them.

    Attributes:
        cuts: where the quotas of the selection are reached; None where it has none.
        funnels: how many images of a bucket each condition leaves, where images were chosen before;
            else None.
        labels: those of annotations that no class file names; frozensets.
    """

    work: Work
    rows: Rows
    members: beam.pvalue.DoOutputsTuple
    buckets: beam.PCollection
    cuts: beam.PCollection | None
    funnels: beam.PCollection | None
    labels: beam.PCollection


def gather_rows(
    root: beam.Pipeline,
    plan: ExamplePlan,
    vocabulary: Vocabulary,
    journal: Journal,
    is_listed: Callable[[Source], bool] | None = None,
) -> Gathered:
    """Annotation files, pictures and masks → rows by bucket of images.

    Args:
        root: of the pipeline.
        plan: of the examples.
        vocabulary: what vocabulary files say.
        journal: of what was read.
        is_listed: which folders and archives are listed; None for all.
    """
    in_files = plan.exchange == "files"
    transport = FileTransport(plan.work.exchange) if in_files else ShuffleTransport()
    partition = functools.partial(transport.partition, num_buckets=plan.buckets)
    sources, options = plan.examples.sources, plan.examples.object_options
    selection = plan.examples.selection
    reader = RangeReader(
        sources, plan.chunk_size, in_files, plan.examples.splits, options, plan.work.progress
    )

    # Ranges of files to read, folders and archives to list; and what classes are called, from files
    # that are read already.
    work = root | "ListWork" >> ListWork(sources, plan.range_size, vocabulary)
    # Without its image table, the split of an image isn't known yet.
    splits = plan.examples.splits if selection.images_decide else None
    deciding = Deciding(sources, splits, selection, plan.buckets, plan.steps.deciding_sources)

    # Where few images will be chosen, the rows that decide are read first, and then just the rows
    # of the images that are chosen.
    cuts = image_keys = funnels = None
    listed: tuple[beam.PCollection, ...] = ()
    if plan.image_keys is not None:
        image_keys = root | "ListedImages" >> beam.Create([plan.image_keys])
        batches = image_keys | "ToBatch" >> beam.Map(to_listed_batch)
        spread = beam.FlatMap(lambda batch: partition([batch]))
        listed = (batches | "PartitionKeys" >> spread,)
    if plan.steps.decides_first:
        few = dataclasses.replace(
            reader,
            sources=[deciding_view(source, selection) for source in sources],
            rows=plan.steps.deciding_rows,
            progress_folder=None,
            is_measured=False,
        )
        ranges = work.ranges | "DecidingRanges" >> beam.Filter(
            _is_read, plan.steps.deciding_sources
        )
        read = ReadAnnotations(few, partition, journal, work.labels, name="deciding")
        rows = ranges | "ReadDeciding" >> read
        gather = GatherBuckets(plan.buckets, transport)
        buckets = (rows.fragments,) | "ExchangeDeciding" >> gather
        if selection.has_quota:
            cuts = buckets | "FindCuts" >> FindCuts(deciding, work.labels)
        listing = ListKeys(deciding, work.labels, cuts)
        image_keys, funnels = buckets | "ListKeys" >> listing

    # Rows of annotations, checked and cut by bucket, and addresses of pictures and mask PNGs
    # likewise.
    reader = dataclasses.replace(reader, rows=plan.steps.rows)
    rows = work.ranges | ReadAnnotations(reader, partition, journal, work.labels, image_keys)
    containers = work.containers
    if is_listed:
        containers = containers | "ListedContainers" >> beam.Filter(is_listed)
    members = containers | ListMembers(plan.work, partition, journal, options)

    # The one shuffle of data: everything of an image meets in the bucket of its key.
    fragments = (rows.fragments, members.fragments, *listed)
    buckets = fragments | "Exchange" >> GatherBuckets(plan.buckets, transport)
    if selection.has_quota and cuts is None:
        cuts = buckets | "FindCuts" >> FindCuts(deciding, work.labels)
    labels = rows.labels
    if selection.chooses_images:
        labels = buckets | "ListLabels" >> ListLabels(
            plan.examples, plan.buckets, work.labels, rows.labels, cuts
        )
    return Gathered(work, rows, members, buckets, cuts, funnels, labels)


def _is_read(piece: ByteRange, sources: Collection[int]) -> bool:
    return piece.source in sources


def define_examples(
    root: beam.Pipeline, plan: ExamplePlan, vocabulary: Vocabulary
) -> beam.pvalue.DoOutputsTuple:
    """Annotation files, pictures and masks → Arrow batches of examples, as of `MakeExamples`.

    Nothing is written but rows on their way, and unpacked archives, to `plan.work.exchange`.
    """
    gathered = gather_rows(root, plan, vocabulary, Journal(None))
    work = gathered.work
    return gathered.buckets | MakeExamples(
        plan.examples, work.labels, work.classes, gathered.labels, plan.buckets, gathered.cuts
    )


def define_pipeline(root: beam.Pipeline, plan: BuildPlan, vocabulary: Vocabulary) -> None:
    """Annotation files, pictures and masks → a published version of the dataset."""
    # A build that was stopped finds rows in files again, and reads those of a shuffle again.
    journal = Journal(plan.work if plan.exchange == "files" else None)
    gathered = gather_rows(root, plan, vocabulary, journal)
    work, rows, members, buckets, cuts, funnels, labels = gathered

    # Joins, reads pixels, rasterises masks, encodes; writes parts in key order. What hasn't changed
    # is taken over from the version before.
    parts, progress = plan.part_options, plan.work.progress
    builder = PartBuilder(plan.examples, parts, progress)
    builder = ReusingBuilder(builder, plan.examples, parts, plan.previous, progress)
    built = buckets | BuildBucket(
        plan.examples,
        builder,
        Journal(plan.work),
        progress,
        work.labels,
        work.classes if plan.need_classes else None,
        labels,
        plan.buckets,
        cuts,
    )

    # Parts become shards, shards a version, and the version the latest.
    reports = {
        "source_counts": (work.counts, rows.counts, members.counts),
        "bucket_counts": (built.counts,),
        "failed": (work.failed, rows.failed, members.failed, built.failed),
        "classes": (work.classes,),
        "labels": (labels,),
        "funnels": (built.funnels if funnels is None else funnels,),
    }
    exchange = plan.work.exchange if plan.exchange == "files" else None
    built.parts | Publish(plan, exchange, reports)
