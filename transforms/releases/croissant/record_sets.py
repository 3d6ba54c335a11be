"""Record sets: what the rows of a format's shards hold, column by column.

A field of a list of structs is found by its column, and then by a JSONPath in each of its elements.
Where lists lie in lists there is a path each, as the reference implementation, mlcroissant, applies
them: one path through both fails where the inner list is null.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from transforms.dataset.schema import IMAGE
from transforms.releases.croissant.descriptions import describe

Node = dict[str, Any]

_ATOMIC = {
    pa.string(): "sc:Text",
    pa.binary(): "sc:Text",
    pa.float32(): "cr:Float32",
    pa.int8(): "cr:Int8",
    pa.int16(): "cr:Int16",
    pa.int32(): "cr:Int32",
    pa.int64(): "cr:Int64",
}
#: What columns mean elsewhere.
_PROPERTIES = {
    "license": "sc:license",
    "author": "sc:author",
    "title": "sc:name",
    "original_url": "sc:contentUrl",
    "original_landing_url": "sc:url",
    "thumbnail_300k_url": "sc:thumbnailUrl",
}
#: A number of things, as an annotation of what holds them.
_CARDINALITY = "http://www.wikidata.org/entity/Q4049983"
SPLITS = "splits"
_SPLIT_CLASSES = {
    "train": "cr:TrainingSplit",
    "validation": "cr:ValidationSplit",
    "test": "cr:TestSplit",
}


def record_set(
    name: str,
    columns: pa.Schema,
    folder: str,
    counts: Mapping[str, int],
    annotations: Mapping[str, int],
    derived_from: Mapping[str, Sequence[Node]],
) -> Node:
    """Returns the record set of the examples of a format.

    Args:
        name: of the format.
        columns: of its shards.
        folder: of its shards, below the version's.
        counts: of examples, by split.
        annotations: how many there are, by column.
        derived_from: references to the sources of a column's annotations, by column.
    """
    fields = []
    for column in columns:
        if column.name == "split":
            fields.append(_split_field(name, folder, counts))
            continue
        field = _field(f"{name}/{column.name}", column.type, _Source(name, column.name))
        if column.name in _PROPERTIES:
            field["equivalentProperty"] = _PROPERTIES[column.name]
        if column.name in annotations:
            field["annotation"] = count(f"{name}/{column.name}/count", annotations[column.name])
        if derived_from.get(column.name):
            field["prov:wasDerivedFrom"] = derived_from[column.name]
        fields.append(field)
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": f"An example an image, as the files in {folder} hold them.",
        "key": {"@id": f"{name}/image_id"},
        "field": fields,
        "annotation": count(f"{name}/count", sum(counts.values())),
    }


def count(name: str, value: int) -> Node:
    """Returns the annotation that says how many of something there are."""
    return {
        "@type": "cr:Field",
        "@id": name,
        "name": name,
        "dataType": _CARDINALITY,
        "value": value,
    }


def splits(counts: Mapping[str, int]) -> Node:
    """Returns the record set of the splits, with the number of their examples."""
    types = {"name": "sc:Text", "url": "sc:URL", "num_examples": "cr:Int64"}
    return {
        "@type": "cr:RecordSet",
        "@id": SPLITS,
        "name": SPLITS,
        "dataType": "cr:Split",
        "key": {"@id": f"{SPLITS}/name"},
        "field": [_leaf(f"{SPLITS}/{name}", dtype) for name, dtype in types.items()],
        "data": [
            {
                f"{SPLITS}/name": split,
                f"{SPLITS}/url": _SPLIT_CLASSES[split],
                f"{SPLITS}/num_examples": examples,
            }
            for split, examples in counts.items()
        ],
    }


def classes(path: str) -> Node:
    """Returns the record set of the classes; `path` is that of their JSON file."""
    types = {"label": "sc:Text", "name": "sc:Text", "index": "cr:Int64", "parents": "sc:Text"}
    fields = [
        {
            **_leaf(f"classes/{name}", dtype),
            "source": {"fileObject": {"@id": path}, "extract": {"jsonPath": f"$[*].{name}"}},
        }
        for name, dtype in types.items()
    ]
    fields[-1] |= {"isArray": True, "arrayShape": "-1"}
    return {
        "@type": "cr:RecordSet",
        "@id": "classes",
        "name": "classes",
        "description": describe("classes"),
        "dataType": "sc:Enumeration",
        "key": {"@id": "classes/label"},
        "field": fields,
    }


class _Source:
    """Where a field's values are in the rows of a format's files.

    Attributes:
        paths: JSONPaths within the column, one after another.
    """

    def __init__(self, files: str, column: str, paths: tuple[str, ...] = ()) -> None:
        self._files = files
        self._column = column
        self.paths = paths

    def member(self, name: str, lists: int) -> "_Source":
        """Returns the source of a member of the struct that this one is, or lists of it.

        Args:
            name: of the member.
            lists: in how many lists, one in another, the struct is; readers go through the elements
                of a column that is a list by themselves.
        """
        path = f"{'[*]' * lists}.{name}" if lists and self.paths else name
        return _Source(self._files, self._column, (*self.paths, path))

    def encode(self) -> Node:
        found: Node = {"fileSet": {"@id": f"{self._files}-files"}}
        found["extract"] = {"column": self._column}
        if self.paths:
            found["transform"] = [{"jsonPath": path} for path in self.paths]
        return found


def _field(name: str, dtype: pa.DataType, source: _Source) -> Node:
    """Returns the field of a column, or of a member of one."""
    lists = 0
    while pa.types.is_list(dtype):
        dtype, lists = dtype.value_type, lists + 1
    field = _leaf(name)
    if lists:
        field |= {"isArray": True, "arrayShape": ",".join(["-1"] * lists)}
    if dtype == IMAGE:  # in an annotation, a recording
        medium = "sc:AudioObject" if source.paths else "sc:ImageObject"
        return {**field, "dataType": medium, "source": source.member("bytes", 0).encode()}
    if not pa.types.is_struct(dtype):
        return {**field, "dataType": _data_type(name, dtype), "source": source.encode()}
    members = [
        _field(f"{name}/{each.name}", each.type, source.member(each.name, lists)) for each in dtype
    ]
    return {**field, "subField": members}


def _leaf(name: str, dtype: str | None = None) -> Node:
    """Returns the field of an id, with its description where there is one."""
    field: Node = {"@type": "cr:Field", "@id": name, "name": name}
    if text := describe(name.partition("/")[2]):
        field["description"] = text
    if dtype:
        field["dataType"] = dtype
    return field


def _data_type(name: str, dtype: pa.DataType) -> str | list[str]:
    is_label = name.rpartition("/")[2] in ("label", "label1", "label2", "category")
    atomic = "sc:URL" if name.endswith("_url") else _ATOMIC[dtype]
    return [atomic, "cr:Label"] if is_label else atomic


def _split_field(name: str, folder: str, counts: Mapping[str, int]) -> Node:
    """Returns the field of the split, which is that of the file's name.

    Readers that are asked for one split then open its files alone. A reference to the splits would
    have mlcroissant read all files before the first record.
    """
    return {
        **_leaf(f"{name}/split"),
        "dataType": ["sc:Text", "cr:Split"],
        "source": {
            "fileSet": {"@id": f"{name}-files"},
            "extract": {"fileProperty": "fullpath"},
            "transform": {"regex": f"^{folder}/({'|'.join(counts)})-.+$"},
        },
    }
