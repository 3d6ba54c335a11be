"""Annotation tables alone, of any size, at the proportions of the published dataset.

Nothing loops over rows, and no more than a few batches are in memory at any time. The quirks are
those of `open_images.synthesis.corpus`, as far as they make sense without pictures.
"""

import functools
import itertools
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from open_images.synthesis import layout
from open_images.synthesis.batches import Batch
from open_images.synthesis.bulk_tables import MAKERS
from open_images.synthesis.columns import joined_bytes
from open_images.synthesis.identity import split_ranges
from open_images.synthesis.spread import Proportion, Spread
from transforms.system.processes import in_order

# Of V7: 9.18M images, of which 1.9M have boxes. The tables that speak of boxes reach fewer images
# and fewer boxes of an image than the table of boxes, so that each box they name is there.
PROPORTIONS = {
    "images": Proportion(1.0, 1.0),
    "boxes": Proportion(1.7, 0.2),
    "person_boxes": Proportion(0.05, 0.011),
    "masks": Proportion(0.3, 0.12),
    "relationships": Proportion(0.36, 0.1),
    "narratives": Proportion(0.07, 0.07),
    "points": Proportion(7.0, 0.15),
    "human_labels": Proportion(7.0, 0.97),
    "machine_labels": Proportion(18.0, 0.98),
}

# Of 9,178,275 images 41,620 are for validation and 125,436 for test.
_splits = functools.partial(split_ranges, validation=41_620 / 9_178_275, test=125_436 / 9_178_275)

_BATCH_BYTES = 24 << 20
_ROW_BYTES = {"images": 420, "boxes": 150, "masks": 330, "relationships": 110, "points": 60}


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
            header = layout.header_of(release, table, split)
            with closing(layout.TableFile(annotations, name, header)) as file:
                for job, rows in batches:
                    file.append(rows)
                    progress.update(job.stop - job.start)


def _jobs(images: int, release: str, narrative_bytes: int) -> Iterator[_Job]:
    """All jobs, file by file, each file's in its order; a file without rows has an empty one."""
    for split, span in _splits(images).items():
        for table in layout.tables_of(release):
            total = Spread(span, PROPORTIONS[table]).total
            names = layout.files_of(release, table, split)
            width = narrative_bytes if table == "narratives" else _ROW_BYTES.get(table, 42)
            batch = max(1, _BATCH_BYTES // width)
            for part, name in enumerate(names):
                start, end = (total * p // len(names) for p in (part, part + 1))
                for first in range(start, max(end, start + 1), batch):
                    yield _Job(name, table, split, first, min(end, first + batch))


def _rows(images: int, release: str, seed: int, narrative_bytes: int, job: _Job) -> bytes:
    """The text of a job's rows."""
    if job.start == job.stop:
        return b""
    spread = Spread(_splits(images)[job.split], PROPORTIONS[job.table])
    rows = spread.rows(job.start, job.stop)
    batch = Batch(seed, release, job.split, rows, spread.layers, narrative_bytes)
    return joined_bytes(MAKERS[job.table](batch))
