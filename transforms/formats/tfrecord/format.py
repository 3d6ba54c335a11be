"""TFRecord as an output format: read by tf.data, and by TFDS without any builder code."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from transforms.dataset.naming import numbers
from transforms.formats.format import Content, Format, Schema, Shards
from transforms.formats.settings import FormatSettings
from transforms.formats.tfrecord import tfds
from transforms.formats.tfrecord.examples import RecordExamples, read_examples
from transforms.formats.tfrecord.features import leaves
from transforms.formats.tfrecord.records import KIND_NAMES
from transforms.formats.tfrecord.writer import TFRecordWriter, count_records
from transforms.kinds.registry import EXAMPLE


class TFRecord(Format):
    """Records that are a tf.train.Example each, and what TFDS reads of them beside the shards."""

    name = "tfrecord"
    writer = TFRecordWriter

    def shard_path(self, settings: FormatSettings, split: str, index: int, shards: int) -> str:
        name = f"{tfds.NAME}-{split}.tfrecord-{numbers(index, shards)}"
        return f"{tfds.dataset_folder(settings.release)}/{name}"

    def refusal(self, image_encoding: str) -> str:
        return "TensorFlow can't decode it" if image_encoding == "webp" else ""

    def count(self, path: str) -> int:
        return count_records(path)

    def documents(self, content: Content, shards: Shards) -> dict[str, Any]:
        release = content.settings.release
        folder = tfds.dataset_folder(release)
        return {
            f"{folder}/features.json": tfds.features(content.columns),
            f"{folder}/dataset_info.json": tfds.dataset_info(release, shards),
        }

    def document_tests(
        self, settings: FormatSettings, schema: Schema, shards: Shards
    ) -> dict[str, Callable[[Any], bool]]:
        release = settings.release
        folder = tfds.dataset_folder(release)
        return {
            f"{folder}/features.json": lambda content: tfds.parse_features(content) == schema,
            f"{folder}/dataset_info.json": lambda info: tfds.is_of_shards(info, release, shards),
        }

    def loading_code(self, folder: str, settings: FormatSettings, split: str) -> str:
        data_dir = f"{folder}/{tfds.DATA_DIR}"
        return (
            "import tensorflow_datasets as tfds; "
            f"dataset = tfds.load({f'{tfds.NAME}/{settings.release}'!r}, split={split!r}, "
            f"data_dir={data_dir!r})"
        )

    def schema(self, content: Content) -> dict[str, str]:
        found = leaves(EXAMPLE.empty_table(), content.columns)
        return {leaf.key: KIND_NAMES[leaf.kind] for leaf in found}

    def read(
        self, path: str, columns: Sequence[str] | None = None, schema: Schema | None = None
    ) -> Iterator[RecordExamples]:
        return read_examples(path, schema)


FORMAT = TFRecord()
