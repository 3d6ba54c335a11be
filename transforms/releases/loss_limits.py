"""Limits on what may be lost of a build's inputs before nothing is published.

An empty list in an example says that the image has no such annotation. Rows that were lost would
teach a detector that their objects aren't there, so losses beyond a limit fail the build.
"""

import os
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from transforms.dataset.elements import BucketCount, Source, SourceCount
from transforms.dataset.failures import Stage
from transforms.kinds.images import IMAGES
from transforms.kinds.registry import TABLES, VOCABULARY
from transforms.releases.failure_table import FailureTable, first_rows
from transforms.releases.outcome import Loss, Outcome
from transforms.releases.publication import Publication
from transforms.wording import clean, counted, exceeds, share_above

_SHOWN = 3


class _Causes(NamedTuple):
    """What may tell the cause of a loss.

    Attributes:
        warnings: about sources, by index.
        failures: all failures.
    """

    warnings: Mapping[int, str]
    failures: FailureTable

    def describe(self, sources: Iterable[Source], failed: Iterable[Mapping]) -> tuple[str, ...]:
        """Returns the first warnings about some sources, and failures, one line each."""
        found = [
            f"{source.shown_name}: {clean(self.warnings[source.index])}"
            for source in sources
            if source.index in self.warnings
        ]
        return (*found[:_SHOWN], *(f"such as {describe_failure(row)}" for row in failed))

    def first_failures(self, where: Callable[[pa.Table], pa.ChunkedArray]) -> list[dict]:
        """Returns the first failures that a mask chooses."""
        chosen = (table.filter(where(table)) for table in self.failures.tables())
        return first_rows(chosen, _SHOWN)


def find_losses(
    config: Publication,
    outcome: Outcome,
    source_counts: Sequence[SourceCount],
    bucket_counts: Iterable[BucketCount],
    failures: FailureTable,
) -> Iterator[Loss]:
    """Yields the losses that exceed the limits of `config`.

    Bad rows of splits that aren't built are no loss.

    Args:
        config: the build.
        outcome: what was counted.
        source_counts: of all blocks.
        bucket_counts: of all buckets.
        failures: all failures.
    """
    warnings = {each.source: each.warning for each in source_counts if each.warning}
    causes = _Causes(warnings, failures)
    damage = {each.source: each.damage for each in source_counts if each.damage}
    for index, text in sorted(damage.items()):
        path = outcome.sources[index].path
        yield Loss(path, "damaged", f"{path}: {clean(text)}")
    yield from _find_lost_rows(config, outcome, damage, causes)
    yield from _find_lacking_files(config, bucket_counts, causes)
    yield from _find_failed_images(config, outcome, causes)


def _find_lost_rows(
    config: Publication, outcome: Outcome, damage: Container[int], causes: _Causes
) -> Iterator[Loss]:
    """Yields files with too many bad rows, and tables none of whose rows belongs to an image."""
    limit = config.max_bad_rate
    built = (*outcome.splits, None)
    for source, found in zip(config.examples.sources, outcome.sources, strict=True):
        path, rows, bad = found.path, found.rows, found.bad_rows
        if source.kind not in (*TABLES, *VOCABULARY) or source.split not in config.row_splits:
            continue
        if source.index in damage:
            continue
        if exceeds(bad, rows, limit):
            text = f"{path}: {_share(bad, rows, limit)} rows are bad, {_more_than(limit)}"
            # `text` names the path: each example needs the file's name alone.
            name = os.path.basename(path)
            failed = first_rows(causes.failures.of_file(path), _SHOWN)
            examples = causes.describe([source], [row | {"source": name} for row in failed])
            yield Loss(path, "bad_rows", text, examples)
        elif 0 < found.orphans == rows - bad and source.split in built and limit < 1:
            text = (
                f"{path}: none of its {rows:,} rows is of an image of the dataset: give the image "
                "table that it belongs to, or leave it out (--max_bad_rate 1 accepts it)"
            )
            yield Loss(path, "orphans", text)


class _Files(NamedTuple):
    """Files of annotations: masks' PNGs, or narratives' recordings.

    Attributes:
        kind: of their sources.
        stage: of their failures.
        noun: the annotations that need them.
        lack: what these do without one.
        problem: what a loss of them is called.
        remedy: which flag to look at.
    """

    kind: str
    stage: Stage
    noun: str
    lack: str
    problem: str
    remedy: str


_MASK_FILES = _Files(
    *("mask_files", Stage.MASK, "masks", "masks have no pixels"),
    *("masks_without_pixels", "check --masks"),
)
_VOICE_FILES = _Files(
    *("voice_files", Stage.VOICE, "recordings", "recordings are missing or damaged"),
    *("recordings_lost", "check --voices"),
)


def _find_lacking_files(
    config: Publication, bucket_counts: Iterable[BucketCount], causes: _Causes
) -> Iterator[Loss]:
    """Yields splits in which too many masks lack pixels, or too many narratives their recording."""
    counts: dict[_Files, dict[str, Counter[str]]] = {}
    for bucket in bucket_counts:
        for files, rows in ((_MASK_FILES, bucket.masks), (_VOICE_FILES, bucket.voices)):
            for split, number, lacking in rows:
                of_split = counts.setdefault(files, {}).setdefault(split, Counter())
                of_split.update(all=number, lacking=lacking)
    limit = config.max_bad_rate
    for files, splits in counts.items():
        sources = [each for each in config.examples.sources if each.kind == files.kind]
        for split, count in sorted(splits.items()):
            if exceeds(count["lacking"], count["all"], limit):
                text = (
                    f"{files.noun} of {split}: {_share(count['lacking'], count['all'], limit)} "
                    f"{files.lack}, {_more_than(limit, files.remedy)}"
                )
                failed = causes.first_failures(
                    partial(_is_of_files, stage=files.stage, split=split)
                )
                examples = causes.describe(sources, failed)
                yield Loss(f"{files.noun} of {split}", files.problem, text, examples)


def _find_failed_images(config: Publication, outcome: Outcome, causes: _Causes) -> Iterator[Loss]:
    images, failed, limit = outcome.images, outcome.failed_images, config.max_failure_rate
    if exceeds(failed, images, limit):
        text = (
            f"{failed:,} of {counted(images, 'image')} failed "
            f"({share_above(failed, images, limit)}), more than --max_failure_rate {limit}: "
            "mend the input or raise it"
        )
        sources = config.examples.sources
        tables = [source.shown_name for source in sources if source.kind == IMAGES.name]
        rows = causes.first_failures(partial(_is_of_images, tables=tables))
        pictures = [source for source in sources if source.kind == "pictures"]
        yield Loss("images", "failed_images", text, causes.describe(pictures, rows))


def _is_of_files(failed: pa.Table, stage: Stage, split: str) -> pa.ChunkedArray:
    """Returns a mask of failures of a stage and split."""
    return pc.and_(pc.equal(failed["stage"], stage), pc.equal(failed["split"], split))


def _is_of_images(failed: pa.Table, tables: Sequence[str]) -> pa.ChunkedArray:
    """Returns a mask of failures of images, and of rows of image tables."""
    return pc.or_(
        pc.is_in(failed["stage"], pa.array([Stage.FETCH, Stage.DECODE, Stage.JOIN])),
        pc.fill_null(pc.is_in(failed["source"], pa.array(tables, pa.string())), False),
    )


def _share(some: int, total: int, limit: float) -> str:
    share = f" ({share_above(some, total, limit)})" if some < total else ""
    return f"{some:,} of {total:,}{share}"


def _more_than(limit: float, remedy: str = "mend or replace it") -> str:
    return f"more than --max_bad_rate {limit}: {remedy}, or raise the limit"


def describe_failure(row: Mapping) -> str:
    """Returns a row of the table of failures as one line."""
    where = row["source"] or row["image_id"]
    if row["line"]:
        where = f"{where}:{row['line']}"
    return f"{row['reason']}: {where}: {row['detail']}"
