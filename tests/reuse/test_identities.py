"""What counts as unchanged: buckets by content, pictures by what is known of them."""

import numpy as np
import pyarrow as pa
import pytest

from transforms.dataset.elements import Source
from transforms.examples.join import MEMBER
from transforms.kinds.boxes import BOX
from transforms.reuse.identity import mask_identities, picture_identities
from transforms.reuse.lineage import digest_of

ROW = {"label": "/m/1", "source": "x", "confidence": 1.0, "xmin": 0.25, "is_inside": None}
BOXES = [[ROW, ROW | {"label": "/m/2"}], [], None, [ROW | {"source": None}]]


def joined(boxes: list) -> pa.Table:
    ids = pa.array([f"{i:016x}" for i in range(len(boxes))])
    return pa.table({"image_id": ids, "bboxes": pa.array(boxes, pa.list_(BOX))})


def coded(table: pa.Table, labels: list[str]) -> pa.Table:
    """The table with labels as codes of a dictionary."""
    lists = table["bboxes"].combine_chunks()
    values = lists.flatten()
    fields = dict(zip(BOX.names, values.flatten(), strict=True))
    codes = pa.array([labels.index(label) for label in fields["label"].to_pylist()], pa.int32())
    fields["label"] = pa.DictionaryArray.from_arrays(codes, pa.array(labels))
    struct = pa.StructArray.from_arrays(list(fields.values()), list(fields))
    mask = lists.is_null()
    column = pa.ListArray.from_arrays(pa.array([0, 2, 2, 2, 3], pa.int32()), struct, mask=mask)
    return table.set_column(1, "bboxes", column)


def test_how_a_table_is_held_does_not_count():
    table = joined(BOXES)
    expected = digest_of(table, [])
    pieces = pa.concat_tables([table.slice(0, 1), table.slice(1, 2), table.slice(3)])
    assert digest_of(pieces, []) == expected
    assert digest_of(coded(table, ["/m/1", "/m/2"]), []) == expected
    assert digest_of(coded(table, ["/m/9", "/m/2", "/m/1"]), []) == expected


CHANGES = [
    [BOXES[0], None, None, BOXES[3]],
    [BOXES[0], [], [], BOXES[3]],
    [[], BOXES[0], None, BOXES[3]],
    [BOXES[0][::-1], [], None, BOXES[3]],
    [BOXES[0], [], None, [ROW | {"source": ""}]],
    [BOXES[0], [], None, [ROW | {"source": None, "is_inside": 0}]],
    [BOXES[0], [], None, [ROW | {"source": None, "xmin": 0.5}]],
    [*BOXES, []],
]


@pytest.mark.parametrize("boxes", CHANGES)
def test_any_change_of_content_counts(boxes: list):
    assert digest_of(joined(boxes), []) != digest_of(joined(BOXES), [])


def test_what_else_counts():
    digests = [digest_of(joined(BOXES), others) for others in ([], [b""], [b"a"], [b"", b"a"])]
    assert len(set(digests)) == 4


FOLDER = Source(0, "pictures", "/a/folder", 0, medium="folder", digest="list:1")
TAR = Source(1, "pictures", "/a/some.tar", 99, medium="tar", digest="time:1")
ZIP = Source(2, "pictures", "/a/some.zip", 99, medium="zip", digest="time:1")
HTTP = Source(3, "pictures", "https://host/{image_id}.jpg", 0, medium="http")
MEMBERS = {
    "folder": {
        "name": "x.jpg",
        "container": "/a/x.jpg",
        "offset": 0,
        "size": 5,
        "stamp": 7,
        "source": 0,
    },
    "tar": {"name": "x.jpg", "container": "/a/some.tar", "offset": 512, "size": 5, "source": 1},
    "zip": {
        "name": "x.jpg",
        "container": "/a/some.zip",
        "offset": 64,
        "size": 5,
        "crc32": 8,
        "source": 2,
    },
}
SOURCES = (FOLDER, TAR, ZIP)


def identity(*members: dict, sources: tuple = SOURCES, rotation: int | None = None) -> int:
    """What a picture with these members is known by."""
    images = pa.table(
        {
            "split": ["train"],
            "rotation": pa.array([rotation], pa.int16()),
            "pictures": pa.array([list(members)], pa.list_(MEMBER)),
        }
    )
    (found,) = picture_identities(images, sources, turned=True)
    return int(found)


@pytest.mark.parametrize(
    ("kind", "counts", "is_no_matter"),
    [
        ("folder", {"name": "y.jpg", "size": 6, "stamp": 8}, {"container": "/b/x.jpg"}),
        ("tar", {"name": "y.jpg", "size": 6, "offset": 1024}, {"container": "/elsewhere/unpacked"}),
        ("zip", {"name": "y.jpg", "size": 6, "crc32": 9}, {"offset": 99, "container": "/b.zip"}),
    ],
)
def test_what_members_are_known_by(kind: str, counts: dict, is_no_matter: dict):
    known = identity(MEMBERS[kind])
    assert identity(MEMBERS[kind] | is_no_matter) == known
    for name, value in counts.items():
        assert identity(MEMBERS[kind] | {name: value}) != known
    assert identity(MEMBERS[kind], rotation=90) != known
    assert identity(MEMBERS[kind], sources=(*SOURCES, HTTP)) != known


def test_an_archive_that_has_changed():
    changed = tuple(
        Source(s.index, s.kind, s.path, s.size, medium=s.medium, digest="time:2") for s in SOURCES
    )
    same = {kind: identity(m) == identity(m, sources=changed) for kind, m in MEMBERS.items()}
    assert same == {"folder": True, "tar": False, "zip": True}


def test_order_and_number_of_members_count():
    one, other = MEMBERS["folder"], MEMBERS["zip"]
    found = {identity(), identity(one), identity(one, other), identity(other, one)}
    assert len(found) == 4


def test_masks_are_known_by_all_there_is_of_them():
    def known(names: list[str], members: list[dict], picture: int) -> int:
        masks = [{"mask_path": name} for name in names]
        images = pa.table(
            {
                "masks": pa.array([masks], pa.list_(pa.struct([("mask_path", pa.string())]))),
                "mask_files": pa.array([members], pa.list_(MEMBER)),
            }
        )
        return int(mask_identities(images, SOURCES, np.array([picture], np.uint64))[0])

    found = {
        known(["a"], [MEMBERS["zip"]], 1),
        known(["a"], [MEMBERS["zip"]], 2),
        known(["b"], [MEMBERS["zip"]], 1),
        known(["a", "b"], [MEMBERS["zip"]], 1),
        known(["a"], [MEMBERS["zip"] | {"crc32": 1}], 1),
        known(["a"], [], 1),
    }
    assert len(found) == 6
