"""The counts of a build: rows by source, annotations by column, examples and shards by split."""

import collections
import dataclasses
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence

import numpy as np

from transforms.checksum import Checksum
from transforms.dataset import naming
from transforms.dataset.elements import BucketCount, Notice, Shard, Source, SourceCount
from transforms.formats.format import ShardSize
from transforms.kinds.images import IMAGES
from transforms.kinds.registry import ANNOTATIONS, SMALL_FILES, TABLES
from transforms.releases.manifest import Annotations, ShardFile, SourceRows, SourceWarning, Split
from transforms.selection.choose import IMAGES_RULE
from transforms.wording import clean


class LostRowsError(Exception):
    """Rows that were read don't add up with those that arrived, were written and left out."""


def add_digests(sources: Iterable[Source], counts: Iterable[SourceCount]) -> list[Source]:
    """Returns the sources, with digests of those whose checksum was taken as they were read.

    A file that became shorter or longer meanwhile gets none.
    """
    checksums = collections.defaultdict(Checksum)
    for count in sorted(counts):
        checksums[count.source] = checksums[count.source].followed_by(count.checksum)
    return [
        dataclasses.replace(source, digest=str(checksums[source.index]))
        if source.lacks_digest and checksums[source.index].length == source.size
        else source
        for source in sources
    ]


def count_sources(
    sources: Sequence[Source], counts: Iterable[SourceCount], buckets: Sequence[BucketCount]
) -> tuple[SourceRows, ...]:
    """Counts, for each source, the rows that were kept, repeats, orphans, bad and deselected.

    Raises:
        LostRowsError: Rows that were read were lost on the way to a bucket, or doubled; or the rows
            that were kept aren't the annotations of examples and of images that were left out.
    """
    rows, bad, arrived, orphans, repeats = (collections.Counter[int]() for _ in range(5))
    deselected: dict[int, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    passed_over: collections.Counter[int] = collections.Counter()
    for count in counts:
        rows[count.source] += count.rows
        bad[count.source] += count.bad_rows
        passed_over[count.source] += count.deselected
    for source, count in passed_over.items():
        deselected[source][IMAGES_RULE] += count
    for bucket in buckets:
        for source, rule, count in bucket.deselected:
            deselected[source][rule] += count
        arrived.update(dict(bucket.rows))
        orphans.update(dict(bucket.orphans))
        repeats.update(dict(bucket.repeats))
    counted = []
    for source in sources:
        index = source.index
        sound = rows[index] - bad[index] - passed_over[index]
        if source.kind not in SMALL_FILES and arrived[index] != sound:
            raise LostRowsError(
                f"{source.name}: {sound:,} rows were read and {arrived[index]:,} arrived: "
                "the runner lost or doubled some"
            )
        counted.append(
            SourceRows(
                kind=source.kind,
                path=source.shown_name,
                rows=rows[index],
                kept=rows[index]
                - bad[index]
                - orphans[index]
                - repeats[index]
                - deselected[index].total(),
                repeats=repeats[index],
                orphans=orphans[index],
                bad_rows=bad[index],
                deselected=dict(+deselected[index]),
                digest=source.digest,
                stamp=source.stamp,
            )
        )
    for column, kept, found in find_uneven_columns(counted, count_annotations(buckets)):
        raise LostRowsError(
            f"{column}: {kept:,} rows were kept and {found.added:,} added, but "
            f"{found.written:,} written and {found.left_out:,} left out: this is a fault of the "
            "program, so report it"
        )
    return tuple(counted)


def find_uneven_columns(
    sources: Iterable[SourceRows], annotations: Mapping[str, Annotations]
) -> Iterator[tuple[str, int, Annotations]]:
    """Yields columns whose annotations aren't as many as the rows that were kept.

    Yields:
        The column, the rows that were kept for it, and its annotations.
    """
    kept: collections.Counter[str] = collections.Counter()
    for source in sources:
        kind = TABLES.get(source.kind)
        if kind and kind.column in ANNOTATIONS:
            kept[kind.column] += source.kept or 0
    for column in dict.fromkeys([*kept, *annotations]):
        found = annotations.get(column, Annotations(0, 0))
        if found.written + found.left_out != kept[column] + found.added:
            yield column, kept[column], found


def count_unread_images(
    sources: Iterable[Source], counted: Iterable[SourceRows], splits: Container[str | None]
) -> int:
    """Counts image rows of some splits that couldn't be read: their images failed."""
    return sum(
        rows.bad_rows
        for source, rows in zip(sources, counted, strict=True)
        if source.kind == IMAGES.name and source.split in splits
    )


def count_annotations(buckets: Iterable[BucketCount]) -> dict[str, Annotations]:
    """Counts annotations by column: see `Annotations`."""
    written, left_out, added = (collections.Counter[str]() for _ in range(3))
    for bucket in buckets:
        written.update(dict(bucket.written))
        left_out.update(dict(bucket.left_out))
        added.update(dict(bucket.added))
    return {
        column: Annotations(written[column], left_out[column], added[column])
        for column in dict.fromkeys([*written, *left_out])
    }


def add_funnels(funnels: Iterable[tuple[tuple[str, int], ...]]) -> dict[str, int]:
    """Adds up how many images the conditions of a selection leave, in their order."""
    total: collections.Counter[str] = collections.Counter()
    for funnel in funnels:
        total.update(dict(funnel))
    return dict(total)


def count_class_images(labels: Sequence[str], buckets: Iterable[BucketCount]) -> dict[str, int]:
    """Adds up how many images show each class of a selection.

    Args:
        labels: of the classes, in their order.
        buckets: all.
    """
    total = np.zeros(len(labels), int)
    for bucket in buckets:
        total += bucket.class_images or 0
    return dict(zip(labels, total.tolist(), strict=True))


def collect_warnings(
    notices: Iterable[Notice], counts: Iterable[SourceCount], sources: Sequence[SourceRows]
) -> tuple[SourceWarning, ...]:
    """Returns warnings about sources, sorted.

    Args:
        notices: remarks on the inputs.
        counts: of all blocks.
        sources: as of `count_sources`, by index.
    """
    found = {(notice.path, notice.text) for notice in notices}
    found |= {(sources[count.source].path, count.warning) for count in counts if count.warning}
    for source in sources:
        if source.kind not in TABLES:
            continue
        if not source.rows:
            found.add((source.path, "has no rows"))
        elif 0 < source.orphans == source.rows - source.bad_rows:
            found.add((source.path, "none of its rows is of an image of the dataset"))
    return tuple(SourceWarning(path, clean(text)) for path, text in sorted(found))


def count_splits(shards: Iterable[Shard]) -> dict[str, Split]:
    """Returns the examples and shards of each split; examples are counted once for all formats.

    Raises:
        ValueError: Formats differ in their number of examples.
    """
    of_split: dict[str, list[ShardFile]] = collections.defaultdict(list)
    for shard in sorted(shards):
        if shard.format != naming.LINEAGE:
            size = shard.bytes, shard.sha256, shard.loose_bytes
            entry = ShardFile(shard.path, shard.format, shard.num_examples, *size)
            of_split[shard.split].append(entry)
    splits = {}
    for name, entries in of_split.items():
        examples: collections.Counter[str] = collections.Counter()
        for entry in entries:
            examples[entry.format] += entry.num_examples
        if len(set(examples.values())) != 1:
            raise ValueError(f"formats differ in their number of examples: {dict(examples)}")
        splits[name] = Split(examples.popitem()[1], tuple(entries))
    return splits


def count_dropped(shards: Iterable[Shard]) -> dict[str, dict[str, int]]:
    """Counts, by format, what of the examples it can't hold."""
    counts: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for shard in sorted(shards):
        for part in shard.parts:
            counts[shard.format].update(dict(part.dropped))
    return {form: dict(sorted(its.items())) for form, its in counts.items() if its}


def shard_sizes(splits: Mapping[str, Split], form: str) -> dict[str, list[ShardSize]]:
    """Returns the sizes of the shards of a format, by split."""
    return {
        name: [
            ShardSize(shard.num_examples, shard.bytes, shard.sha256)
            for shard in split.of_format(form)
        ]
        for name, split in splits.items()
    }


def count_taken_over(buckets: Sequence[BucketCount]) -> dict[str, int]:
    """Counts buckets that come whole from the version before, and all pictures that do."""
    return {
        "buckets": sum(bucket.taken_over for bucket in buckets),
        "pictures": sum(bucket.pictures for bucket in buckets),
    }
