"""The naive answer to rows that several files hold: which are one, and what they say together."""

from collections import Counter
from typing import Any

FLAGS = ("is_occluded", "is_truncated", "is_group_of", "is_depiction", "is_inside")


def merge_repeats(rows: list[tuple[str, dict]]) -> tuple[list[dict], Counter]:
    """An image's annotations of one kind, and how many of each file repeat those of another.

    Args:
        rows: file and value of each, in published order.
    """
    kept: list[_Kept] = []
    repeats: Counter = Counter()
    for file, value in rows:
        equal = [row for row in kept if all(_equal(value, row.value, name) for name in value)]
        free = [row for row in equal if file not in row.files]
        if free:
            free[0].files.add(file)
            repeats[file] += 1
        else:
            kept.append(_Kept(file, value))
    merged: list[_Kept] = []
    while kept:
        first, *others = kept
        kept = []
        for row in others:
            if row.file not in first.files and not _contradict(first.value, row.value):
                for name, value in row.value.items():
                    if _is_unknown(name, first.value[name]):
                        first.value[name] = value
                first.files.add(row.file)
                repeats[row.file] += 1
            else:
                kept.append(row)
        merged.append(first)
    return [row.value for row in merged], repeats


class _Kept:
    def __init__(self, file: str, value: dict) -> None:
        self.file, self.value, self.files = file, dict(value), {file}


def _is_unknown(name: str, value: Any) -> bool:
    return value is None or value in ("", []) or (name in FLAGS and value == -1)


def _equal(one: dict, other: dict, name: str) -> bool:
    mine, its = one[name], other[name]
    return mine == its or (_is_unknown(name, mine) and _is_unknown(name, its))


def _contradict(one: dict, other: dict) -> bool:
    return any(
        not _is_unknown(name, one[name])
        and not _is_unknown(name, other[name])
        and one[name] != other[name]
        for name in one
    )
