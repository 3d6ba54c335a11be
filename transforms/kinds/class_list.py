"""Class lists: `*classes-{trainable,segmentation,…}.txt`, a MID a line."""

import os
from collections.abc import Sequence

from transforms.dataset.classes import ClassEntry
from transforms.kinds.parsing.head import IMAGE_ID
from transforms.kinds.parsing.table import fold
from transforms.kinds.vocabulary import MID, Entries, VocabularyKind, collect, parse_mid, read_lines


def _matches(names: Sequence[str]) -> bool:
    if len(names) != 1 or IMAGE_ID.fullmatch(names[0]):
        return False
    return fold(names[0]) == "labelname" or MID.fullmatch(names[0]) is not None


def _read(data: bytes, source: str) -> Entries:
    name = os.path.splitext(os.path.basename(source).removesuffix(".gz"))[0]

    def parse(text: str) -> ClassEntry:
        return ClassEntry(parse_mid(text), list_name=name)

    def is_header(text: str) -> bool:
        return fold(text) in ("labelname", "id")

    return collect(read_lines(data, source), parse, source, is_header)


CLASS_LIST = VocabularyKind(name="class_list", matches=_matches, rank=1, read=_read)
