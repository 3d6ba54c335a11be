"""Pictures, masks and annotations turn as one."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.examples.imaging.annotations import turn_annotations
from transforms.examples.imaging.rotate import turn, turned_size
from transforms.kinds.masks import MASK_ROW
from transforms.kinds.registry import ANNOTATION_COLUMNS, EXAMPLE

ROTATIONS = (0, 90, 180, 270)
HEIGHT, WIDTH = 48, 80
SCHEMA = pa.schema({name: pa.list_(type_) for name, type_ in ANNOTATION_COLUMNS.items()})


def box(mask: np.ndarray) -> dict[str, float]:
    """Where a mask's first and last column and row begin and end."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    height, width = mask.shape
    return {
        "xmin": columns[0] / width,
        "xmax": (columns[-1] + 1) / width,
        "ymin": rows[0] / height,
        "ymax": (rows[-1] + 1) / height,
    }


def inside(mask: np.ndarray) -> list[dict[str, float]]:
    """The centres of some of a mask's pixels."""
    rows, columns = np.nonzero(mask)
    some = slice(None, None, len(rows) // 4)
    return [
        {"x": (x + 0.5) / mask.shape[1], "y": (y + 0.5) / mask.shape[0]}
        for y, x in zip(rows[some], columns[some], strict=True)
    ]


def scene() -> tuple[np.ndarray, list[np.ndarray]]:
    """A picture of three objects, numbered by their colour, and their masks."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    masks = [
        (x - 60) ** 2 + 2 * (y - 14) ** 2 < 150,
        (y > 30) & (x < 3 * (y - 30)) & (x < 40),
        (abs(x - 70) < 3) & (y > 35),
    ]
    pixels = np.full((HEIGHT, WIDTH, 3), 99, np.uint8)
    for number, mask in enumerate(masks):
        pixels[mask] = number
    return pixels, masks


def annotate(masks: list[np.ndarray]) -> dict[str, list[dict]]:
    """All kinds of annotations of a scene; labels are the objects' numbers."""
    first, second = ({f"{edge}{i}": value for edge, value in box(masks[i - 1]).items()}
                     for i in (1, 2))  # fmt: skip
    return {
        "image_labels": [{"label": "0", "source": "human", "confidence": 1.0}],
        "bboxes": [
            {"label": str(i), "extreme_points": inside(mask), **box(mask)}
            for i, mask in enumerate(masks)
        ],
        "person_boxes": [{"label": str(i), **box(mask)} for i, mask in enumerate(masks)],
        "masks": [
            {"label": str(i), "clicks": [{**p, "t": 1} for p in inside(mask)], **box(mask)}
            for i, mask in enumerate(masks)
        ],
        "relationships": [{"label1": "0", "label2": "1", "relationship": "on", **first, **second}],
        "narratives": [
            {"caption": "three", "traces": [[{**p, "t": 0.5} for p in inside(m)] for m in masks]}
        ],
        "points": [{"label": str(i), **p} for i, mask in enumerate(masks) for p in inside(mask)],
    }


def check_covers(row: dict, pixels: np.ndarray, masks: list[np.ndarray]) -> None:
    """Whether all boxes and points of a row are where the objects of a picture are."""

    def number(point: dict) -> str:
        height, width, _ = pixels.shape
        return str(pixels[int(point["y"] * height), int(point["x"] * width), 0])

    for i, mask in enumerate(masks):
        for found in (row["bboxes"][i], row["person_boxes"][i], row["masks"][i]):
            assert {edge: found[edge] for edge in box(mask)} == pytest.approx(box(mask), abs=1e-6)
        assert {number(p) for p in row["bboxes"][i]["extreme_points"]} == {str(i)}
        assert {number(p) for p in row["masks"][i]["clicks"]} == {str(i)}
        assert {number(p) for p in row["narratives"][0]["traces"][i]} == {str(i)}
    assert all(number(point) == point["label"] for point in row["points"])
    for i in (1, 2):
        edges = {edge: row["relationships"][0][f"{edge}{i}"] for edge in box(masks[0])}
        assert edges == pytest.approx(box(masks[i - 1]), abs=1e-6)


def test_a_scene_covers_the_same_objects_after_turning() -> None:
    pixels, masks = scene()
    table = pa.Table.from_pylist([annotate(masks)] * 5, SCHEMA)
    rotations = [*ROTATIONS, None]
    turned = turn_annotations(table, pa.array(rotations, pa.int16()))
    assert turned.schema == SCHEMA
    for rotation, row in zip(rotations, turned.to_pylist(), strict=True):
        turned_masks = [turn(mask, rotation) for mask in masks]
        turned_pixels = turn(pixels, rotation)
        assert turned_pixels.shape[:2] == turned_size(HEIGHT, WIDTH, rotation)
        for number, mask in enumerate(turned_masks):
            assert (mask == (turned_pixels[..., 0] == number)).all()
        check_covers(row, turned_pixels, turned_masks)


@pytest.mark.parametrize("rotation", ROTATIONS)
@pytest.mark.parametrize("shape", [(5, 8, 3), (5, 8), (1, 7), (3, 1, 3)])
@pytest.mark.parametrize("dtype", [np.uint8, bool])
def test_arrays_turn_as_rot90(rotation: int, shape: tuple[int, ...], dtype: type) -> None:
    array = np.random.default_rng(1).integers(0, 2, shape).astype(dtype)
    for given_ in (array, np.asfortranarray(array), array[::-1]):
        turned = turn(given_, rotation)
        assert turned.dtype == dtype
        assert (turned == np.rot90(given_, rotation // 90)).all()
        if rotation:
            assert turned.flags.c_contiguous
    assert turn(array, None) is array
    assert turned_size(*turned_size(5, 8, rotation), rotation) == (5, 8)


FRACTION = st.floats(0, 1, width=32)
POINT = st.fixed_dictionaries({"x": FRACTION, "y": FRACTION})
SPANS = st.tuples(FRACTION, FRACTION).map(sorted)


def boxes(*numbers: str) -> st.SearchStrategy[dict]:
    names = [f"{axis}{{}}{number}" for number in numbers for axis in "xy"]
    return st.tuples(*[SPANS] * len(names)).map(
        lambda spans: {
            name.format(end): edge
            for name, span in zip(names, spans, strict=True)
            for end, edge in zip(("min", "max"), span, strict=True)
        }
    )


def lists(values: st.SearchStrategy) -> st.SearchStrategy:
    """Null, empty or not."""
    return st.none() | st.lists(values, max_size=3)


def with_points(name: str, points: st.SearchStrategy) -> st.SearchStrategy[dict]:
    return st.builds(lambda found, some: {**found, name: some}, boxes(""), points)


TRACE = st.lists(st.builds(lambda p, t: {**p, "t": t}, POINT, FRACTION), max_size=3)
ROW = st.fixed_dictionaries(
    {
        "bboxes": lists(with_points("extreme_points", lists(POINT))),
        "masks": lists(with_points("clicks", lists(POINT))),
        "relationships": lists(boxes("1", "2")),
        "narratives": lists(st.fixed_dictionaries({"traces": st.lists(TRACE, max_size=3)})),
        "points": lists(POINT),
    }
)


def numbers(value, path: str = "") -> dict[str, float | str | None]:
    """All leaves of a nested value by their path."""
    if isinstance(value, dict):
        return {k: v for key in value for k, v in numbers(value[key], f"{path}/{key}").items()}
    if isinstance(value, list):
        leaves = {k: v for i, v in enumerate(value) for k, v in numbers(v, f"{path}/{i}").items()}
        return {f"{path}/length": len(value), **leaves}
    return {path: value}


def same(rows: list[dict], others: list[dict]) -> bool:
    return numbers(rows) == pytest.approx(numbers(others), abs=1e-6)


@given(rows=st.lists(ROW, min_size=2, max_size=4), data=st.data())
def test_turning_on_comes_round(rows: list[dict], data: st.DataObject) -> None:
    rotation = data.draw(
        st.lists(st.sampled_from([*ROTATIONS, None]), min_size=len(rows), max_size=len(rows))
    )
    table = pa.Table.from_pylist(rows, SCHEMA)
    degrees = pa.array(rotation, pa.int16())
    back = pa.array([-(r or 0) % 360 for r in rotation], pa.int16())
    turned = turn_annotations(table, degrees)
    turned.validate(full=True)
    again = table
    for _ in range(4):
        again = turn_annotations(again, degrees)
    assert same(again.to_pylist(), table.to_pylist())
    assert same(turn_annotations(turned, back).to_pylist(), table.to_pylist())
    for before, after, angle in zip(table.to_pylist(), turned.to_pylist(), rotation, strict=True):
        assert angle or before == after
    found = turned["bboxes"].combine_chunks().flatten()
    assert pc.all(pc.less_equal(found.field("xmin"), found.field("xmax")), min_count=0).as_py()
    assert pc.all(pc.less_equal(found.field("ymin"), found.field("ymax")), min_count=0).as_py()
    # Windows are slices, whose arrays don't begin at 0.
    sliced = turn_annotations(table[1:], degrees[1:])
    assert sliced.to_pylist() == turned[1:].to_pylist()


def test_nothing_to_turn_gives_back_the_table() -> None:
    table = pa.Table.from_pylist([annotate(scene()[1])] * 2, SCHEMA)
    for rotation in ([0, 0], [None, None], [0, None]):
        assert turn_annotations(table, pa.array(rotation, pa.int16())) is table


def test_other_columns_and_fields_stay() -> None:
    mask = {"label": "a", "mask_path": "m.png", "xmin": 0.0, "xmax": 0.25, "ymin": 0.5, "ymax": 1.0}
    table = pa.table(
        {
            "rotation": pa.chunked_array([pa.array([90], pa.int16()), pa.array([0], pa.int16())]),
            "masks": pa.array([[{**mask, "clicks": []}], None], pa.list_(MASK_ROW)),
            "pictures": pa.array([[{"x": 1}], None]),
        }
    )
    turned = turn_annotations(table, table["rotation"])
    assert turned.select(["rotation", "pictures"]) == table.select(["rotation", "pictures"])
    assert turned["masks"].type == table["masks"].type
    (after,), none = turned["masks"].to_pylist()
    box_ = {"xmin": 0.5, "xmax": 1.0, "ymin": 0.75, "ymax": 1.0}
    assert after == {**mask, **box_, "clicks": [], "box_id": None, "predicted_iou": None}
    assert none is None


def test_no_column_of_annotations_is_forgotten() -> None:
    """Whatever has coordinates in an example is turned here."""
    turnable = {"bboxes", "person_boxes", "masks", "relationships", "narratives", "points"}
    with_coordinates = {f.name for f in EXAMPLE if "xm" in str(f.type) or "x: float" in str(f.type)}
    assert with_coordinates == turnable
    assert turnable < set(ANNOTATION_COLUMNS)
