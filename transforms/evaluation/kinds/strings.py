"""Predictions as Kaggle took them for the Challenge: `ImageID,PredictionString`, or `ImageId`; the
text has all detections of an image, one after another."""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.dataset.elements import Source, in_one_piece
from transforms.dataset.failures import Reason
from transforms.evaluation.kinds.mask_texts import UNSOUND, decode_masks
from transforms.evaluation.kinds.rows import DETECTED_MASK, DETECTED_PAIR, DETECTION
from transforms.kinds.kind import CsvKind
from transforms.kinds.parsing.parsed import ParsedBlock
from transforms.kinds.parsing.table import STRING, Rows, struct_array

_NUMBER = r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?"
_NO_WORDS = pa.scalar([], pa.list_(pa.string()))
_SIZE = {"ImageWidth": pa.int32(), "ImageHeight": pa.int32()}

#: What the text has of a detection, in order: of boxes, masks and relationships.
_BOX_FIELDS = ("label", "score", "xmin", "ymin", "xmax", "ymax")
_MASK_FIELDS = ("label", "score", "mask")
_PAIR_FIELDS = (
    "score",
    *("label1", "xmin1", "ymin1", "xmax1", "ymax1"),
    *("label2", "xmin2", "ymin2", "xmax2", "ymax2"),
    "relationship",
)


class StringsKind(CsvKind):
    """A table whose rows are images, with their detections in a text."""

    def parse(self, source: Source, data: bytes) -> ParsedBlock:
        parsed = super().parse(source, data)
        lists = pc.struct_field(in_one_piece(parsed.table["value"]), "detections")
        counts = lists.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
        keys = np.repeat(parsed.table["key"].to_numpy(), counts)
        table = pa.table({"key": keys, "value": lists.flatten()})
        # Rows are detections, as in other tables: what is lost of them is a part of these.
        return dataclasses.replace(parsed, table=table, rows=len(keys) + parsed.bad_rows)


def _split(rows: Rows, fields: Sequence[str], dtype: pa.StructType) -> None:
    """Makes lists of detections of the texts."""
    word = dict.fromkeys(fields, r"\S+") | {
        field.name: _NUMBER for field in dtype if pa.types.is_floating(field.type)
    }
    pattern = r"\s+".join(f"({word[name]})" for name in fields)
    texts = pc.utf8_trim_whitespace(rows.columns.pop("PredictionString").fill_null(""))
    sound = np.asarray(pc.match_substring_regex(texts, rf"^({pattern}(\s+|$))*$"))
    rows.require(sound, f"PredictionString is not '{' '.join(fields)}', once for each detection")
    is_empty = pc.or_(pc.equal(texts, ""), pa.array(~sound))
    words = pc.if_else(is_empty, _NO_WORDS, pc.split_pattern_regex(texts, r"\s+"))
    counts = words.value_lengths().to_numpy(zero_copy_only=False) // len(fields)
    flat, places = words.flatten(), np.arange(counts.sum()) * len(fields)
    columns = {name: flat.take(pa.array(places + at)) for at, name in enumerate(fields)}
    images = np.repeat(np.arange(rows.length), counts)
    if "mask" in columns:
        of_images = pa.array(images)
        height, width = (
            rows.columns.pop(name).take(of_images) for name in ("ImageHeight", "ImageWidth")
        )
        sizes, masks, has_mask = decode_masks(columns.pop("mask"), height, width)
        columns |= {"size": sizes, "counts": masks}
        rows.require(
            np.bincount(images[~has_mask], minlength=rows.length) == 0,
            f"PredictionString has a mask that {UNSOUND}",
        )
    value = struct_array(dtype, columns, len(images))
    scores = value.field("score").to_numpy(zero_copy_only=False)
    is_beyond = ~((scores >= 0) & (scores <= 1))
    rows.note(
        np.bincount(images[is_beyond], minlength=rows.length) > 0,
        Reason.BAD_ROW,
        "PredictionString has a score that is not from 0 to 1: kept",
    )
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    rows.columns["detections"] = pa.ListArray.from_arrays(pa.array(offsets), value)


def _kind(
    name: str, fields: Sequence[str], dtype: pa.StructType, labels: Sequence[str], **columns: object
) -> StringsKind:
    return StringsKind(
        name=name,
        column="detections",
        required={**columns, "PredictionString": STRING},
        optional={},
        row=pa.struct({"detections": pa.list_(dtype)}),
        check=functools.partial(_split, fields=fields, dtype=dtype),
        labels=tuple(labels),
        coded=tuple(labels),
        spilled_a_byte=1.5,
    )


BOX_STRINGS = _kind("prediction_strings", _BOX_FIELDS, DETECTION, ["label"])
MASK_STRINGS = _kind("mask_strings", _MASK_FIELDS, DETECTED_MASK, ["label"], **_SIZE)
PAIR_STRINGS = _kind(
    "relationship_strings", _PAIR_FIELDS, DETECTED_PAIR, ["label1", "label2", "relationship"]
)
