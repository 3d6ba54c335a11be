"""Summarise: the figures of all classes → one file, of which the report is made."""

import dataclasses
import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.csv as csv

from transforms.dataset.classes import decode_labels
from transforms.dataset.elements import Failed, Source, SourceCount
from transforms.dataset.failures import SCHEMA
from transforms.evaluation.bootstrap import interval
from transforms.evaluation.bucket import LeftOut, LeftOutRow
from transforms.evaluation.match import ImageCounts, Run, VerdictCounts
from transforms.evaluation.matching import Verdict
from transforms.evaluation.measure import ClassFigures
from transforms.evaluation.reasons import Reason
from transforms.releases.documents import to_json
from transforms.releases.failure_table import FailureTable
from transforms.storage import files
from transforms.storage.stores import ObjectOptions

#: Its file in the work folder, and that of bad rows and remarkable scores.
SUMMARY, BAD_ROWS = "summary.json", "bad_rows.csv"
#: So many rows of a source are listed that are left out.
_LISTED_ROWS = 1000
#: Columns of the table of bad rows.
_BAD_ROW_COLUMNS = ["source", "line", "image_id", "detail"]


@dataclasses.dataclass(frozen=True)
class ClassSummary:
    """A class in a run.

    Attributes:
        label: MID.
        figures: what was measured, as of `ClassFigures`; None where it has no ground truth and no
            detection that counts.
        verdicts: how many detections got each, by the name of the verdict.
    """

    label: str
    figures: dict[str, Any] | None
    verdicts: dict[str, int]


@dataclasses.dataclass(frozen=True)
class RunSummary:
    """A run.

    Attributes:
        classes: that have ground truth or detections, in order.
        pool: the figures of all classes as one; None where the task has none.
        true_among_best: as of `VerdictCounts`, of all images.
        confusions: label of a class, of the object that they overlap, or None, name of the
            `Reason`, and how many detections; in order.
        replicates: mean average precision of each replicate; None where no class has one.
    """

    classes: list[ClassSummary]
    pool: dict[str, Any] | None
    true_among_best: list[int]
    confusions: list[tuple[str, str | None, str, int]]
    replicates: list[float | None]


@dataclasses.dataclass(frozen=True)
class Summary:
    """What an evaluation has found.

    Attributes:
        images: as of `ImageCounts`, of the whole ground truth.
        runs: by number.
        sources: by index, rows and bad rows that were read.
        left_out: by index, rows of predictions that can't be evaluated: of other images, and of
            other classes.
        listed: by index, some of these.
    """

    images: ImageCounts
    runs: list[RunSummary]
    sources: dict[int, tuple[int, int]]
    left_out: dict[int, tuple[int, int]]
    listed: dict[int, list[LeftOutRow]]

    def encode(self) -> bytes:
        """Returns it as JSON."""
        return to_json(dataclasses.asdict(self))

    @classmethod
    def decode(cls, data: bytes) -> "Summary":
        """Returns the inverse of `encode`."""
        content = json.loads(data)
        runs = [
            RunSummary(
                [ClassSummary(**each) for each in run["classes"]],
                run["pool"],
                run["true_among_best"],
                [tuple(each) for each in run["confusions"]],
                run["replicates"],
            )
            for run in content["runs"]
        ]
        pairs = {
            name: {int(index): (first, second) for index, (first, second) in content[name].items()}
            for name in ("sources", "left_out")
        }
        listed = {
            int(index): [LeftOutRow(*row) for row in rows]
            for index, rows in content["listed"].items()
        }
        return cls(ImageCounts(*content["images"]), runs, **pairs, listed=listed)


@dataclasses.dataclass(eq=False)
class SummariseFn(beam.DoFn):
    """Writes the summary to the work folder.

    Attributes:
        runs: the evaluations.
        sources: files, by index.
        folder: the work folder.
        options: how object stores are reached.
    """

    runs: Sequence[Run]
    sources: Sequence[Source]
    folder: str
    options: ObjectOptions

    def process(
        self,
        _: bytes,
        encoded_labels: bytes,
        new_labels: Sequence[frozenset[str]],
        figures: Sequence[ClassFigures],
        verdicts: Sequence[VerdictCounts],
        left_out: Sequence[LeftOut],
        images: Sequence[ImageCounts],
        truth_counts: Sequence[SourceCount],
        prediction_counts: Sequence[SourceCount],
        other_counts: Sequence[SourceCount],
        truth_failed: Sequence[Failed],
        prediction_failed: Sequence[Failed],
    ) -> None:
        counts = [*truth_counts, *prediction_counts, *other_counts]
        failed = [*truth_failed, *prediction_failed]
        named = decode_labels(encoded_labels).to_pylist()
        labels = [*named, *sorted(frozenset().union(*new_labels).difference(named))]
        summary = Summary(
            ImageCounts(*(sum(column) for column in zip(*images, strict=True))),
            [_run(number, labels, figures, verdicts) for number in range(len(self.runs))],
            _add((each.source, each.rows, each.bad_rows) for each in counts),
            _add((each.source, each.other_images, each.other_classes) for each in left_out),
            _list(left_out),
        )
        path = os.path.join(self.folder, SUMMARY)
        files.write_file(path, summary.encode(), self.folder, self.options)
        bad = FailureTable(failed, counts, self.sources)
        path = os.path.join(self.folder, BAD_ROWS)
        files.write_file(path, _as_csv(bad.tables()), self.folder, self.options)


def _as_csv(tables: Iterable[pa.Table]) -> bytes:
    sink = pa.BufferOutputStream()
    schema = pa.schema([SCHEMA.field(name) for name in _BAD_ROW_COLUMNS])
    with csv.CSVWriter(sink, schema) as writer:
        for table in tables:
            writer.write_table(table.select(_BAD_ROW_COLUMNS).cast(schema))
    return sink.getvalue().to_pybytes()


def _run(
    run: int,
    labels: Sequence[str],
    figures: Sequence[ClassFigures],
    verdicts: Sequence[VerdictCounts],
) -> RunSummary:
    own_figures = sorted((each for each in figures if each.run == run), key=lambda it: it.number)
    measured = {each.number: each for each in own_figures}
    counted = np.zeros((len(labels), len(Verdict)), np.int64)
    own = [each for each in verdicts if each.run == run]
    for each in own:
        counted.reshape(-1)[each.cells] += each.counts
    found = []
    for number, label in enumerate(labels):
        if number in measured or counted[number].any():
            figure = measured.get(number)
            by_name = {verdict.name.lower(): int(counted[number, verdict]) for verdict in Verdict}
            found.append(ClassSummary(label, _as_dict(figure) if figure else None, by_name))
    pool = measured.pop(len(labels), None)
    best = [sum(counts) for counts in zip(*(each.true_among_best for each in own), strict=True)]
    return RunSummary(
        found,
        _as_dict(pool) if pool else None,
        best,
        _confusions(labels, own),
        _mean_replicates([each.replicates for each in measured.values()]),
    )


def _as_dict(figures: ClassFigures) -> dict[str, Any]:
    """Returns figures, with the interval of the average precision in place of its replicates."""
    values = np.array(figures.replicates, np.float64)
    return dataclasses.asdict(dataclasses.replace(figures, replicates=())) | {
        "interval": interval(values)
    }


def _confusions(
    labels: Sequence[str], counts: Sequence[VerdictCounts]
) -> list[tuple[str, str | None, str, int]]:
    sums: Counter[int] = Counter()
    for each in counts:
        sums.update(dict(zip(*(column.tolist() for column in each.confusions), strict=True)))
    found = []
    for cell, count in sorted(sums.items()):
        pair, reason = divmod(cell, len(Reason))
        label, other = divmod(pair, len(labels) + 1)
        confused_with = labels[other - 1] if other else None
        found.append((labels[label], confused_with, Reason(reason).name.lower(), count))
    return found


def _mean_replicates(classes: Sequence[Sequence[float]]) -> list[float | None]:
    """Returns the mean of each replicate over the classes that have it."""
    some = [each for each in classes if each]
    if not some:
        return []
    values = np.array(some, np.float64)
    counts = (~np.isnan(values)).sum(axis=0)
    sums = np.nansum(values, axis=0)
    return [
        float(total / count) if count else None for total, count in zip(sums, counts, strict=True)
    ]


def _list(left_out: Sequence[LeftOut]) -> dict[int, list[LeftOutRow]]:
    """Returns up to `_LISTED_ROWS` left out rows of each source, in order of ImageIDs."""
    found: dict[int, list[LeftOutRow]] = {}
    for each in left_out:
        found.setdefault(each.source, []).extend(each.rows)
    return {source: sorted(found[source])[:_LISTED_ROWS] for source in sorted(found)}


def _add(counts: Iterable[tuple[int, int, int]]) -> dict[int, tuple[int, int]]:
    first, second = Counter(), Counter()
    for source, one, other in counts:
        first[source] += one
        second[source] += other
    return {source: (first[source], second[source]) for source in sorted(first)}
