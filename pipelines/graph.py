"""The flow of a build, on one screen."""

import zlib

import apache_beam as beam

from transforms.buckets.build import BuildBucket
from transforms.config import BuildConfig, Vocabulary
from transforms.exchange.exchange import Exchange
from transforms.formats.read import ReadAnnotations
from transforms.pixels.listed import ListMembers
from transforms.publishing.publish import Publish


def define_pipeline(root: beam.Pipeline, config: BuildConfig, vocabulary: Vocabulary) -> None:
    """Annotation files, pictures and masks → a published version of the dataset."""
    # Compressed, as Beam pickles what is created four times, each with a slow compression.
    packed = root | "Classes" >> beam.Create([zlib.compress(vocabulary.classes)])
    classes = packed | "UnpackClasses" >> beam.Map(zlib.decompress)
    class_counts = root | "ClassCounts" >> beam.Create(vocabulary.counts, reshuffle=False)
    class_failed = root | "ClassFailed" >> beam.Create(vocabulary.failed, reshuffle=False)

    # Rows of annotations, as checked Arrow blocks cut by bucket, and addresses of pictures and mask
    # PNGs likewise.
    rows = root | "ReadAnnotations" >> ReadAnnotations(config, classes)
    members = root | "ListMembers" >> ListMembers(config)

    # The one shuffle of data: everything of an image meets in the bucket of its key.
    buckets = (rows.fragments, members.fragments) | "Exchange" >> Exchange()

    # Joins, reads pixels, rasterises masks, encodes; writes parts in key order.
    built = buckets | "BuildBucket" >> BuildBucket(config, classes, rows.labels)

    # Parts become shards, shards a version, and the version the latest.
    reports = {
        "source_counts": (class_counts, rows.counts, members.counts) | "Counts" >> beam.Flatten(),
        "bucket_counts": built.counts,
        "failed": (class_failed, rows.failed, members.failed, built.failed)
        | "Failed" >> beam.Flatten(),
        "classes": classes,
        "labels": rows.labels,
    }
    built.parts | "Publish" >> Publish(config, reports)
