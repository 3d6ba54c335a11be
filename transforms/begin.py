"""Begin: the plan of a build → what there is to do, as elements."""

import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import apache_beam as beam

from transforms.config import BuildConfig, Vocabulary
from transforms.elements import LISTED
from transforms.formats.ranges import plan_all_ranges


class Begun(NamedTuple):
    """What there is to do, and what is known by then.

    Attributes:
        classes: the content of `classes.json`, one.
        labels: their labels, encoded, one.
        ranges: to be read; `ByteRange`.
        containers: folders and archives to be listed; `Source`.
        buckets: their numbers.
        counts: `SourceCount` of the vocabulary files.
        failed: `Failed` likewise.
    """

    classes: beam.PCollection
    labels: beam.PCollection
    ranges: beam.PCollection
    containers: beam.PCollection
    buckets: beam.PCollection
    counts: beam.PCollection
    failed: beam.PCollection


class BeginFn(beam.DoFn):
    """Emits a plan's parts."""

    def __init__(self, config: BuildConfig, vocabulary: Vocabulary) -> None:
        self._config = config
        # Compressed, as Beam compresses slowly what it pickles.
        self._classes = zlib.compress(vocabulary.classes, 1)
        self._labels = vocabulary.labels
        self._counts = vocabulary.counts
        self._failed = vocabulary.failed

    def process(self, _: bytes) -> Iterator[Any]:
        config = self._config
        yield zlib.decompress(self._classes)
        for tag, elements in (
            ("labels", [self._labels]),
            ("ranges", plan_all_ranges(config.sources, config.range_size)),
            ("containers", [source for source in config.sources if source.medium in LISTED]),
            ("buckets", range(config.buckets)),
            ("counts", self._counts),
            ("failed", self._failed),
        ):
            for element in elements:
                yield beam.pvalue.TaggedOutput(tag, element)


class Begin(beam.PTransform):
    """A plan as one step: each `Create` is three more, and one that a runner runs by itself."""

    def __init__(self, config: BuildConfig, vocabulary: Vocabulary) -> None:
        super().__init__()
        self._config = config
        self._vocabulary = vocabulary

    def expand(self, root: beam.pvalue.PBegin) -> Begun:
        begun = (
            root
            | beam.Impulse()
            | beam.ParDo(BeginFn(self._config, self._vocabulary)).with_outputs(
                *Begun._fields[1:], main="classes"
            )
        )
        return Begun(*(begun[tag] for tag in Begun._fields))
