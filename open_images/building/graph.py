"""The flow of a build, on one screen."""

import functools
from typing import NamedTuple

import apache_beam as beam

from open_images.building.build_plan import BuildPlan, ExamplePlan, Vocabulary
from open_images.building.list_work import ListWork, Work
from transforms.examples.build import BuildBucket, MakeExamples
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
    """The rows of each bucket of images, and the reports of reading them."""

    work: Work
    rows: Rows
    members: beam.pvalue.DoOutputsTuple
    buckets: beam.PCollection


def gather_rows(
    root: beam.Pipeline, plan: ExamplePlan, vocabulary: Vocabulary, journal: Journal
) -> Gathered:
    """Annotation files, pictures and masks → rows by bucket of images."""
    in_files = plan.exchange == "files"
    transport = FileTransport(plan.work.exchange) if in_files else ShuffleTransport()
    partition = functools.partial(transport.partition, num_buckets=plan.buckets)
    sources, options = plan.examples.sources, plan.examples.object_options
    reader = RangeReader(
        sources, plan.chunk_size, in_files, plan.examples.splits, options, plan.work.progress
    )

    # Ranges of files to read, folders and archives to list; and what classes are called, from files
    # that are read already.
    work = root | "ListWork" >> ListWork(sources, plan.range_size, vocabulary)

    # Rows of annotations, checked and cut by bucket, and addresses of pictures and mask PNGs
    # likewise.
    rows = work.ranges | ReadAnnotations(reader, partition, journal, work.labels)
    members = work.containers | ListMembers(plan.work, partition, journal, options)

    # The one shuffle of data: everything of an image meets in the bucket of its key.
    fragments = (rows.fragments, members.fragments)
    buckets = fragments | "Exchange" >> GatherBuckets(plan.buckets, transport)
    return Gathered(work, rows, members, buckets)


def define_examples(
    root: beam.Pipeline, plan: ExamplePlan, vocabulary: Vocabulary
) -> beam.pvalue.DoOutputsTuple:
    """Annotation files, pictures and masks → Arrow batches of examples, as of `MakeExamples`.

    Nothing is written but rows on their way, and unpacked archives, to `plan.work.exchange`.
    """
    gathered = gather_rows(root, plan, vocabulary, Journal(None))
    return gathered.buckets | MakeExamples(
        plan.examples, gathered.work.labels, gathered.rows.labels
    )


def define_pipeline(root: beam.Pipeline, plan: BuildPlan, vocabulary: Vocabulary) -> None:
    """Annotation files, pictures and masks → a published version of the dataset."""
    # A build that was stopped finds rows in files again, and reads those of a shuffle again.
    journal = Journal(plan.work if plan.exchange == "files" else None)
    work, rows, members, buckets = gather_rows(root, plan, vocabulary, journal)

    # Joins, reads pixels, rasterises masks, encodes; writes parts in key order. What hasn't changed
    # is taken over from the version before.
    parts, progress = plan.part_options, plan.work.progress
    builder = PartBuilder(plan.examples, parts, progress)
    builder = ReusingBuilder(builder, plan.examples, parts, plan.previous, progress)
    built = buckets | BuildBucket(
        plan.examples, builder, Journal(plan.work), progress, work.labels, rows.labels
    )

    # Parts become shards, shards a version, and the version the latest.
    reports = {
        "source_counts": (work.counts, rows.counts, members.counts),
        "bucket_counts": (built.counts,),
        "failed": (work.failed, rows.failed, members.failed, built.failed),
        "classes": (work.classes,),
        "labels": (rows.labels,),
    }
    exchange = plan.work.exchange if plan.exchange == "files" else None
    built.parts | Publish(plan, exchange, reports)
