"""The difference of two versions: images that appeared, vanished or changed."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from transforms.dataset.keys import image_ids
from transforms.formats.registry import preferred, whole
from transforms.releases.diff_shard import COLUMNS, SOURCES, ChecksumTask, checksum_shard
from transforms.releases.manifest import Manifest, VersionError
from transforms.releases.merging import Batch, align
from transforms.releases.output import Output
from transforms.system.processes import spread

_BEFORE, _AFTER = 0, 1


class ImageChange(NamedTuple):
    """An image that isn't as it was.

    Attributes:
        change: `appeared`, `vanished` or `changed`.
        split: the one it is in now, or was.
        image_id: the image.
        columns: which changed.
    """

    change: str
    split: str
    image_id: str
    columns: tuple[str, ...] = ()


@dataclasses.dataclass
class Difference:
    """Images by split: how many appeared, vanished and changed; and of these, by what.

    A split is that of the later version, but for those that vanished.
    """

    appeared: Counter[str] = dataclasses.field(default_factory=Counter)
    vanished: Counter[str] = dataclasses.field(default_factory=Counter)
    changed: Counter[str] = dataclasses.field(default_factory=Counter)
    unchanged: Counter[str] = dataclasses.field(default_factory=Counter)
    sources: dict[str, Counter[str]] = dataclasses.field(default_factory=dict)
    columns: dict[str, Counter[str]] = dataclasses.field(default_factory=dict)


def compare(
    output: Output,
    before: str,
    after: str,
    num_workers: int,
    tell: Callable[[ImageChange], None] | None = None,
    advance: Callable[[int, int], None] = lambda *_: None,
) -> Difference:
    """Compares two versions, both of which are in hash order, by merging them.

    Shards that are the same in both aren't read.

    Args:
        output: where they are published.
        before: the one version.
        after: the other.
        num_workers: processes.
        tell: is given each image that isn't as it was, some thousands at a time in hash order.
        advance: is given how many bytes of shards were read, and how many there are.

    Raises:
        ManifestError: A version has no manifest.
        VersionError: One of them is in a partial format alone, and the other isn't in that.
        DamagedShardError: A shard isn't there, or can't be read.
        StorageError: The object store can't be read.
        WorkerError: A process died.
    """
    difference = Difference()
    planned = _plan(output, before, after, difference)
    total = sum(each.size for each in planned)
    read = 0

    def batches(some: Sequence[tuple[int, Callable[[], Batch]]]) -> Iterator[Batch]:
        nonlocal read
        for size, result in some:
            yield result()
            read += size
            advance(read, total)

    with spread(checksum_shard, [each.task for each in planned], num_workers) as results:
        waiting: dict[tuple[int, str], list] = {}
        for each, result in zip(planned, results, strict=True):
            waiting.setdefault((each.side, each.split), []).append((each.size, result))
        for window in align({stream: batches(some) for stream, some in waiting.items()}):
            _compare_window(window, difference, tell)
    return difference


class _Planned(NamedTuple):
    """A shard to be read; `share` of its split's examples are before it, so that shards of both
    sides are read as their keys ascend."""

    share: float
    side: int
    split: str
    size: int
    task: ChecksumTask


def _plan(output: Output, before: str, after: str, difference: Difference) -> list[_Planned]:
    """The shards to read. Those that are in both versions are counted at once."""
    manifests = [output.manifest(name) for name in (before, after)]
    sides = [
        [(split, shard) for split, shard in manifest.shards() if shard.format == form]
        for manifest, form in zip(manifests, _compared_formats(manifests), strict=True)
    ]
    same = set.intersection(*({(split, shard.sha256) for split, shard in side} for side in sides))
    planned = []
    for side, name in enumerate((before, after)):
        done: Counter[str] = Counter()
        for split, shard in sides[side]:
            share = done[split] / max(1, manifests[side].splits[split].num_examples)
            done[split] += shard.num_examples
            if (split, shard.sha256) in same:
                if side == _AFTER:
                    difference.unchanged[split] += shard.num_examples
                continue
            path = f"{output.folder(name)}/{shard.path}"
            task = ChecksumTask(path, shard.format, output.options)
            planned.append(_Planned(share, side, split, shard.bytes, task))
    return sorted(planned, key=lambda each: each[:3])


def _compared_formats(manifests: Sequence[Manifest]) -> list[str]:
    """Returns the format of each version in which they are compared; empty if it has no examples.

    Raises:
        VersionError: One is in a partial format alone, and another isn't in that.
    """
    forms = [preferred(each.formats) if each.formats else "" for each in manifests]
    partial = [form for form in forms if form and not whole([form])]
    for form in partial:
        for manifest in manifests:
            if manifest.formats and form not in manifest.formats:
                raise VersionError(
                    f"version {manifest.version} has no {form}, and the other one has nothing that "
                    "holds all columns: they can't be compared"
                )
    return [form and (partial or [form])[0] for form in forms]


class _Side(NamedTuple):
    """The images that a version has in a range of keys, once each."""

    keys: np.ndarray
    checksums: np.ndarray
    splits: np.ndarray


def _side(window: dict[tuple[int, str], Batch], side: int) -> _Side:
    batches = [(split, *batch) for (its, split), batch in window.items() if its == side]
    keys = np.concatenate([np.empty(0, np.uint64), *(keys for _, keys, _ in batches)])
    checksums = np.concatenate(
        [np.empty((0, len(COLUMNS)), np.uint64), *(checksums for _, _, checksums in batches)]
    )
    splits = np.concatenate(
        [np.empty(0, object), *(np.full(len(keys), split, object) for split, keys, _ in batches)]
    )
    keys, first = np.unique(keys, return_index=True)
    return _Side(keys, checksums[first], splits[first])


def _compare_window(
    window: dict[tuple[int, str], Batch],
    difference: Difference,
    tell: Callable[[ImageChange], None] | None,
) -> None:
    before, after = _side(window, _BEFORE), _side(window, _AFTER)
    _, was, now = np.intersect1d(before.keys, after.keys, return_indices=True)
    splits = after.splits[now]
    differ = np.column_stack(
        [before.checksums[was] != after.checksums[now], before.splits[was] != splits]
    )
    changed = differ.any(axis=1)
    difference.changed.update(splits[changed])
    difference.unchanged.update(splits[~changed])
    names = (*COLUMNS, "split")
    for source, columns in SOURCES.items():
        places = [names.index(name) for name in columns]
        _count(difference.sources, source, splits[differ[:, places].any(axis=1)])
    for place, name in enumerate(names):
        _count(difference.columns, name, splits[differ[:, place]])
    lonely = []
    for side, common, counts, word in (
        (after, now, difference.appeared, "appeared"),
        (before, was, difference.vanished, "vanished"),
    ):
        alone = np.ones(len(side.keys), bool)
        alone[common] = False
        counts.update(side.splits[alone])
        lonely.append((word, side.keys[alone], side.splits[alone]))
    if tell is None:
        return
    for word, keys, its in lonely:
        for image_id, split in zip(image_ids(keys).to_pylist(), its, strict=True):
            tell(ImageChange(word, split, image_id))
    for place, image_id in zip(
        np.flatnonzero(changed), image_ids(after.keys[now][changed]).to_pylist(), strict=True
    ):
        columns = tuple(names[column] for column in np.flatnonzero(differ[place]))
        tell(ImageChange("changed", splits[place], image_id, columns))


def _count(counts: dict[str, Counter[str]], name: str, splits: np.ndarray) -> None:
    if len(splits):
        counts.setdefault(name, Counter()).update(splits)
