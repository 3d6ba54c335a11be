"""The counts of a build: rows by source, annotations by column, examples and shards by split."""

import collections
import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from transforms.checksum import Checksum
from transforms.dataset import naming
from transforms.dataset.elements import BucketCount, Notice, Shard, Source, SourceCount
from transforms.formats.format import ShardSize
from transforms.kinds.registry import ANNOTATIONS, SMALL_FILES, TABLES
from transforms.releases.manifest import (
    Annotations,
    File,
    ShardFile,
    SourceRows,
    SourceWarning,
    Split,
)
from transforms.selection.choose import IMAGES_RULE
from transforms.wording import clean


class LostRowsError(Exception):
    """The runner's shuffle didn't deliver what it was given."""


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
    sources: Sequence[Source], counts: Iterable[SourceCount], buckets: Iterable[BucketCount]
) -> tuple[SourceRows, ...]:
    """Counts, for each source, the rows that were kept, repeats, orphans, bad and deselected.

    Raises:
        LostRowsError: Rows that were read were lost on the way to a bucket, or doubled; or the rows
            that were kept aren't the annotations of examples and of images that were left out.
    """
    rows, bad, passed_over = np.zeros((3, len(sources)), int)
    for count in counts:
        rows[count.source] += count.rows
        bad[count.source] += count.bad_rows
        passed_over[count.source] += count.deselected
    arrived: collections.Counter[int] = collections.Counter()
    orphans: collections.Counter[int] = collections.Counter()
    repeats: collections.Counter[int] = collections.Counter()
    deselected = [Counter({IMAGES_RULE: int(count)}) for count in passed_over]
    buckets = list(buckets)
    for bucket in buckets:
        for source, rule, count in bucket.deselected:
            deselected[source][rule] += count
        arrived.update(dict(bucket.rows))
        orphans.update(dict(bucket.orphans))
        repeats.update(dict(bucket.repeats))
    for source in sources:
        sound = rows[source.index] - bad[source.index] - passed_over[source.index]
        if source.kind not in SMALL_FILES and arrived[source.index] != sound:
            raise LostRowsError(
                f"{source.name}: {sound:,} rows were read and {arrived[source.index]:,} arrived: "
                "the runner lost or doubled some"
            )
    kept = {
        source.index: int(rows[source.index] - bad[source.index])
        - orphans[source.index]
        - repeats[source.index]
        - deselected[source.index].total()
        for source in sources
    }
    added: collections.Counter[str] = collections.Counter()
    for bucket in buckets:
        added.update(dict(bucket.added))
    _check_columns(sources, kept, added, count_annotations(buckets))
    return tuple(
        SourceRows(
            kind=source.kind,
            path=source.shown_name,
            rows=int(rows[source.index]),
            kept=kept[source.index],
            repeats=repeats[source.index],
            orphans=orphans[source.index],
            bad_rows=int(bad[source.index]),
            deselected=dict(+deselected[source.index]),
            digest=source.digest,
            stamp=source.stamp,
        )
        for source in sources
    )


def _check_columns(
    sources: Iterable[Source],
    kept: Mapping[int, int],
    added: Mapping[str, int],
    annotations: Mapping[str, Annotations],
) -> None:
    """Checks that the annotations of each column are the rows that were kept, and added.

    Raises:
        LostRowsError: They aren't.
    """
    expected: collections.Counter[str] = collections.Counter(added)
    for source in sources:
        kind = TABLES.get(source.kind)
        if kind and kind.column in ANNOTATIONS:
            expected[kind.column] += kept[source.index]
    for column, count in expected.items():
        found = annotations.get(column, Annotations(0, 0))
        if found.written + found.left_out != count:
            raise LostRowsError(
                f"{column}: {count:,} rows were kept or added, but {found.written:,} written and "
                f"{found.left_out:,} left out: this is a fault of the program, so report it"
            )


def count_annotations(buckets: Iterable[BucketCount]) -> dict[str, Annotations]:
    """Counts, by column, annotations in examples, and those of images without an example."""
    written: collections.Counter[str] = collections.Counter()
    left_out: collections.Counter[str] = collections.Counter()
    for bucket in buckets:
        for total, counts in ((written, bucket.written), (left_out, bucket.left_out)):
            for column, count in counts:
                total[column] += count
    columns = dict.fromkeys([*written, *left_out])
    return {column: Annotations(written[column], left_out[column]) for column in columns}


def add_funnels(funnels: Iterable[tuple[tuple[str, int], ...]]) -> dict[str, int]:
    """Adds up how many images the conditions of a selection leave, in their order."""
    total: dict[str, int] = {}
    for funnel in funnels:
        for condition, count in funnel:
            total[condition] = total.get(condition, 0) + count
    return total


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
    of_split: dict[str, list[ShardFile]] = {}
    for shard in sorted(shards):
        if shard.format != naming.LINEAGE:
            entry = ShardFile(
                shard.path, shard.format, shard.num_examples, shard.bytes, shard.sha256
            )
            of_split.setdefault(shard.split, []).append(entry)
    splits = {}
    for name, entries in of_split.items():
        examples: collections.Counter[str] = collections.Counter()
        for entry in entries:
            examples[entry.format] += entry.num_examples
        if len(set(examples.values())) != 1:
            raise ValueError(f"formats differ in their number of examples: {dict(examples)}")
        splits[name] = Split(next(iter(examples.values())), tuple(entries))
    return splits


def shard_sizes(splits: Mapping[str, Split], form: str) -> dict[str, list[ShardSize]]:
    """Returns the sizes of the shards of a format, by split."""
    return {
        name: [ShardSize(shard.num_examples, shard.bytes) for shard in split.of_format(form)]
        for name, split in splits.items()
    }


def list_reuse_files(shards: Iterable[Shard]) -> tuple[File, ...]:
    """Returns the files of `reuse.recording` that have rows of images."""
    return tuple(
        File(shard.path, shard.bytes, shard.sha256)
        for shard in sorted(shards)
        if shard.format == naming.LINEAGE
    )


def count_taken_over(buckets: Iterable[BucketCount]) -> dict[str, int]:
    """Counts buckets that come whole from the version before, and all pictures that do."""
    counted = list(buckets)
    return {
        "buckets": sum(bucket.taken_over for bucket in counted),
        "pictures": sum(bucket.pictures for bucket in counted),
    }
