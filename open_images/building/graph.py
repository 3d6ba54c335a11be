"""The flow of a build, on one screen."""

import functools

import apache_beam as beam

from transforms.begin import Begin
from transforms.config import BuildConfig, Vocabulary
from transforms.examples.build import BuildBucket
from transforms.examples.write import PartBuilder
from transforms.exchange.exchange import GatherBuckets
from transforms.exchange.files import FileTransport
from transforms.exchange.shuffle import ShuffleTransport
from transforms.journal import Journal
from transforms.kinds.read import RangeReader, ReadAnnotations
from transforms.releases.publish import Publish
from transforms.reuse.builder import ReusingBuilder
from transforms.sources.listed import ListMembers


def define_pipeline(root: beam.Pipeline, config: BuildConfig, vocabulary: Vocabulary) -> None:
    """Annotation files, pictures and masks → a published version of the dataset."""
    # Rows meet in files of the work folder, which a build that was stopped finds again, or in the
    # runner's shuffle, whose rows it has to read again.
    in_files = config.exchange == "files"
    transport = FileTransport(config.exchange_folder) if in_files else ShuffleTransport()
    partition = functools.partial(transport.partition, num_buckets=config.buckets)
    journal = Journal(config.work_folder if in_files else None)
    reader = RangeReader(
        config.sources,
        config.chunk_size,
        in_files,
        config.splits,
        config.object_options,
        config.progress_folder,
    )

    # Ranges of files to read, folders and archives to list, buckets to build; and what classes are
    # called, from files that are read already.
    begun = root | "Begin" >> Begin(config, vocabulary)

    # Rows of annotations, as checked Arrow blocks cut by bucket, and addresses of pictures and mask
    # PNGs likewise.
    rows = begun.ranges | "ReadAnnotations" >> ReadAnnotations(
        reader, partition, journal, begun.labels
    )
    members = begun.containers | "ListMembers" >> ListMembers(
        config.work_folder, partition, journal, config.object_options
    )

    # The one shuffle of data: everything of an image meets in the bucket of its key.
    fragments = (rows.fragments, members.fragments)
    buckets = fragments | "Exchange" >> GatherBuckets(config.buckets, transport)

    # Joins, reads pixels, rasterises masks, encodes; writes parts in key order.
    examples, parts, counters = config.example_options, config.part_options, config.progress_folder
    builder = ReusingBuilder(
        PartBuilder(examples, parts, counters), examples, parts, config.previous, counters
    )
    built = buckets | "BuildBucket" >> BuildBucket(
        examples, builder, Journal(config.work_folder), counters, begun.labels, rows.labels
    )

    # Parts become shards, shards a version, and the version the latest.
    reports = {
        "source_counts": (begun.counts, rows.counts, members.counts),
        "bucket_counts": (built.counts,),
        "failed": (begun.failed, rows.failed, members.failed, built.failed),
        "classes": (begun.classes,),
        "labels": (rows.labels,),
    }
    built.parts | "Publish" >> Publish(config, reports)
