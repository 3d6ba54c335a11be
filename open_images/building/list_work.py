"""ListWork: the inputs of a build → what there is to do, as elements."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import apache_beam as beam
import pyarrow as pa

from open_images.building.build_plan import Vocabulary
from transforms.dataset.elements import LISTED, Source
from transforms.kinds.reading.ranges import plan_all_ranges

_CODEC = "zstd"


class Work(NamedTuple):
    """The elements of work, and the content of vocabulary files.

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


def _decompress_classes(_: bytes, vocabulary: Vocabulary, size: int) -> Vocabulary:
    classes = pa.decompress(vocabulary.classes, size, _CODEC, asbytes=True)
    return dataclasses.replace(vocabulary, classes=classes)


def _list_work(vocabulary: Vocabulary, sources: Sequence[Source], range_size: int) -> Iterator[Any]:
    yield vocabulary.classes
    for tag, elements in (
        ("labels", [vocabulary.labels]),
        ("ranges", plan_all_ranges(sources, range_size)),
        ("containers", [source for source in sources if source.medium in LISTED]),
        ("counts", vocabulary.counts),
        ("failed", vocabulary.failed),
    ):
        for element in elements:
            yield beam.pvalue.TaggedOutput(tag, element)


@dataclasses.dataclass(eq=False)
class ListWork(beam.PTransform):
    """Inputs → what there is to do, by two steps that run as one stage: each `Create` is three more
    steps, and one of them a stage by itself.

    The vocabulary is with the first step: it takes a megabyte, and Beam unpickles a step twice, and
    once more for each of its outputs.

    Attributes:
        sources: all inputs, by index.
        range_size: bytes of rows, about, of a range to be read.
        vocabulary: the content of vocabulary files.
    """

    sources: Sequence[Source]
    range_size: int
    vocabulary: Vocabulary

    @beam.typehints.no_annotations  # Beam knows no tuples of PCollections
    def expand(self, root: beam.pvalue.PBegin) -> Work:
        # Compressed, as Beam compresses slowly what it pickles.
        size = len(self.vocabulary.classes)
        classes = pa.compress(self.vocabulary.classes, _CODEC, asbytes=True)
        packed = dataclasses.replace(self.vocabulary, classes=classes)
        work = (
            root
            | beam.Impulse()
            | "Vocabulary" >> beam.Map(_decompress_classes, packed, size)
            | beam.FlatMap(_list_work, self.sources, self.range_size).with_outputs(
                *Work._fields[1:], main="classes"
            )
        )
        return Work(*(work[tag] for tag in Work._fields))
