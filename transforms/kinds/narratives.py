"""Localized Narratives: `*_localized_narratives*.jsonl`, captions with traces of a mouse."""

import json
import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.dataset.schema import VOICE
from transforms.kinds.kind import JsonLinesKind
from transforms.kinds.parsing.head import SourceError, UnknownFileError, check_ids, whole_lines
from transforms.kinds.parsing.table import FLOAT, STRING, Rows

_UTTERANCE = pa.struct({"utterance": STRING, "start_time": FLOAT, "end_time": FLOAT})
_TRACE_POINT = pa.struct({"x": FLOAT, "y": FLOAT, "t": FLOAT})
_FIELDS = {
    "annotator_id": pa.int64(),
    "caption": STRING,
    "timed_caption": pa.list_(_UTTERANCE),
    "traces": pa.list_(pa.list_(_TRACE_POINT)),
    "voice_recording": STRING,
}
#: A narrative in an example; `voice` is the OGG file that `voice_recording` names.
NARRATIVE = pa.struct({**_FIELDS, "voice": VOICE})
#: A narrative before its recording is read.
NARRATIVE_ROW = pa.struct(_FIELDS)

_IMAGE_ID = re.compile(rb'"image_id"\s*:\s*"[0-9a-fA-F]{16}"')
_KEY = re.compile(rb'"(caption|timed_caption|traces|annotator_id|dataset_id)"\s*:')
# Localized Narratives are published for these beside Open Images.
_OTHER_DATASET = re.compile(r'"dataset_id"\s*:\s*"((?:mscoco|coco|flickr|ade20k)\w*)"', re.I)


def _check(rows: Rows) -> None:
    for name in ("timed_caption", "traces"):
        lists = rows.columns[name]
        if not _are_finite(lists):  # rare, so found row by row only then
            sound = np.array([_are_finite(lists.slice(i, 1)) for i in range(rows.length)])
            rows.columns[name] = pc.if_else(pa.array(sound), lists, pa.scalar(None, lists.type))
            rows.note_lost(~sound, f"{name} holds a number that is not finite")


def _are_finite(lists: pa.Array) -> bool:
    """Returns whether all numbers in lists of objects, however deep, are finite."""
    while pa.types.is_list(lists.type):
        lists = lists.flatten()
    return all(
        np.isfinite(field.fill_null(0).to_numpy(zero_copy_only=False)).all()
        for field in lists.flatten()
        if pa.types.is_floating(field.type)
    )


class NarrativesKind(JsonLinesKind):
    """Narratives, told from other JSON by their keys."""

    def matches_json(self, path: str, head: bytes) -> bool:
        first = head.split(b"\n", 1)[0]
        try:
            value = json.loads(first)
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, dict):
            is_narrative = self.image_id in value
        else:  # a broken first line is a bad row of its file, not a reason to refuse it
            is_narrative = b'"image_id"' in first and bool(_KEY.search(first))
        if is_narrative and head[:1] == b"{":
            return True
        if is_narrative or (_IMAGE_ID.search(head) and _KEY.search(head)):
            raise SourceError(
                f"{path}: narratives, but not one a line: write each as one line of JSON, for "
                "example by jq -c '.[]' of a list"
            )
        return False

    def check_json(self, path: str, head: bytes) -> None:
        text = whole_lines(head)
        if other := _OTHER_DATASET.search(text):
            raise UnknownFileError(path, f"narratives of {other[1]}, not of Open Images")
        check_ids(path, re.findall(r'"image_id"\s*:\s*"([^"]*)"', text))


NARRATIVES = NarrativesKind(
    name="narratives",
    column="narratives",
    noun="narrative",
    required={"caption": STRING},
    optional={field.name: field.type for field in NARRATIVE_ROW if field.name != "caption"},
    passed_over=("dataset_id",),
    image_id="image_id",
    row=NARRATIVE_ROW,
    element=NARRATIVE,
    check=_check,
    identity=("caption",),
    seconds_a_byte=2.5,
    spilled_a_byte=0.4,
)
