"""Annotation tables without pictures, of any size, at the proportions of the published dataset.

Nothing loops over rows, and no more than a few batches are in memory at any time. The quirks are
those of `open_images.synthesis.corpus`, as far as they make sense without pictures.
"""

import functools
import itertools
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
from tqdm import tqdm

from open_images.synthesis import bulk_rows as rows
from open_images.synthesis import layout
from open_images.synthesis.batches import Batch, Spread
from open_images.synthesis.identity import split_ranges
from transforms.dataset.texts import end_to_end
from transforms.kinds import published
from transforms.system.processes import in_order


class _Table(NamedTuple):
    """How a table is made.

    Attributes:
      make: returns a batch's rows.
      mean: rows for each image, counting all images.
      share: about which part of the images has any.
      row_bytes: about the length of a row.
    """

    make: Callable[[Batch], pa.Array]
    mean: float
    share: float
    row_bytes: int = 42


# Of V7: 9.18M images, of which 1.9M have boxes. The tables that speak of boxes reach fewer images
# and fewer boxes of an image than the table of boxes, so that each box they name is there.
_TABLES = {
    "images": _Table(rows.images, 1.0, 1.0, 420),
    "boxes": _Table(rows.boxes, 1.7, 0.2, 150),
    "person_boxes": _Table(rows.person_boxes, 0.05, 0.011),
    "masks": _Table(rows.masks, 0.3, 0.12, 330),
    "relationships": _Table(rows.relationships, 0.36, 0.1, 110),
    "narratives": _Table(rows.narratives, 0.07, 0.07),
    "points": _Table(rows.points, 7.0, 0.15, 60),
    "human_labels": _Table(rows.human_labels, 7.0, 0.97),
    "machine_labels": _Table(rows.machine_labels, 18.0, 0.98),
}

# Of 9,178,275 images 41,620 are for validation and 125,436 for test.
_splits = functools.partial(split_ranges, validation=41_620 / 9_178_275, test=125_436 / 9_178_275)

_BATCH_BYTES = 24 << 20


class _Job(NamedTuple):
    """Rows `start` to `stop` of a table."""

    name: str
    table: str
    split: str
    start: int
    stop: int


def write_bulk(
    annotations: Path, images: int, release: str, seed: int, workers: int, narrative_bytes: int
) -> None:
    """Writes the annotation tables of a release.

    Args:
      annotations: the folder.
      images: how many the tables speak of.
      release: `v7` or `v3`.
      seed: decides on everything.
      workers: processes; they don't change the bytes.
      narrative_bytes: about the size of a narrative's line.
    """
    jobs = list(_jobs(images, release, narrative_bytes))
    make = functools.partial(_rows, images, release, seed, narrative_bytes)
    total = sum(job.stop - job.start for job in jobs)
    with tqdm(total=total, unit="row", unit_scale=True, disable=None) as progress:
        done = zip(jobs, in_order(make, jobs, workers), strict=True)
        for (name, table, split), batches in itertools.groupby(done, lambda pair: pair[0][:3]):
            header = published.header_of(release, table, split)
            with closing(layout.TableFile(annotations, name, header)) as file:
                for job, text in batches:
                    file.append(text)
                    progress.update(job.stop - job.start)


def _jobs(images: int, release: str, narrative_bytes: int) -> Iterator[_Job]:
    """Yields jobs in the order of files and rows; a file without rows has an empty one."""
    for split, span in _splits(images).items():
        for table in layout.tables_of(release):
            total = _spread(table, span).total
            names = layout.files_of(release, table, split)
            width = narrative_bytes if table == "narratives" else _TABLES[table].row_bytes
            batch = max(1, _BATCH_BYTES // width)
            for part, name in enumerate(names):
                start, end = (total * p // len(names) for p in (part, part + 1))
                for first in range(start, max(end, start + 1), batch):
                    yield _Job(name, table, split, first, min(end, first + batch))


def _rows(images: int, release: str, seed: int, narrative_bytes: int, job: _Job) -> bytes:
    """Returns the text of a job's rows."""
    if job.start == job.stop:
        return b""
    spread = _spread(job.table, _splits(images)[job.split])
    image, layer = spread.rows(job.start, job.stop)
    batch = Batch(seed, release, job.split, image, layer, spread.layers, narrative_bytes)
    return end_to_end(_TABLES[job.table].make(batch)).to_pybytes()


def _spread(table: str, images: range) -> Spread:
    return Spread(images, _TABLES[table].mean, _TABLES[table].share)
