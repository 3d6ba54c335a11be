"""The account of a version: its shards, its sources row by row, and its failures."""

import collections
import dataclasses
import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from transforms.checksum import Checksum
from transforms.dataset import naming
from transforms.dataset.elements import BucketCount, Notice, Shard, Source, SourceCount
from transforms.kinds.detect import TABLES, UNUSED, VOCABULARY
from transforms.redaction import redact_url
from transforms.wording import clean


class LostRowsError(Exception):
    """The runner's shuffle didn't deliver what it was given."""


def tell_digests(sources: Iterable[Source], counts: Iterable[SourceCount]) -> list[Source]:
    """Sources with the digests of those that were read to have one.

    What became shorter or longer meanwhile keeps none.
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


def fingerprint(sources: Iterable[Source], basis: str, buckets: int) -> str:
    """SHA-256 of all that decides about the output, wherever its inputs lie.

    Args:
        sources: with their digests.
        basis: of all else, as of `open_images.building.fingerprint.basis_of`.
        buckets: how the work is cut.
    """
    inputs = [
        # What is asked for by name has nothing but its address.
        (source.kind, os.path.basename(redact_url(source.path)), source.size, source.digest)
        if source.digest
        else (source.kind, source.path, source.size, source.stamp)
        for source in sources
    ]
    content = {"inputs": inputs, "layout": {"buckets": buckets}, "basis": basis}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def count_sources(
    sources: Sequence[Source], counts: Iterable[SourceCount], buckets: Iterable[BucketCount]
) -> list[dict]:
    """Returns each source with its counts of rows, its digest and its stamp.

    Each row is exactly one of: kept, a repeat of another file's row, an orphan without an image, or
    bad.

    Raises:
        LostRowsError: Rows that were read were lost on the way to a bucket, or doubled; or the rows
            that were kept aren't the annotations of examples and of images that were left out.
    """
    rows, bad = np.zeros((2, len(sources)), int)
    for count in counts:
        rows[count.source] += count.rows
        bad[count.source] += count.bad_rows
    arrived: collections.Counter[int] = collections.Counter()
    orphans: collections.Counter[int] = collections.Counter()
    repeats: collections.Counter[int] = collections.Counter()
    buckets = list(buckets)
    for bucket in buckets:
        arrived.update(dict(bucket.rows))
        orphans.update(dict(bucket.orphans))
        repeats.update(dict(bucket.repeats))
    for source in sources:
        sound = rows[source.index] - bad[source.index]
        if source.kind not in (*VOCABULARY, *UNUSED) and arrived[source.index] != sound:
            raise LostRowsError(
                f"{source.name}: {sound:,} rows were read and {arrived[source.index]:,} arrived: "
                "the runner lost or doubled some"
            )
    kept = {
        source.index: int(rows[source.index] - bad[source.index])
        - orphans[source.index]
        - repeats[source.index]
        for source in sources
    }
    _check_columns(sources, kept, count_annotations(buckets))
    return [
        {
            "kind": source.kind,
            "path": source.shown_name,
            "rows": int(rows[source.index]),
            "kept": kept[source.index],
            "repeats": repeats[source.index],
            "orphans": orphans[source.index],
            "bad_rows": int(bad[source.index]),
            "digest": source.digest,
            "stamp": source.stamp,
        }
        for source in sources
    ]


def _check_columns(
    sources: Iterable[Source], kept: Mapping[int, int], annotations: Mapping[str, Mapping[str, int]]
) -> None:
    """Checks that the annotations of each column are the rows that were kept.

    Raises:
        LostRowsError: They aren't.
    """
    expected: collections.Counter[str] = collections.Counter()
    for source in sources:
        if source.kind in TABLES and source.kind != "images":
            expected[TABLES[source.kind].column] += kept[source.index]
    for column, count in expected.items():
        found = annotations.get(column, {"written": 0, "left_out": 0})
        if sum(found.values()) != count:
            raise LostRowsError(
                f"{column}: {count:,} rows were kept, but {found['written']:,} written and "
                f"{found['left_out']:,} left out: this is a fault of the program, so report it"
            )


def count_annotations(buckets: Iterable[BucketCount]) -> dict[str, dict[str, int]]:
    """Counts, by column, annotations in examples (`written`), and those of images that failed or
    are of other splits (`left_out`)."""
    counted: dict[str, dict[str, int]] = {}
    for bucket in buckets:
        for key, counts in (("written", bucket.written), ("left_out", bucket.left_out)):
            for column, count in counts:
                entry = counted.setdefault(column, {"written": 0, "left_out": 0})
                entry[key] += count
    return counted


def gather_warnings(
    notices: Iterable[Notice], counts: Iterable[SourceCount], sources: Sequence[Mapping]
) -> list[dict[str, str]]:
    """Returns warnings about sources as `path` and `text`, sorted.

    Args:
        notices: remarks on the inputs.
        counts: of all blocks.
        sources: as of `count_sources`, by index.
    """
    found = {(notice.path, notice.text) for notice in notices}
    found |= {(sources[count.source]["path"], count.warning) for count in counts if count.warning}
    for source in sources:
        if source["kind"] not in TABLES:
            continue
        if not source["rows"]:
            found.add((source["path"], "has no rows"))
        elif 0 < source["orphans"] == source["rows"] - source["bad_rows"]:
            found.add((source["path"], "none of its rows is of an image of the dataset"))
    return [{"path": path, "text": clean(text)} for path, text in sorted(found)]


def count_splits(shards: Iterable[Shard]) -> dict[str, dict]:
    """Examples and shards of each split; examples are counted once, whatever the formats."""
    splits: dict[str, dict] = {}
    for shard in sorted(shard for shard in shards if shard.format != naming.LINEAGE):
        split = splits.setdefault(shard.split, {"num_examples": 0, "shards": []})
        split["shards"].append(
            {
                "path": shard.path,
                "format": shard.format,
                "num_examples": shard.num_examples,
                "bytes": shard.bytes,
                "sha256": shard.sha256,
            }
        )
    for split in splits.values():
        by_format: collections.Counter[str] = collections.Counter()
        for shard in split["shards"]:
            by_format[shard["format"]] += shard["num_examples"]
        if len(set(by_format.values())) != 1:
            raise ValueError(f"formats differ in their number of examples: {dict(by_format)}")
        split["num_examples"] = next(iter(by_format.values()))
    return splits


def count_lineage(shards: Iterable[Shard]) -> list[dict]:
    """The files of `reuse.recording` that images have rows in."""
    return [
        {"path": shard.path, "bytes": shard.bytes, "sha256": shard.sha256}
        for shard in sorted(shards)
        if shard.format == naming.LINEAGE
    ]


def count_taken_over(buckets: Iterable[BucketCount]) -> dict[str, int]:
    """What comes of the version before: whole buckets, and pictures, of these and of others."""
    counted = list(buckets)
    return {
        "buckets": sum(bucket.taken_over for bucket in counted),
        "pictures": sum(bucket.pictures for bucket in counted),
    }
