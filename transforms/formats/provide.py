"""ProvideVocabulary: what was read before the pipeline → where the pipeline needs it."""

import zlib
from collections.abc import Iterator
from typing import Any

import apache_beam as beam

from transforms.config import Vocabulary


class ProvideVocabularyFn(beam.DoFn):
    """Emits a vocabulary's parts."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        # Compressed, as Beam compresses slowly what it pickles.
        self._classes = zlib.compress(vocabulary.classes, 1)
        self._counts = vocabulary.counts
        self._failed = vocabulary.failed

    def process(self, _: bytes) -> Iterator[Any]:
        yield zlib.decompress(self._classes)
        for count in self._counts:
            yield beam.pvalue.TaggedOutput("counts", count)
        for failed in self._failed:
            yield beam.pvalue.TaggedOutput("failed", failed)


class ProvideVocabulary(beam.PTransform):
    """A vocabulary as one step: three times `Create` takes seven, and pickles all of it four times.

    Outputs, by tag: the content of `classes.json` (`classes`), row counts (`counts`) and failures
    (`failed`) of the files it was read from.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        super().__init__()
        self._vocabulary = vocabulary

    def expand(self, root: beam.pvalue.PBegin) -> beam.pvalue.DoOutputsTuple:
        return (
            root
            | "OnceProvide" >> beam.Impulse()
            | "Provide"
            >> beam.ParDo(ProvideVocabularyFn(self._vocabulary)).with_outputs(
                "counts", "failed", main="classes"
            )
        )
