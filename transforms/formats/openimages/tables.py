"""The published tables as text: a line of CSV or JSON an annotation."""

from collections import Counter
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.dataset.elements import in_one_piece, relist
from transforms.dataset.texts import join
from transforms.formats import json_text
from transforms.kinds import boxes, published
from transforms.kinds.csv_text import quoted
from transforms.kinds.images import IMAGE_ROW
from transforms.kinds.parsing.table import FLAG
from transforms.kinds.registry import TABLES

RELEASE = "v7"
_MACHINE = "machine"
_UNKNOWN_FLAG = pa.scalar(-1, FLAG)
#: Characters of a label or a box's id that the name of a mask doesn't have.
_NOT_IN_NAMES = "[^0-9A-Za-z_]"
#: What builds take for the MID in the name of a mask.
_MID_IN_NAMES = "^[a-z][0-9A-Za-z_]"
#: How much of either it has: file systems allow names of 255 bytes.
_MOST_IN_NAMES = 64


class Table(NamedTuple):
    """Rows of a published table.

    Attributes:
        name: such as `boxes` or `human_labels`; see `published.file_of`.
        header: without a line end; empty for a table without one.
        lines: (n,) texts with line ends.
    """

    name: str
    header: str
    lines: pa.StringArray


class Annotations(NamedTuple):
    """The annotations of a kind.

    Attributes:
        rows: (m,) structs.
        images: (m,) the place of the image of each.
        image_ids: (m,) its id.
    """

    rows: pa.StructArray
    images: np.ndarray
    image_ids: pa.StringArray

    def filter(self, mask: pa.BooleanArray) -> "Annotations":
        """Returns those where `mask`, (m,), holds."""
        return Annotations(
            self.rows.filter(mask), self.images[np.asarray(mask)], self.image_ids.filter(mask)
        )


def read_annotations(examples: pa.Table, kind: str) -> Annotations | None:
    """Returns the annotations of a kind in examples; None where its source wasn't given."""
    column = in_one_piece(examples[TABLES[kind].column])
    if len(column) and column.null_count == len(column):
        return None
    lengths = column.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    images = np.repeat(np.arange(len(column)), lengths)
    image_ids = in_one_piece(examples["image_id"]).take(pa.array(images))
    return Annotations(column.flatten(), images, image_ids)


def image_table(examples: pa.Table) -> Table:
    """Returns the table of images; `Rotation` is what the written pictures have yet to be turned
    by."""
    columns = {name: in_one_piece(examples[name]) for name in IMAGE_ROW.names}
    degrees = {"Rotation": join(columns["rotation"].cast(pa.string()), ".0")}
    return _make_table("images", "images", in_one_piece(examples["image_id"]), columns, degrees)


def plain_table(kind: str, found: Annotations) -> Table:
    """Returns the table of a kind whose columns are its fields."""
    return _make_table(kind, kind, found.image_ids, _columns(found))


def label_tables(found: Annotations, boxable: pa.StringArray) -> Iterator[Table]:
    """Yields the tables of verified labels, of those among them that are of boxable classes, and of
    a classifier's labels; only the first one if it has no rows.

    Args:
        found: image labels.
        boxable: MIDs.
    """
    is_machine = pc.equal(_plain(found.rows.field("source")), _MACHINE).fill_null(False)
    human = found.filter(pc.invert(is_machine))
    is_boxable = pc.is_in(_plain(human.rows.field("label")), boxable)
    for name, some in (
        ("human_labels", human),
        ("boxable_labels", human.filter(is_boxable)),
        ("machine_labels", found.filter(is_machine)),
    ):
        if len(some.rows) or name == "human_labels":
            yield _make_table(name, "image_labels", some.image_ids, _columns(some))


def box_table(found: Annotations) -> Table:
    """Returns the table of boxes: of 8 columns where no flag is known, of 13 where no clicks are,
    and else of 21. A box without any flags has the unknown ones, -1, beside others."""
    columns = _columns(found)
    header, flagged, clicked = published.BOX_HEADERS
    points = columns.pop("extreme_points")
    has_flags = np.any([columns[name].is_valid() for name in boxes.FLAGS], axis=0)
    if has_flags.any():
        header = flagged
    if points.null_count < len(points):
        header = clicked
    for name in boxes.FLAGS:
        columns[name] = pc.if_else(pa.array(has_flags), columns[name], _UNKNOWN_FLAG)
    derived = _clicks(points) if header == clicked else {}
    return _make_table("boxes", "boxes", found.image_ids, columns, derived, header)


def widen(rows: bytes, header: bytes, wanted: bytes) -> bytes:
    """Returns rows of boxes with the columns of a longer header: unknown ones, -1."""
    missing = wanted.count(b",") - header.count(b",")
    return rows.replace(b"\n", b",-1" * missing + b"\n") if missing else rows


def _clicks(points: pa.ListArray) -> dict[str, pa.StringArray]:
    """Returns the eight columns of clicks, -1 where a box wasn't drawn by them."""
    clicked = points.value_lengths().fill_null(0).to_numpy(zero_copy_only=False) == 4
    flat = points.flatten()
    places = np.cumsum(4 * clicked) - 4 * clicked
    columns = {}
    for name in boxes.CLICKS:
        number, axis = int(name[-2]) - 1, name[-1].lower()
        values = flat.field(axis).take(pa.array(places + number, mask=~clicked))
        columns[name] = values.cast(pa.string()).fill_null("-1")
    return columns


def mask_table(found: Annotations, names: pa.StringArray) -> Table:
    """Returns the table of masks.

    Args:
        found: masks.
        names: of their PNGs, (m,).
    """
    columns = _columns(found)
    clicks = columns.pop("clicks")
    x, y, t = (field.cast(pa.string()) for field in clicks.flatten().flatten())
    texts = pc.binary_join(relist(clicks, join(x, " ", y, " ", t)), ";")
    derived = {"MaskPath": names, "Clicks": texts.fill_null("")}
    return _make_table("masks", "masks", found.image_ids, columns, derived)


def name_masks(found: Annotations) -> pa.StringArray:
    """Returns the names of the PNGs of masks: `<ImageID>_<MID without slashes>_<BoxID>.png`.

    Of several masks that would have the same, the later ones have a number at the end. Builds read
    all of them; see `sources.listing`.
    """
    label, box_id = (
        pc.utf8_slice_codeunits(
            pc.replace_substring_regex(
                _plain(found.rows.field(name)).fill_null(""), _NOT_IN_NAMES, ""
            ),
            0,
            _MOST_IN_NAMES,
        )
        for name in ("label", "box_id")
    )
    label = pc.if_else(pc.match_substring_regex(label, _MID_IN_NAMES), label, join("m_", label))
    box_id = pc.if_else(pc.equal(box_id, ""), "0", box_id)
    stems = join(found.image_ids, "_", label, "_", box_id)
    if len(stems.unique()) < len(stems):
        stems = pa.array(_number_repeats(stems.to_pylist()), pa.string())
    return join(stems, ".png")


def _number_repeats(stems: list[str]) -> Iterator[str]:
    """Yields names, each once: `a`, `a_2`, `a_3` for `a` three times."""
    used = set(stems)
    counts: Counter[str] = Counter()
    for stem in stems:
        counts[stem] += 1
        name = stem
        if counts[stem] > 1:
            while (name := f"{stem}_{counts[stem]}") in used:
                counts[stem] += 1
            used.add(name)
        yield name


def narrative_table(found: Annotations, split: str) -> Table:
    """Returns the lines of narratives."""
    datasets = pa.repeat(pa.scalar(f"open_images_{split}"), len(found.rows))
    columns = {"dataset_id": datasets, "image_id": found.image_ids, **_columns(found)}
    del columns["voice"]  # a file of its own
    return Table("narratives", "", join(json_text.encode_objects(columns), "\n"))


def _make_table(
    name: str,
    kind: str,
    image_ids: pa.StringArray,
    columns: Mapping[str, pa.Array],
    derived: Mapping[str, pa.StringArray] = MappingProxyType({}),
    header: str = "",
) -> Table:
    """Returns a table of CSV.

    Args:
        name: of the table.
        kind: whose columns it has.
        image_ids: (n,) ids.
        columns: (n,) values of each field.
        derived: (n,) texts of columns that aren't fields.
        header: the columns in their order; the published one if it is empty.
    """
    header = header or published.header_of(RELEASE, name, "")
    schema = TABLES[kind]
    texts = dict(derived)
    for column in header.split(","):
        field = schema.fields[schema.aliases.get(column, column)]
        if column not in derived:
            texts[column] = image_ids if field == schema.image_id else _to_fields(columns[field])
    parts = [part for column in header.split(",") for part in (",", texts[column].fill_null(""))]
    return Table(name, header, join(*parts[1:], "\n"))


def _columns(found: Annotations) -> dict[str, pa.Array]:
    """Returns the values of each field."""
    return dict(zip(found.rows.type.names, found.rows.flatten(), strict=True))


def _to_fields(values: pa.Array) -> pa.StringArray:
    """Returns values as fields of CSV, empty where they are null.

    A number has the shortest text that parses to the same number of its type.
    """
    if pa.types.is_dictionary(values.type):  # which is shorter
        return _to_fields(values.dictionary).take(values.indices)
    if pa.types.is_string(values.type):
        return quoted(values)
    return values.cast(pa.string())


def _plain(values: pa.Array) -> pa.Array:
    """Returns texts that aren't coded; see `dataset.codes`."""
    return values.dictionary_decode() if pa.types.is_dictionary(values.type) else values
