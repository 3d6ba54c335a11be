"""The metadata by which TensorFlow Datasets reads TFRecord shards without any builder code.

TFDS loads a dataset from a folder `<name>/<config>/<version>` that holds shards, `features.json`
and `dataset_info.json`: JSON forms of its protos FeatureConnector and DatasetInfo
(tensorflow_datasets/proto/feature.proto and dataset_info.proto; layout:
https://www.tensorflow.org/datasets/external_tfrecord). They are written here without TFDS.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from transforms.dataset.about import CITATION, HOMEPAGE
from transforms.dataset.naming import numbers
from transforms.formats.format import Shards

_FEATURES_PACKAGE = "tensorflow_datasets.core.features"
#: What records hold for a feature that isn't a tensor, and for one of some types.
_KINDS = {
    "text_feature.Text": "bytes",
    "class_label_feature.ClassLabel": "int64",
    "image_feature.Image": "bytes",
    "bounding_boxes.BBoxFeature": "float",
}
_KINDS_OF_TENSORS = {"string": "bytes", "float32": "float"}


class Dataset(NamedTuple):
    """A dataset of TFDS's, of which a release of Open Images is a config.

    Attributes:
        data_dir: what `tfds.load` is given as such, below the folder of a version.
        name: of the dataset.
        version: of its features.
        description: in some paragraphs.
    """

    data_dir: str
    name: str
    version: str
    description: str

    def folder(self, release: str) -> str:
        """Returns the folder in which TFDS finds it, below that of its version."""
        return f"{self.data_dir}/{self.name}/{release}/{self.version}"

    def shard_path(self, release: str, split: str, index: int, shards: int) -> str:
        """Returns the path of a shard; arguments as of `Format.shard_path`."""
        name = f"{self.name}-{split}.tfrecord-{numbers(index, shards)}"
        return f"{self.folder(release)}/{name}"

    def info(self, release: str, shards: Shards) -> dict[str, Any]:
        """Returns the DatasetInfo; its 64-bit integers are text, as in JSON of protos.

        Args:
            release: names the config.
            shards: of each split, in order.
        """
        return {
            "name": self.name,
            "configName": release,
            "version": self.version,
            "description": self.description,
            "citation": CITATION,
            "location": {"urls": [HOMEPAGE]},
            "fileFormat": "tfrecord",
            "splits": [
                {
                    "name": split,
                    "shardLengths": [str(shard.num_examples) for shard in sizes],
                    "numBytes": str(sum(shard.bytes for shard in sizes)),
                    "filepathTemplate": "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
                }
                for split, sizes in shards.items()
            ],
        }

    def is_of_shards(self, info: Mapping[str, Any], release: str, shards: Shards) -> bool:
        """Returns whether a DatasetInfo of whatever release leads TFDS to these shards."""
        expected = self.info(release, shards)
        return all(info[name] == expected[name] for name in ("configName", "version", "splits"))

    def loading_code(self, folder: str, release: str, split: str) -> str:
        """Returns code as of `Format.loading_code`."""
        data_dir = f"{folder}/{self.data_dir}"
        return (
            "import tensorflow_datasets as tfds; "
            f"dataset = tfds.load({f'{self.name}/{release}'!r}, split={split!r}, "
            f"data_dir={data_dir!r})"
        )


def features_dict(features: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the FeatureConnector of features by name."""
    return _connector("features_dict.FeaturesDict", featuresDict={"features": dict(features)})


def sequence(feature: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the FeatureConnector of a list of any length."""
    content = {"feature": feature, "length": "-1"}
    return _connector("sequence_feature.Sequence", sequence=content)


def text() -> dict[str, Any]:
    """Returns the FeatureConnector of a text."""
    return _connector("text_feature.Text", text={})


def number(dtype: str) -> dict[str, Any]:
    """Returns the FeatureConnector of a number, or of bytes, which are a `string`."""
    content = {"dtype": dtype, "encoding": "none", "shape": {}}
    return _connector("tensor_feature.Tensor", tensor=content)


def class_label(classes: int) -> dict[str, Any]:
    """Returns the FeatureConnector of one of some classes; a file of its own has their names."""
    return _connector("class_label_feature.ClassLabel", classLabel={"numClasses": str(classes)})


def box() -> dict[str, Any]:
    """Returns the FeatureConnector of a box."""
    content = {"bboxFormat": "REL_YXYX", "dtype": "float32", "shape": {"dimensions": ["4"]}}
    return _connector("bounding_boxes.BBoxFeature", boundingBox=content)


def image(dtype: str = "uint8", channels: int = 3, **encoding: str) -> dict[str, Any]:
    """Returns the FeatureConnector of a picture."""
    shape = {"dimensions": ["-1", "-1", str(channels)]}
    return _connector("image_feature.Image", image={"dtype": dtype, "shape": shape, **encoding})


def _connector(name: str, **content: Any) -> dict[str, Any]:
    return {"pythonClassName": f"{_FEATURES_PACKAGE}.{name}", **content}


def parse_features(content: Mapping[str, Any], key: str = "", lists: int = 0) -> dict[str, str]:
    """Returns the flat features of a record, and their kinds, that a FeatureConnector stands for.

    Args:
        content: as of `features`, of whatever release.
        key: of the feature.
        lists: how many lists it lies in.
    """
    name = content["pythonClassName"].removeprefix(f"{_FEATURES_PACKAGE}.")
    if name == "features_dict.FeaturesDict":
        members = content["featuresDict"]["features"]
        found: dict[str, str] = {}
        for member, inner in members.items():
            found |= parse_features(inner, f"{key}/{member}" if key else member, lists)
        return found
    if name == "sequence_feature.Sequence":
        return parse_features(content["sequence"]["feature"], key, lists + 1)
    kind = _KINDS.get(name, name)
    if name == "tensor_feature.Tensor":
        kind = _KINDS_OF_TENSORS.get(content["tensor"]["dtype"], "int64")
    if lists < 2:
        return {key: kind}
    lengths = {f"{key}/ragged_row_lengths_{level}": "int64" for level in range(lists - 1)}
    return {f"{key}/ragged_flat_values": kind} | lengths
