"""The metadata by which TensorFlow Datasets reads our TFRecord shards without any builder code.

TFDS loads a dataset from a folder `<name>/<config>/<version>` that holds shards, `features.json`
and `dataset_info.json`: JSON forms of its protos FeatureConnector and DatasetInfo
(tensorflow_datasets/proto/feature.proto and dataset_info.proto; layout:
https://www.tensorflow.org/datasets/external_tfrecord). They are written here from the Arrow schema
that the encoder also follows, so TFDS itself isn't needed.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from transforms.dataset.naming import TFDS_NAME, TFDS_VERSION
from transforms.dataset.schema import EXAMPLE, MAP_COLUMNS
from transforms.formats.features import BOXES, members

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


def encode_metadata(
    columns: Sequence[str],
    *,
    splits: Mapping[str, Sequence[int]],
    num_bytes: Mapping[str, int],
    config: str = "v7",
    version: str = TFDS_VERSION,
) -> dict[str, bytes]:
    """Returns the content of `features.json` and `dataset_info.json`, by name.

    They belong beside the shards, in `<data_dir>/open_images/<config>/<version>`.

    Args:
        columns: which columns of `EXAMPLE` became features; see `features.columns`.
        splits: of each split, the number of examples in each shard.
        num_bytes: of each split, the size of its shards together.
        config: the release.
        version: three numbers, as TFDS wants them.
    """
    info = dataset_info(config, version, splits, num_bytes)
    return {
        f"{name}.json": (
            json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        ).encode()
        for name, content in (("features", features(columns)), ("dataset_info", info))
    }


def dataset_info(
    config: str,
    version: str,
    splits: Mapping[str, Sequence[int]],
    num_bytes: Mapping[str, int],
) -> dict[str, Any]:
    """The DatasetInfo; its 64-bit integers are text, as in any JSON form of a proto."""
    return {
        "name": TFDS_NAME,
        "configName": config,
        "version": version,
        "description": DESCRIPTION,
        "citation": CITATION,
        "location": {"urls": [HOMEPAGE]},
        "fileFormat": "tfrecord",
        "splits": [
            {
                "name": split,
                "shardLengths": [str(length) for length in lengths],
                "numBytes": str(num_bytes[split]),
                "filepathTemplate": "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
            }
            for split, lengths in splits.items()
        ],
    }


def features(columns: Sequence[str]) -> dict[str, Any]:
    """The FeatureConnector of an example with these columns of `EXAMPLE`."""
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
