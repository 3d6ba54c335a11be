"""The metadata by which TensorFlow Datasets reads our TFRecord shards without any builder code.

TFDS loads a dataset from a folder `<name>/<config>/<version>` that holds shards, `features.json`
and `dataset_info.json`: JSON forms of its protos FeatureConnector and DatasetInfo
(tensorflow_datasets/proto/feature.proto and dataset_info.proto; layout:
https://www.tensorflow.org/datasets/external_tfrecord). They are written here from the Arrow schema
that the encoder also follows, so TFDS itself isn't needed.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from transforms.dataset.schema import MAP_COLUMNS
from transforms.formats.format import Shards
from transforms.formats.tfrecord.features import BOXES, members
from transforms.kinds.registry import EXAMPLE

#: What `tfds.load` is given as `data_dir`, below the folder of a version.
DATA_DIR = "tfrecord"
NAME = "open_images"
VERSION = "1.0.0"
HOMEPAGE = "https://storage.googleapis.com/openimages/web/index.html"

DESCRIPTION = """\
Open Images: about nine million pictures with image-level labels, object bounding boxes, instance
segmentation masks, visual relationships, localized narratives and point-level labels.

Labels are machine-generated identifiers (MIDs). Coordinates are fractions of the picture's width or
height, from its top left corner; boxes are ymin, xmin, ymax, xmax; times are seconds.
`masks/counts` is the compressed COCO run-length encoding of a mask with `masks/size` (height,
width). What isn't known is -1 where it is an integer, NaN where it is a float, and empty where it
is text or a list."""

CITATION = """\
@article{kuznetsova2020open,
  title = {The Open Images Dataset V4: Unified Image Classification, Object Detection, and Visual
           Relationship Detection at Scale},
  author = {Kuznetsova, Alina and Rom, Hassan and Alldrin, Neil and Uijlings, Jasper and
            Krasin, Ivan and Pont-Tuset, Jordi and Kamali, Shahab and Popov, Stefan and
            Malloci, Matteo and Kolesnikov, Alexander and Duerig, Tom and Ferrari, Vittorio},
  journal = {International Journal of Computer Vision},
  volume = {128},
  pages = {1956--1981},
  year = {2020},
  doi = {10.1007/s11263-020-01316-z},
}"""

_FEATURES_PACKAGE = "tensorflow_datasets.core.features"
#: What records hold for a feature that isn't a tensor, and for one of some types.
_KINDS = {
    "text_feature.Text": "bytes",
    "image_feature.Image": "bytes",
    "bounding_boxes.BBoxFeature": "float",
}
_KINDS_OF_TENSORS = {"string": "bytes", "float32": "float"}


def dataset_folder(release: str) -> str:
    """Returns the folder in which TFDS finds the dataset, below that of its version."""
    return f"{DATA_DIR}/{NAME}/{release}/{VERSION}"


def dataset_info(release: str, shards: Shards) -> dict[str, Any]:
    """Returns the DatasetInfo of a dataset; its 64-bit integers are text, as in JSON of protos.

    Args:
        release: names the config.
        shards: of each split, in order.
    """
    return {
        "name": NAME,
        "configName": release,
        "version": VERSION,
        "description": DESCRIPTION,
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


def is_of_shards(info: Mapping[str, Any], release: str, shards: Shards) -> bool:
    """Returns whether a DatasetInfo of whatever release leads TFDS to these shards."""
    expected = dataset_info(release, shards)
    return all(info[name] == expected[name] for name in ("configName", "version", "splits"))


def features(columns: Sequence[str]) -> dict[str, Any]:
    """Returns the FeatureConnector of an example with these columns of `EXAMPLE`."""
    pictures = {
        "image": _image("uint8", channels=3),
        **{name: _image("uint16", channels=1, encodingFormat="png") for name in MAP_COLUMNS},
    }
    return _dict(
        {name: pictures.get(name) or _feature(EXAMPLE.field(name).type) for name in columns}
    )


def _feature(dtype: pa.DataType) -> dict[str, Any]:
    if pa.types.is_struct(dtype):
        return _dict(
            {
                name: _box() if name in BOXES else _feature(dtype.field(fields[0]).type)
                for name, fields in members(dtype).items()
            }
        )
    if pa.types.is_list(dtype):
        return _connector(
            "sequence_feature.Sequence",
            sequence={"feature": _feature(dtype.value_type), "length": "-1"},
        )
    if pa.types.is_string(dtype):
        return _connector("text_feature.Text", text={})
    name = {pa.float32(): "float32", pa.binary(): "string"}.get(dtype, str(dtype))
    tensor = {"dtype": name, "encoding": "none", "shape": {}}
    return _connector("tensor_feature.Tensor", tensor=tensor)


def _dict(children: dict[str, Any]) -> dict[str, Any]:
    return _connector("features_dict.FeaturesDict", featuresDict={"features": children})


def _box() -> dict[str, Any]:
    box = {"bboxFormat": "REL_YXYX", "dtype": "float32", "shape": {"dimensions": ["4"]}}
    return _connector("bounding_boxes.BBoxFeature", boundingBox=box)


def _image(dtype: str, channels: int, **encoding: str) -> dict[str, Any]:
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
