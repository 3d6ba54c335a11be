"""The flow of a build, on one screen."""

import apache_beam as beam

from transforms.buckets.build import BuildBucket
from transforms.config import BuildConfig, Vocabulary
from transforms.exchange.exchange import Exchange
from transforms.formats.provide import ProvideVocabulary
from transforms.formats.read import ReadAnnotations
from transforms.pixels.listed import ListMembers
from transforms.publishing.publish import Publish


def define_pipeline(root: beam.Pipeline, config: BuildConfig, vocabulary: Vocabulary) -> None:
    """Annotation files, pictures and masks → a published version of the dataset."""
    # What classes are called, from files that are read already.
    known = root | "ProvideVocabulary" >> ProvideVocabulary(vocabulary)

    # Rows of annotations, as checked Arrow blocks cut by bucket, and addresses of pictures and mask
    # PNGs likewise.
    rows = root | "ReadAnnotations" >> ReadAnnotations(config, known.classes)
    members = root | "ListMembers" >> ListMembers(config)

    # The one shuffle of data: everything of an image meets in the bucket of its key.
    buckets = (rows.fragments, members.fragments) | "Exchange" >> Exchange(config)

    # Joins, reads pixels, rasterises masks, encodes; writes parts in key order.
    built = buckets | "BuildBucket" >> BuildBucket(config, known.classes, rows.labels)

    # Parts become shards, shards a version, and the version the latest.
    reports = {
        "source_counts": (known.counts, rows.counts, members.counts) | "Counts" >> beam.Flatten(),
        "bucket_counts": built.counts,
        "failed": (known.failed, rows.failed, members.failed, built.failed)
        | "Failed" >> beam.Flatten(),
        "classes": known.classes,
        "labels": rows.labels,
    }
    built.parts | "Publish" >> Publish(config, reports)
