"""What formats of TFRecord files have in common, and those of them that TFDS reads by name."""

import abc
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

from transforms.formats.format import Content, Format, Schema, Shards
from transforms.formats.settings import FormatSettings
from transforms.formats.tfrecord import tfds
from transforms.formats.tfrecord.examples import (
    ALL_FIELDS,
    RecordExamples,
    RecordFields,
    read_examples,
)
from transforms.formats.tfrecord.features import Leaf
from transforms.formats.tfrecord.records import KIND_NAMES
from transforms.formats.tfrecord.writer import count_records


class RecordFormat(Format):
    """Records that are a tf.train.Example each."""

    media_type = "application/x-tfrecord"
    #: Which of its features hold what programs ask for.
    fields: ClassVar[RecordFields] = ALL_FIELDS

    def refusal(self, image_encoding: str) -> str:
        return "TensorFlow can't decode it" if image_encoding == "webp" else ""

    def count(self, path: str) -> int:
        return count_records(path)

    def schema(self, content: Content) -> dict[str, str]:
        return {leaf.key: KIND_NAMES[leaf.kind] for leaf in self.empty_features(content)}

    @abc.abstractmethod
    def empty_features(self, content: Content) -> Sequence[Leaf]:
        """Returns the features of no example; argument as of `schema`."""

    def read(
        self, path: str, columns: Sequence[str] | None = None, schema: Schema | None = None
    ) -> Iterator[RecordExamples]:
        return read_examples(path, schema, self.fields)


class DatasetFormat(RecordFormat):
    """Records, and what TFDS reads of them beside the shards."""

    dataset: ClassVar[tfds.Dataset]

    @abc.abstractmethod
    def describe(self, content: Content) -> dict[str, Any]:
        """Returns the FeatureConnector of an example."""

    def shard_path(self, settings: FormatSettings, split: str, index: int, shards: int) -> str:
        return self.dataset.shard_path(settings.release, split, index, shards)

    def documents(self, content: Content, shards: Shards) -> dict[str, Any]:
        release = content.settings.release
        folder = self.dataset.folder(release)
        return {
            f"{folder}/features.json": self.describe(content),
            f"{folder}/dataset_info.json": self.dataset.info(release, shards),
        }

    def document_tests(
        self, settings: FormatSettings, schema: Schema, shards: Shards
    ) -> dict[str, Callable[[Any], bool]]:
        release, dataset = settings.release, self.dataset
        folder = dataset.folder(release)
        return {
            f"{folder}/features.json": lambda content: tfds.parse_features(content) == schema,
            f"{folder}/dataset_info.json": lambda info: dataset.is_of_shards(info, release, shards),
        }

    def loading_code(self, folder: str, settings: FormatSettings, split: str) -> str:
        return self.dataset.loading_code(folder, settings.release, split)
