"""The flow of a build, on one screen."""

import apache_beam as beam

from transforms.begin import Begin
from transforms.config import BuildConfig, Vocabulary
from transforms.examples.build import BuildBucket
from transforms.exchange.exchange import Exchange
from transforms.kinds.read import ReadAnnotations
from transforms.releases.publish import Publish
from transforms.sources.listed import ListMembers


def define_pipeline(root: beam.Pipeline, config: BuildConfig, vocabulary: Vocabulary) -> None:
    """Annotation files, pictures and masks → a published version of the dataset."""
    # Ranges of files to read, folders and archives to list, buckets to build; and what classes are
    # called, from files that are read already.
    begun = root | "Begin" >> Begin(config, vocabulary)

    # Rows of annotations, as checked Arrow blocks cut by bucket, and addresses of pictures and mask
    # PNGs likewise.
    rows = begun.ranges | "ReadAnnotations" >> ReadAnnotations(config, begun.labels)
    members = begun.containers | "ListMembers" >> ListMembers(config)

    # The one shuffle of data: everything of an image meets in the bucket of its key.
    fragments = (rows.fragments, members.fragments)
    buckets = fragments | "Exchange" >> Exchange(config, begun.buckets)

    # Joins, reads pixels, rasterises masks, encodes; writes parts in key order.
    built = buckets | "BuildBucket" >> BuildBucket(config, begun.labels, rows.labels)

    # Parts become shards, shards a version, and the version the latest.
    reports = {
        "source_counts": (begun.counts, rows.counts, members.counts),
        "bucket_counts": (built.counts,),
        "failed": (begun.failed, rows.failed, members.failed, built.failed),
        "classes": (begun.classes,),
        "labels": (rows.labels,),
    }
    built.parts | "Publish" >> Publish(config, reports)
