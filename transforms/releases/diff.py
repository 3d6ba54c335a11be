"""The difference of two versions: images that appeared, vanished or changed."""

import dataclasses
import functools
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from transforms.dataset.keys import image_ids, image_keys
from transforms.formats.format import Format
from transforms.formats.registry import find_format, preferred, whole
from transforms.formats.tables import TableExamples
from transforms.kinds.images import IMAGES
from transforms.kinds.registry import ANNOTATIONS, EXAMPLE
from transforms.releases.manifest import Manifest, ShardFile, VersionError
from transforms.releases.merging import Batch, align
from transforms.releases.output import Output
from transforms.releases.shard_files import local_copy
from transforms.storage.objects import is_remote
from transforms.storage.stores import ObjectOptions
from transforms.system.processes import spread

#: Columns by their source: a kind of annotation file, or `pictures`.
_SOURCES = {
    "pictures": ("image", "width", "height", "original_width", "original_height"),
    IMAGES.name: IMAGES.other_columns,
    **{kind.name: (kind.column, *kind.other_columns) for kind in ANNOTATIONS.values()},
}

#: Columns that are compared by checksums; the split is the shard's.
_COLUMNS = tuple(name for name in EXAMPLE.names if name not in ("image_id", "split"))

_BEFORE, _AFTER = 0, 1
_KINDS = ("appeared", "vanished", "changed", "unchanged")


class ImageChange(NamedTuple):
    """An image that appeared, vanished or changed.

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
    """Numbers of images by what became of them.

    An image counts for its split in the later version, or for its former one if it vanished.

    Attributes:
        kinds: `appeared`, `vanished`, `changed` or `unchanged` to images by split.
        sources: source of changed columns, a kind or `pictures`, to changed images by split.
        columns: changed column to changed images by split.
    """

    kinds: dict[str, Counter[str]] = dataclasses.field(
        default_factory=lambda: {kind: Counter() for kind in _KINDS}
    )
    sources: dict[str, Counter[str]] = dataclasses.field(default_factory=dict)
    columns: dict[str, Counter[str]] = dataclasses.field(default_factory=dict)


def compare(
    output: Output,
    before: str,
    after: str,
    num_workers: int,
    on_change: Callable[[ImageChange], None] | None = None,
    advance: Callable[[int, int], None] = lambda *_: None,
) -> Difference:
    """Compares two versions, both of which are in key order, by merging them.

    Shards that are the same in both aren't read.

    Args:
        output: where they are published.
        before: name of the earlier version.
        after: name of the later version.
        num_workers: number of processes.
        on_change: is called with each image that isn't `unchanged`; some thousands at a time in
            key order. None for nobody.
        advance: is called with the bytes of shards that were read, and their total.

    Raises:
        ManifestError: A version has no manifest.
        VersionError: One of them is in a partial format alone, and the other isn't in that.
        DamagedShardError: A shard isn't there, or can't be read.
        StorageError: The object store can't be read.
        WorkerError: A process died.
    """
    difference = Difference()
    tasks = _plan(output, before, after, difference)
    total = sum(task.shard.bytes for task in tasks)
    read = 0

    def batches(some: Sequence[tuple[_ShardTask, Callable[[], Batch]]]) -> Iterator[Batch]:
        nonlocal read
        for task, result in some:
            yield result()
            read += task.shard.bytes
            advance(read, total)

    with spread(_checksum_shard, tasks, num_workers) as results:
        waiting: dict[tuple[int, str], list] = defaultdict(list)
        for task, result in zip(tasks, results, strict=True):
            waiting[task.side, task.split].append((task, result))
        for window in align({stream: batches(some) for stream, some in waiting.items()}):
            _compare_window(window, difference, on_change)
    return difference


class _ShardTask(NamedTuple):
    """A shard to take checksums of.

    Attributes:
        share: of its split's examples, those before it: so shards of both versions are read as
            their keys ascend.
        side: which of the versions it is of.
        split: it is of.
        shard: what the manifest says of it.
        folder: of the version.
        options: how object stores are reached.
    """

    share: float
    side: int
    split: str
    shard: ShardFile
    folder: str
    options: ObjectOptions


def _plan(output: Output, before: str, after: str, difference: Difference) -> list[_ShardTask]:
    """Returns the shards to read. Those that are in both versions are counted at once."""
    manifests = [output.manifest(name) for name in (before, after)]
    sides = [
        [each for each in manifest.shards() if each[1].format == form]
        for manifest, form in zip(manifests, _compared_formats(manifests), strict=True)
    ]
    same = set.intersection(*({(split, shard.sha256) for split, shard in side} for side in sides))
    tasks = []
    for side, name in enumerate((before, after)):
        done: Counter[str] = Counter()
        for split, shard in sides[side]:
            share = done[split] / max(1, manifests[side].splits[split].num_examples)
            done[split] += shard.num_examples
            if (split, shard.sha256) not in same:
                folder = output.folder(name)
                tasks.append(_ShardTask(share, side, split, shard, folder, output.options))
            elif side == _AFTER:
                difference.kinds["unchanged"][split] += shard.num_examples
    return sorted(tasks, key=lambda task: task[:3])


def _compared_formats(manifests: Sequence[Manifest]) -> list[str]:
    """Returns the format of each version in which they are compared; empty if it has no examples.

    Raises:
        VersionError: One has loose files alone, or is in a partial format alone and another isn't
            in that.
    """
    forms = [preferred(each.formats) if each.formats else "" for each in manifests]
    for form, manifest in zip(forms, manifests, strict=True):
        if form and find_format(form).has_loose_files:
            raise VersionError(
                f"version {manifest.version} has loose files alone, which aren't compared: build "
                "with --format parquet too"
            )
    partial = [form for form in forms if form and not whole([form])]
    for form in partial:
        for manifest in manifests:
            if manifest.formats and form not in manifest.formats:
                raise VersionError(
                    f"version {manifest.version} has no {form}, and the other one has nothing that "
                    "holds all columns: they can't be compared"
                )
    return [form and (partial or [form])[0] for form in forms]


class DamagedShardError(Exception):
    """A shard can't be read; the message is one line."""


def _checksum_shard(task: _ShardTask) -> Batch:
    """Returns keys, and checksums of `_COLUMNS`: (n,) and (n, c) uint64.

    Raises:
        DamagedShardError: The shard isn't there, or can't be read.
        StorageError: The object store can't be read.
    """
    name = task.shard.path
    place = os.path.join(task.folder, name)
    if not is_remote(place) and os.path.exists(place) and not os.path.isfile(place):
        raise DamagedShardError(f"{os.path.basename(name)} can't be read: it is no file")
    try:
        with local_copy(place, task.options) as path:
            return _checksum_columns(find_format(task.shard.format), path)
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        cause = str(error).partition("\n")[0]
        raise DamagedShardError(f"{os.path.basename(name)} can't be read: {cause}") from None


def _checksum_columns(format_: Format, path: str) -> Batch:
    keys, checksums = [np.empty(0, np.uint64)], [np.empty((0, len(_COLUMNS)), np.uint64)]
    for examples in format_.read(path):
        keys.append(image_keys(examples.image_ids)[0])
        found = examples.column_checksums(_COLUMNS)
        # A version may have been built before there was some column, which is null then.
        nulls = {name: np.repeat(null, len(keys[-1])) for name, null in _null_checksums().items()}
        checksums.append(np.column_stack([(nulls | found)[name] for name in _COLUMNS]))
    return np.concatenate(keys), np.concatenate(checksums)


@functools.cache
def _null_checksums() -> dict[str, np.ndarray]:
    """Returns the checksum of each column that is null; (1,) uint64."""
    return TableExamples(pa.Table.from_pylist([{}], EXAMPLE)).column_checksums(_COLUMNS)


class _Side(NamedTuple):
    """The n images of a version in a range of keys, once each: keys, checksums (n, c), splits."""

    keys: np.ndarray
    checksums: np.ndarray
    splits: np.ndarray


def _side(window: dict[tuple[int, str], Batch], side: int) -> _Side:
    nothing = (
        np.empty(0, np.uint64),
        np.empty((0, len(_COLUMNS)), np.uint64),
        np.empty(0, object),
    )
    batches = [
        (keys, checksums, np.full(len(keys), split, object))
        for (its, split), (keys, checksums) in window.items()
        if its == side
    ]
    keys, checksums, splits = map(np.concatenate, zip(nothing, *batches, strict=True))
    keys, first = np.unique(keys, return_index=True)
    return _Side(keys, checksums[first], splits[first])


def _compare_window(
    window: dict[tuple[int, str], Batch],
    difference: Difference,
    on_change: Callable[[ImageChange], None] | None,
) -> None:
    before, after = _side(window, _BEFORE), _side(window, _AFTER)
    _, was, now = np.intersect1d(before.keys, after.keys, return_indices=True)
    splits = after.splits[now]
    differ = np.column_stack(
        [before.checksums[was] != after.checksums[now], before.splits[was] != splits]
    )
    changed = differ.any(axis=1)
    difference.kinds["changed"].update(splits[changed])
    difference.kinds["unchanged"].update(splits[~changed])
    names = (*_COLUMNS, "split")
    for source, columns in _SOURCES.items():
        places = [names.index(name) for name in columns]
        _count(difference.sources, source, splits[differ[:, places].any(axis=1)])
    for place, name in enumerate(names):
        _count(difference.columns, name, splits[differ[:, place]])
    for word, side, common in (("appeared", after, now), ("vanished", before, was)):
        alone = np.ones(len(side.keys), bool)
        alone[common] = False
        lonely = side.splits[alone]
        difference.kinds[word].update(lonely)
        if on_change:
            ids = image_ids(side.keys[alone]).to_pylist()
            for image_id, split in zip(ids, lonely, strict=True):
                on_change(ImageChange(word, split, image_id))
    if on_change:
        found = image_ids(after.keys[now][changed]).to_pylist()
        for place, image_id in zip(np.flatnonzero(changed), found, strict=True):
            columns = tuple(names[column] for column in np.flatnonzero(differ[place]))
            on_change(ImageChange("changed", splits[place], image_id, columns))


def _count(counts: dict[str, Counter[str]], name: str, splits: np.ndarray) -> None:
    if len(splits):
        counts.setdefault(name, Counter()).update(splits)
