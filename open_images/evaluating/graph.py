"""The flow of an evaluation, on one screen."""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
import pyarrow.compute as pc
from apache_beam.pvalue import AsList, AsSingleton

from open_images import reading
from open_images.evaluating.inputs import PREDICTIONS, Inputs
from transforms.dataset.elements import ByteRange, Source, SourceCount
from transforms.evaluation import version
from transforms.evaluation.file_ranges import FileRange
from transforms.evaluation.kinds.registry import EVALUATED, evaluated
from transforms.evaluation.label_map import LabelMap
from transforms.evaluation.layouts import LAYOUTS
from transforms.evaluation.match import MatchBuckets, Run
from transforms.evaluation.match_files import MatchFiles
from transforms.evaluation.measure import MeasureClassesFn
from transforms.evaluation.summary import SummariseFn
from transforms.exchange.batches import KeyedBatch
from transforms.exchange.exchange import Exchange, GatherBuckets
from transforms.exchange.files import FileTransport
from transforms.exchange.shuffle import ShuffleTransport
from transforms.journal import Journal
from transforms.kinds.images import IMAGES
from transforms.kinds.reading.ranges import plan_all_ranges
from transforms.kinds.reading.read import RangeReader, ReadAnnotations
from transforms.kinds.relationships import RELATIONSHIPS
from transforms.storage.stores import ObjectOptions
from transforms.work_folder import WorkFolder

#: Bytes of a file that are read and parsed at once.
_CHUNK_BYTES = 8 << 20
#: Bits of a batch's tag that number the batches of one range or row group.
_READ_BITS = 20


@dataclasses.dataclass(frozen=True)
class EvaluationPlan:
    """The plan of an evaluation.

    Attributes:
        inputs: ground truth and predictions.
        runs: what is evaluated.
        exchange: `files` of the work folder, or the `engine`'s shuffle.
        buckets: of images, and of classes.
        range_size: bytes of rows of one range, about.
        work: a folder that all workers see.
        files: writes the matches.
        options: how object stores are reached.
    """

    inputs: Inputs
    runs: Sequence[Run]
    exchange: str
    buckets: int
    range_size: int
    work: WorkFolder
    files: MatchFiles
    options: ObjectOptions


def define_evaluation(root: beam.Pipeline, plan: EvaluationPlan) -> None:
    """Ground truth and predictions → the summary in the work folder, and files of matches."""
    in_files = plan.exchange == "files"
    transport = FileTransport(plan.work.exchange) if in_files else ShuffleTransport()
    partition = functools.partial(transport.partition, num_buckets=plan.buckets)
    inputs = plan.inputs
    reader = RangeReader(
        inputs.sources,
        _CHUNK_BYTES,
        in_files,
        options=plan.options,
        progress_folder=plan.work.progress,
        kinds=evaluated,
    )
    labels = root | "Labels" >> beam.Create([inputs.labels])
    ranges = plan_all_ranges(inputs.sources, plan.range_size, EVALUATED)
    # Apart, since the classes that are evaluated are those of the ground truth.
    ranges_by_side: dict[bool, list[ByteRange]] = {False: [], True: []}
    for each in ranges:
        ranges_by_side[inputs.sources[each.source].kind in PREDICTIONS].append(each)
    read = functools.partial(ReadAnnotations, reader, partition, Journal(None), labels)
    truth, predictions = (
        root
        | f"{name}Ranges" >> beam.Create(ranges_by_side[of_predictions])
        | f"Read{name}" >> read()
        for name, of_predictions in (("Truth", False), ("Predictions", True))
    )
    fragments = [truth.fragments, predictions.fragments]
    other_ranges = [
        file_range
        for source in inputs.sources
        if source.kind in LAYOUTS
        for file_range in LAYOUTS[source.kind].file_ranges(source, plan.range_size, plan.options)
    ]
    read_others = ReadDetectionsFn(inputs.sources, inputs.label_map, partition, plan.options)
    detected = (
        root
        | "OtherPredictions" >> beam.Create(other_ranges)
        | "SpreadOthers" >> beam.Reshuffle()
        | "ReadOthers" >> beam.ParDo(read_others).with_outputs("counts", main="fragments")
    )
    fragments.append(detected.fragments)
    kinds = {each.index: each.kind for each in inputs.sources}
    new_labels = [truth.labels]
    if inputs.groups:
        # Row groups have rows of several kinds, each with an origin of its own.
        of_version = (IMAGES.name, *inputs.kinds)
        origins = {kind: len(kinds) + at for at, kind in enumerate(of_version)}
        kinds |= {origin: kind for kind, origin in origins.items()}
        read_groups = beam.FlatMap(_read_group, origins, partition, plan.options)
        groups = root | "RowGroups" >> beam.Create(list(enumerate(inputs.groups)))
        spread = groups | "SpreadGroups" >> beam.Reshuffle()
        of_groups = spread | "ReadGroups" >> read_groups.with_outputs("labels", main="fragments")
        fragments.append(of_groups.fragments)
        new_labels.append(of_groups.labels)
    unnamed = tuple(new_labels) | "NewLabels" >> beam.Flatten()
    gathered = tuple(fragments) | "ByImage" >> GatherBuckets(plan.buckets, transport)
    matched = gathered | MatchBuckets(
        plan.runs,
        kinds,
        inputs.parents,
        labels,
        unnamed,
        plan.files,
        plan.work.progress,
    )
    figures = (
        matched.batches
        | "ByClass" >> Exchange(plan.buckets, transport)
        | "Measure" >> beam.ParDo(MeasureClassesFn(plan.runs))
    )
    summarise = SummariseFn(plan.runs, inputs.sources, plan.work.path, plan.options)
    lists = (unnamed, figures, matched.verdicts, matched.left_out, matched.images)
    once = root | "OnceSummarise" >> beam.Impulse()
    reports = (truth.counts, predictions.counts, detected.counts, truth.failed, predictions.failed)
    once | "Summarise" >> beam.ParDo(
        summarise, AsSingleton(labels), *map(AsList, (*lists, *reports))
    )


@dataclasses.dataclass(eq=False)
class ReadDetectionsFn(beam.DoFn):
    """Reads ranges of predictions that aren't CSV, and partitions their rows."""

    sources: Sequence[Source]
    labels: LabelMap
    partition: Callable[[Iterable[Any]], Iterator[Any]]
    options: ObjectOptions

    def process(self, file_range: FileRange) -> Iterable[Any]:
        return self.partition(self._read(file_range))

    def _read(self, file_range: FileRange) -> Iterator[Any]:
        source = self.sources[file_range.source]
        found = LAYOUTS[source.kind].read(source, file_range, self.labels, self.options)
        for number, (rows, count, bad) in enumerate(found):
            order = (file_range.start << _READ_BITS) + number
            counted = SourceCount(file_range.source, order, count, bad, 0)
            yield beam.pvalue.TaggedOutput("counts", counted)
            if rows.num_rows:
                yield KeyedBatch(file_range.source, order, rows)


def _read_group(
    numbered: tuple[int, reading.RowGroup],
    origins: Mapping[str, int],
    partition: Callable[[Iterable[Any]], Iterator[Any]],
    options: ObjectOptions,
) -> Iterator[Any]:
    """Yields the ground truth in a row group of a version, as fragments of the exchange, and the
    relations in it, which are no classes of the version."""
    number, group = numbered

    kinds = [kind for kind in origins if kind != IMAGES.name]

    def batches() -> Iterator[KeyedBatch]:
        found = reading.read_batches(group, version.columns_of(kinds), options)
        for at, examples in enumerate(found):
            for kind, rows in version.truth_rows(examples, kinds):
                yield KeyedBatch(origins[kind], (number << _READ_BITS) + at, rows)

    if RELATIONSHIPS.name in kinds:
        found = reading.read_column(group, RELATIONSHIPS.column, options)
        names = pc.struct_field(pc.list_flatten(found), "relationship")
        yield beam.pvalue.TaggedOutput("labels", frozenset(names.unique().to_pylist()))
    yield from partition(batches())
