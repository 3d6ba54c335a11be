"""What a build has lost of its inputs, and whether that is too much to publish.

An example with an empty list says that there is nothing: to a trainer, rows that were lost are
objects that aren't there. So what is lost of a source beyond a limit fails a build, as images do.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from transforms.config import BuildConfig
from transforms.elements import BucketCount, Source, SourceCount
from transforms.failures import Stage
from transforms.formats.detect import TABLES, VOCABULARY
from transforms.outputs.naming import SPLITS
from transforms.wording import counted

_SHOWN = 3


class Loss(NamedTuple):
    """Why nothing is published.

    Attributes:
        source: the path of a source, the masks of a split, or the images.
        problem: `damaged`, `bad_rows`, `orphans`, `masks_without_pixels` or `failed_images`.
        text: one line with the source and the remedy.
        examples: what is known of the cause, and the first failures, one line each.
    """

    source: str
    problem: str
    text: str
    examples: tuple[str, ...] = ()


def find_losses(
    config: BuildConfig,
    sources: Sequence[Mapping],
    source_counts: Iterable[SourceCount],
    bucket_counts: Iterable[BucketCount],
    gathered: pa.Table,
    built: Iterable[str],
    images: int,
    failed_images: int,
) -> list[Loss]:
    """Finds what is lost beyond the limits. Bad rows of splits that aren't built are no loss.

    Args:
        config: the build.
        sources: accounts as of `manifest.count_sources`, by index.
        source_counts: of all blocks.
        bucket_counts: of all buckets.
        gathered: all failures.
        built: the splits that have examples.
        images: how many there were to be.
        failed_images: how many of them can't be in the version.
    """
    losses = []
    source_counts = list(source_counts)
    warnings: dict[int, str] = {c.source: c.warning for c in source_counts if c.warning}
    damage = {count.source: count.damage for count in source_counts if count.damage}
    for index, text in sorted(damage.items()):
        path = sources[index]["path"]
        losses.append(Loss(path, "damaged", f"{path}: {text}"))
    limit = config.max_bad_rate
    wanted = (*(config.splits or SPLITS), None)
    for source, account in zip(config.sources, sources, strict=True):
        path, rows, bad = account["path"], account["rows"], account["bad_rows"]
        if source.kind not in (*TABLES, *VOCABULARY) or source.index in damage:
            continue
        if source.split not in wanted:
            continue
        if bad > limit * rows:
            text = f"{path}: {_share(bad, rows)} rows are bad, {_more_than(limit)}"
            failed = gathered.filter(pc.equal(gathered["source"], path))
            about = _warnings_of([source], warnings)
            losses.append(Loss(path, "bad_rows", text, (*about, *_describe(failed))))
        elif 0 < account["orphans"] == rows - bad and source.split in (*built, None) and limit < 1:
            text = (
                f"{path}: none of its {rows:,} rows is of an image of the dataset: give the image "
                "table that it belongs to, or leave it out (--max_bad_rate 1 accepts it)"
            )
            losses.append(Loss(path, "orphans", text))
    about_masks = _warnings_of([s for s in config.sources if s.kind == "mask_files"], warnings)
    for split, (masks, lacking) in sorted(count_masks(bucket_counts).items()):
        if lacking > limit * masks:
            text = (
                f"masks of {split}: {_share(lacking, masks)} masks have no pixels, "
                f"{_more_than(limit, 'check --masks')}"
            )
            of_split = pc.and_(
                pc.equal(gathered["stage"], Stage.MASK), pc.equal(gathered["split"], split)
            )
            examples = (*about_masks, *_describe(gathered.filter(of_split)))
            losses.append(Loss(f"masks of {split}", "masks_without_pixels", text, examples))
    if failed_images > config.max_failure_rate * images:
        text = (
            f"{failed_images:,} of {counted(images, 'image')} failed "
            f"({failed_images / images:.2%}), more than --max_failure_rate "
            f"{config.max_failure_rate:g}: mend the input or raise it"
        )
        tables = [source.name for source in config.sources if source.kind == "images"]
        of_images = pc.or_(
            pc.is_in(gathered["stage"], pa.array([Stage.FETCH, Stage.DECODE, Stage.JOIN])),
            pc.fill_null(pc.is_in(gathered["source"], pa.array(tables, pa.string())), False),
        )
        about = _warnings_of([s for s in config.sources if s.kind == "pictures"], warnings)
        examples = (*about, *_describe(gathered.filter(of_images)))
        losses.append(Loss("images", "failed_images", text, examples))
    return losses


def _warnings_of(sources: Iterable[Source], warnings: Mapping[int, str]) -> tuple[str, ...]:
    """What is told of some sources, which may be why they lack something."""
    told = [(source.name, warnings[source.index]) for source in sources if source.index in warnings]
    return tuple(f"{name}: {text}" for name, text in told[:_SHOWN])


def count_masks(bucket_counts: Iterable[BucketCount]) -> dict[str, tuple[int, int]]:
    """By split, how many masks there are, and how many lack pixels that they should have."""
    counted: dict[str, tuple[int, int]] = {}
    for bucket in bucket_counts:
        for split, masks, lacking in bucket.masks:
            before = counted.get(split, (0, 0))
            counted[split] = (before[0] + masks, before[1] + lacking)
    return counted


def _share(some: int, total: int) -> str:
    return f"{some:,} of {total:,}" + (f" ({some / total:.2%})" if some < total else "")


def _more_than(limit: float, remedy: str = "mend or replace it") -> str:
    return f"more than --max_bad_rate {limit:g}: {remedy}, or raise the limit"


def _describe(failed: pa.Table) -> tuple[str, ...]:
    """The first failures, one line each."""
    rows = failed.slice(0, _SHOWN).to_pylist()
    return tuple(f"such as {describe_failure(row)}" for row in rows)


def describe_failure(row: Mapping) -> str:
    """A row of the failures table in one line."""
    where = row["source"] or row["image_id"]
    if row["line"]:
        where = f"{where}:{row['line']}"
    return f"{row['reason']}: {where}: {row['detail']}"
