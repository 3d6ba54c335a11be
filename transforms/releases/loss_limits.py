"""Limits on what may be lost of a build's inputs before nothing is published.

An empty list in an example says that the image has no such annotation. Rows that were lost would
teach a detector that their objects aren't there, so losses beyond a limit fail the build.
"""

import dataclasses
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from transforms.dataset.elements import BucketCount, Source, SourceCount
from transforms.dataset.failures import Stage
from transforms.dataset.naming import SPLITS
from transforms.kinds.images import IMAGES
from transforms.kinds.registry import TABLES, VOCABULARY
from transforms.releases.failure_table import FailureTable, first_rows
from transforms.releases.manifest import SourceRows
from transforms.releases.publication import Publication
from transforms.wording import clean, counted, exceeds, share_above

_SHOWN = 3


@dataclasses.dataclass(frozen=True)
class Loss:
    """Why nothing is published.

    Attributes:
        source: the path of a source, the masks of a split, or the images.
        problem: `damaged`, `bad_rows`, `orphans`, `masks_without_pixels` or `failed_images`.
        text: one line with the source and the remedy.
        examples: warnings that may name the cause, and the first failures; one line each.
    """

    source: str
    problem: str
    text: str
    examples: tuple[str, ...] = ()


def find_losses(
    config: Publication,
    sources: Sequence[SourceRows],
    source_counts: Iterable[SourceCount],
    bucket_counts: Iterable[BucketCount],
    failures: FailureTable,
    built: Iterable[str],
    images: int,
    failed_images: int,
) -> list[Loss]:
    """Returns the losses that exceed the limits of `config`.

    Bad rows of splits that aren't built are no loss.

    Args:
        config: the build.
        sources: as of `counts.count_sources`, by index.
        source_counts: of all blocks.
        bucket_counts: of all buckets.
        failures: all failures.
        built: the splits that have examples.
        images: how many images the inputs have in the splits that are built.
        failed_images: how many of them failed.
    """
    source_counts = list(source_counts)
    warnings = {count.source: count.warning for count in source_counts if count.warning}
    damage = {count.source: count.damage for count in source_counts if count.damage}
    return [
        *_find_damage(sources, damage),
        *_find_lost_rows(config, sources, damage, warnings, failures, built),
        *_find_masks_without_pixels(config, bucket_counts, warnings, failures),
        *_find_failed_images(config, images, failed_images, warnings, failures),
    ]


def _find_damage(sources: Sequence[SourceRows], damage: Mapping[int, str]) -> Iterator[Loss]:
    for index, text in sorted(damage.items()):
        path = sources[index].path
        yield Loss(path, "damaged", f"{path}: {clean(text)}")


def _find_lost_rows(
    config: Publication,
    sources: Sequence[SourceRows],
    damage: Mapping[int, str],
    warnings: Mapping[int, str],
    failures: FailureTable,
    built: Iterable[str],
) -> Iterator[Loss]:
    """Yields files with too many bad rows, and tables none of whose rows belongs to an image."""
    limit = config.limits.max_bad_rate
    wanted = (*(config.examples.splits or SPLITS), None)
    for source, found in zip(config.examples.sources, sources, strict=True):
        path, rows, bad = found.path, found.rows, found.bad_rows
        if source.kind not in (*TABLES, *VOCABULARY) or source.index in damage:
            continue
        if source.split not in wanted:
            continue
        if exceeds(bad, rows, limit):
            text = f"{path}: {_share(bad, rows, limit)} rows are bad, {_more_than(limit)}"
            causes = _warnings_of([source], warnings)
            # `text` names the path: each example needs the file's name alone.
            name = os.path.basename(path)
            rows = [row | {"source": name} for row in first_rows(failures.of_file(path), _SHOWN)]
            yield Loss(path, "bad_rows", text, (*causes, *_examples_of(rows)))
        elif 0 < found.orphans == rows - bad and source.split in (*built, None) and limit < 1:
            text = (
                f"{path}: none of its {rows:,} rows is of an image of the dataset: give the image "
                "table that it belongs to, or leave it out (--max_bad_rate 1 accepts it)"
            )
            yield Loss(path, "orphans", text)


def _find_masks_without_pixels(
    config: Publication,
    bucket_counts: Iterable[BucketCount],
    warnings: Mapping[int, str],
    failures: FailureTable,
) -> Iterator[Loss]:
    limit = config.limits.max_bad_rate
    causes = _warnings_of([s for s in config.examples.sources if s.kind == "mask_files"], warnings)
    for split, (masks, lacking) in sorted(_count_masks(bucket_counts).items()):
        if exceeds(lacking, masks, limit):
            text = (
                f"masks of {split}: {_share(lacking, masks, limit)} masks have no pixels, "
                f"{_more_than(limit, 'check --masks')}"
            )
            rows = first_rows(failures.tables(), _SHOWN, partial(_is_of_masks, split=split))
            examples = (*causes, *_examples_of(rows))
            yield Loss(f"masks of {split}", "masks_without_pixels", text, examples)


def _find_failed_images(
    config: Publication,
    images: int,
    failed_images: int,
    warnings: Mapping[int, str],
    failures: FailureTable,
) -> Iterator[Loss]:
    limit = config.limits.max_failure_rate
    if not exceeds(failed_images, images, limit):
        return
    text = (
        f"{failed_images:,} of {counted(images, 'image')} failed "
        f"({share_above(failed_images, images, limit)}), more than --max_failure_rate {limit}: "
        "mend the input or raise it"
    )
    tables = [source.shown_name for source in config.examples.sources if source.kind == IMAGES.name]
    causes = _warnings_of([s for s in config.examples.sources if s.kind == "pictures"], warnings)
    rows = first_rows(failures.tables(), _SHOWN, partial(_is_of_images, tables=tables))
    yield Loss("images", "failed_images", text, (*causes, *_examples_of(rows)))


def _is_of_masks(failed: pa.Table, split: str) -> pa.ChunkedArray:
    """Returns a mask of failures of masks of a split."""
    return pc.and_(pc.equal(failed["stage"], Stage.MASK), pc.equal(failed["split"], split))


def _is_of_images(failed: pa.Table, tables: Sequence[str]) -> pa.ChunkedArray:
    """Returns a mask of failures of images, and of rows of image tables."""
    return pc.or_(
        pc.is_in(failed["stage"], pa.array([Stage.FETCH, Stage.DECODE, Stage.JOIN])),
        pc.fill_null(pc.is_in(failed["source"], pa.array(tables, pa.string())), False),
    )


def _warnings_of(sources: Iterable[Source], warnings: Mapping[int, str]) -> tuple[str, ...]:
    """Returns the first warnings of some sources, one line each: they may name the cause."""
    found = [
        (source.shown_name, clean(warnings[source.index]))
        for source in sources
        if source.index in warnings
    ]
    return tuple(f"{name}: {text}" for name, text in found[:_SHOWN])


def _count_masks(bucket_counts: Iterable[BucketCount]) -> dict[str, tuple[int, int]]:
    """Returns, by split, how many masks there are and how many of them lack pixels."""
    counts: dict[str, tuple[int, int]] = {}
    for bucket in bucket_counts:
        for split, masks, lacking in bucket.masks:
            before = counts.get(split, (0, 0))
            counts[split] = (before[0] + masks, before[1] + lacking)
    return counts


def _share(some: int, total: int, limit: float) -> str:
    share = f" ({share_above(some, total, limit)})" if some < total else ""
    return f"{some:,} of {total:,}{share}"


def _more_than(limit: float, remedy: str = "mend or replace it") -> str:
    return f"more than --max_bad_rate {limit}: {remedy}, or raise the limit"


def _examples_of(rows: Iterable[Mapping]) -> tuple[str, ...]:
    """Returns failures, one line each."""
    return tuple(f"such as {describe_failure(row)}" for row in rows)


def describe_failure(row: Mapping) -> str:
    """Returns a row of the table of failures as one line."""
    where = row["source"] or row["image_id"]
    if row["line"]:
        where = f"{where}:{row['line']}"
    return f"{row['reason']}: {where}: {row['detail']}"
