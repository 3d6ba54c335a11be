"""Begin: the plan of a build → what there is to do, as elements."""

import dataclasses
from collections.abc import Iterator
from typing import Any, NamedTuple

import apache_beam as beam
import pyarrow as pa

from transforms.config import BuildConfig, Vocabulary
from transforms.dataset.elements import LISTED
from transforms.kinds.ranges import plan_all_ranges

_CODEC = "zstd"


class Begun(NamedTuple):
    """What there is to do, and what is known by then.

    Attributes:
        classes: the content of `classes.json`, one.
        labels: their labels, encoded, one.
        ranges: to be read; `ByteRange`.
        containers: folders and archives to be listed; `Source`.
        counts: `SourceCount` of the vocabulary files.
        failed: `Failed` likewise.
    """

    classes: beam.PCollection
    labels: beam.PCollection
    ranges: beam.PCollection
    containers: beam.PCollection
    counts: beam.PCollection
    failed: beam.PCollection


def _tell(_: bytes, vocabulary: Vocabulary, size: int) -> Vocabulary:
    classes = pa.decompress(vocabulary.classes, size, _CODEC, asbytes=True)
    return dataclasses.replace(vocabulary, classes=classes)


class BeginFn(beam.DoFn):
    """Emits a plan's parts."""

    def __init__(self, config: BuildConfig) -> None:
        self._config = config

    def process(self, vocabulary: Vocabulary) -> Iterator[Any]:
        config = self._config
        yield vocabulary.classes
        for tag, elements in (
            ("labels", [vocabulary.labels]),
            ("ranges", plan_all_ranges(config.sources, config.range_size)),
            ("containers", [source for source in config.sources if source.medium in LISTED]),
            ("counts", vocabulary.counts),
            ("failed", vocabulary.failed),
        ):
            for element in elements:
                yield beam.pvalue.TaggedOutput(tag, element)


class Begin(beam.PTransform):
    """A plan as two steps that run as one: each `Create` is three more, and one that a runner runs
    by itself.

    The vocabulary is with the first: it takes a megabyte, and Beam unpickles a step twice, and once
    more for each of its outputs.
    """

    def __init__(self, config: BuildConfig, vocabulary: Vocabulary) -> None:
        super().__init__()
        self._config = config
        self._vocabulary = vocabulary

    def expand(self, root: beam.pvalue.PBegin) -> Begun:
        # Compressed, as Beam compresses slowly what it pickles.
        size = len(self._vocabulary.classes)
        classes = pa.compress(self._vocabulary.classes, _CODEC, asbytes=True)
        packed = dataclasses.replace(self._vocabulary, classes=classes)
        begun = (
            root
            | beam.Impulse()
            | "Vocabulary" >> beam.Map(_tell, packed, size)
            | beam.ParDo(BeginFn(self._config)).with_outputs(*Begun._fields[1:], main="classes")
        )
        return Begun(*(begun[tag] for tag in Begun._fields))
