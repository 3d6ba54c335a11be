"""One evaluation, from flags to a report."""

import dataclasses
import math
import os
import re
import uuid
from collections.abc import Sequence
from functools import partial

from open_images.building.monitor import WorkMonitor
from open_images.building.temporary_run import TemporaryRun
from open_images.evaluating import explain, plots
from open_images.evaluating.comparison import EarlierReport
from open_images.evaluating.documents import (
    CONFUSIONS,
    LEFT_OUT,
    MATCHES,
    PAGE,
    PER_CLASS,
    PLOTS,
    REPORT,
    encode_classes,
    encode_confusions,
    encode_report,
)
from open_images.evaluating.evaluation import (
    Evaluation,
    ProtocolResult,
    SourceResult,
    make_results,
)
from open_images.evaluating.flags import EvaluateFlags
from open_images.evaluating.graph import EvaluationPlan, define_evaluation
from open_images.evaluating.inputs import (
    PREDICTIONS,
    Inputs,
    find_inputs,
    ground_truth_version,
)
from open_images.evaluating.left_out import encode_left_out
from open_images.evaluating.mistakes import Mistake, draw_mistakes, find_mistakes
from open_images.evaluating.page import render_page
from runners import launch, lean
from transforms.errors import UsageError
from transforms.evaluation.errors import PredictionsError
from transforms.evaluation.kinds.registry import EVALUATED
from transforms.evaluation.layouts import LAYOUTS
from transforms.evaluation.match import Run
from transforms.evaluation.match_files import MatchFiles
from transforms.evaluation.protocols import PROTOCOLS
from transforms.evaluation.summary import BAD_ROWS, SUMMARY, Summary
from transforms.evaluation.tasks import TASKS
from transforms.storage import files
from transforms.storage.objects import is_remote
from transforms.work_folder import WorkFolder

#: Bytes of text that one bucket holds, about.
_BUCKET_BYTES = 48 << 20
#: As in a build, the number of buckets is a multiple of the first: runners deal them evenly.
_BALANCED, _MAX_BUCKETS, _MAX_RANGES = 8, 1024, 384
_CHUNK_BYTES, _GZIP_RATIO = 8 << 20, 5


#: The files of a report.
_OF_REPORT = re.compile(
    "|".join(map(re.escape, (REPORT, PAGE, PER_CLASS, CONFUSIONS, LEFT_OUT, BAD_ROWS)))
    + rf"|{MATCHES}/[^/]+\.parquet|{PLOTS}/[^/]+\.(svg|png)"
)


class EvaluationRun(TemporaryRun[EvaluateFlags, Evaluation]):
    """An evaluation, which writes its report at the end."""

    verb = "evaluate"
    explained = (*TemporaryRun.explained, PredictionsError)

    def _run(self) -> Evaluation:
        flags = self._flags
        launch.check(flags, self._beam_arguments)
        self._refuse_later()
        self._check_output()
        if flags.compare and os.path.realpath(flags.compare) == os.path.realpath(flags.output):
            raise UsageError(
                f"--compare {flags.compare}: it is --output, where it would be replaced: name "
                "another --output"
            )
        earlier = EarlierReport.read(flags.compare, self._options) if flags.compare else None
        inputs = find_inputs(flags, self._options)
        self._check_outside([each.path for each in inputs.sources])
        for notice in inputs.notices:
            self._log(f"note: {notice.path}: {notice.text}")
        protocols = [
            Run(
                name,
                PROTOCOLS[name].task,
                PROTOCOLS[name].rules,
                iou,
                iou == flags.iou[0],
                flags.bootstrap,
            )
            for iou in flags.iou
            for name in flags.protocol
            if iou == flags.iou[0] or not TASKS[PROTOCOLS[name].task].own_thresholds
        ]
        between = explain.steps_between(flags.protocol, flags.iou[0]) if flags.explain else []
        runs = [*protocols, *between]
        if flags.is_expanded or inputs.are_expanded:
            runs = [each._replace(rules=each.rules.without_truth_expansion()) for each in runs]
        if flags.self_check:
            runs = [each.of_itself() for each in runs]
        self._clear_output()
        with self._work_folder() as folder:
            plan = self._make_plan(inputs, runs, folder)
            run_on_runner = launch.load(flags.runner)
            lean.end_imports()
            tables = [each for each in inputs.sources if each.kind in EVALUATED]
            show = self._observer.show
            with WorkMonitor(plan.work, tables, self._log, show, "evaluating") as monitor:
                define = partial(define_evaluation, plan=plan)
                named = {"job_name": f"open-images-evaluate-{uuid.uuid4().hex[:12]}"}
                arguments = launch.with_defaults(self._beam_arguments, named)
                run_on_runner(define, flags, arguments, monitor)
            data = files.read_file(os.path.join(folder, SUMMARY), self._options)
            summary = Summary.decode(data)
            bad_rows = files.read_file(os.path.join(folder, BAD_ROWS), self._options)
        sources = _sources(inputs, summary)
        self._write(BAD_ROWS, bad_rows)
        self._write(LEFT_OUT, encode_left_out(summary.listed, inputs.sources, self._options))
        self._refuse_losses(sources)
        results = make_results(summary, runs, inputs.classes)
        count = len(protocols)
        steps = []
        if flags.explain:
            first = results[: len(flags.protocol)]
            steps = explain.explain(flags.protocol, first, results[count:])
        evaluation = Evaluation(
            images=summary.images.images,
            detected=summary.images.detected,
            image_labels=(summary.images.positives, summary.images.negatives),
            results=results[:count],
            steps=steps,
            comparisons=(),
            sources=sources,
            output=flags.output,
            seconds=self.seconds,
            notes=self._notes,
        )
        if earlier:
            comparisons = earlier.compare(evaluation)
            evaluation = dataclasses.replace(evaluation, comparisons=comparisons)
        self._write(PER_CLASS, encode_classes(evaluation.results))
        self._write(CONFUSIONS, encode_confusions(evaluation.results))
        self._write_page(evaluation)
        self._write(REPORT, encode_report(evaluation))
        if flags.self_check:
            self._check_itself(evaluation)
        return evaluation

    def _write_page(self, evaluation: Evaluation) -> None:
        """Writes plots, and the page that has them and the worst mistakes."""
        first = [each for each in evaluation.results if each.iou in (None, self._flags.iou[0])]
        drawn = []
        for name, title, figure in plots.draw(first):
            svg = plots.encode(figure, "svg")
            drawn.append((title, svg))
            self._write(f"{PLOTS}/{name}.svg", svg)
            self._write(f"{PLOTS}/{name}.png", plots.encode(figure, "png"))
        self._write(PAGE, render_page(evaluation, drawn, self._find_mistakes(first)))

    def _find_mistakes(self, results: Sequence[ProtocolResult]) -> list[list[Mistake]]:
        """Returns the worst mistakes of the first protocol that has matches of boxes or masks."""
        run = next((each for each in results if each.slices), None)
        if run is None:
            return []
        names = {each.label: each.name for each in run.classes}
        matches = os.path.join(self._flags.output, MATCHES)
        found = find_mistakes(matches, run.protocol, names, self._options)
        dataset = ground_truth_version(self._flags, self._options)
        return [draw_mistakes(some, dataset) if dataset else some for some in found]

    def _check_itself(self, evaluation: Evaluation) -> None:
        """Raises BuildError where the ground truth doesn't find all of itself."""
        for each in evaluation.results:
            mean = each.mean_average_precision
            if mean is not None and mean < 1:
                raise self._error(
                    f"--self_check: {each.protocol} at {each.threshold} is {mean:.6f}, and not 1: "
                    "objects of the ground truth repeat each other or have no area: see "
                    f"{MATCHES} in --output"
                )

    def _check_output(self) -> None:
        """Raises UsageError where the output holds something else than an earlier report."""
        output = self._flags.output
        if not is_remote(output) and os.path.exists(output) and not os.path.isdir(output):
            raise UsageError(f"--output {output}: it is no folder: name another place")
        others = [name for name in self._list_output() if not _OF_REPORT.fullmatch(name)]
        if others:
            raise UsageError(
                f"--output {output}: it holds {others[0]}, which no report has: name a folder that "
                "is empty or has an earlier report"
            )

    def _list_output(self) -> list[str]:
        """Returns the files in the output, by their paths in it."""
        output = self._flags.output
        paths = files.list_files(output, self._options) or []
        return [os.path.relpath(path, output) for path in paths]

    def _check_outside(self, paths: Sequence[str]) -> None:
        """Raises UsageError where an input lies in the output, whose content is replaced."""
        output = os.path.join(os.path.realpath(self._flags.output), "")
        for path in paths:
            if not is_remote(path) and os.path.realpath(path).startswith(output):
                raise UsageError(
                    f"--output {self._flags.output}: {path} is in it, and would be removed: name "
                    "another folder"
                )

    def _clear_output(self) -> None:
        """Removes an earlier report, `report.json` first: a folder without it is no report."""
        output = self._flags.output
        try:
            for name in sorted(self._list_output(), key=lambda name: (name != REPORT, name)):
                files.delete_file(os.path.join(output, name), self._options)
            if not is_remote(output):
                for folder in (MATCHES, PLOTS):
                    os.makedirs(os.path.join(output, folder), exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"--output {output} can't be written: {error.strerror}: name another folder"
            ) from None

    def _make_plan(self, inputs: Inputs, runs: Sequence[Run], folder: str) -> EvaluationPlan:
        sizes = {
            each: each.size * (_GZIP_RATIO if each.compressed else 1) for each in inputs.sources
        }
        total = sum(sizes.values())
        buckets = min(_MAX_BUCKETS, max(1, round(total / _BUCKET_BYTES), len(inputs.groups) // 4))
        buckets = -(-buckets // _BALANCED) * _BALANCED
        output = os.path.join(self._flags.output, MATCHES)
        return EvaluationPlan(
            inputs,
            runs,
            self._flags.exchange or "files",
            buckets,
            max(_CHUNK_BYTES, round(total / _MAX_RANGES)),
            WorkFolder(folder),
            MatchFiles(output, buckets, self._options),
            self._options,
        )

    def _write(self, name: str, data: bytes) -> None:
        output = self._flags.output
        files.write_file(os.path.join(output, name), data, output, self._options)

    def _refuse_losses(self, sources: Sequence[SourceResult]) -> None:
        """Raises BuildError where too many rows of a file can't be evaluated."""
        limit = self._flags.max_bad_rate
        for each in sources:
            for lost, what, remedy in (
                (each.bad_rows, "rows are bad", _remedy_of_bad(each.kind)),
                (
                    each.other_images,
                    "rows are of images that the ground truth doesn't have",
                    f"see {LEFT_OUT} in --output: is it of another split, or is the image table "
                    "missing?",
                ),
                (
                    each.other_classes,
                    "rows are of classes that the ground truth doesn't have",
                    f"see {LEFT_OUT} in --output: --ground_truth must have their class names",
                ),
            ):
                if each.rows and lost > limit * each.rows:
                    enough = min(1, math.ceil(1000 * lost / each.rows) / 1000)
                    raise self._error(
                        f"{each.path}: {lost:,} of {each.rows:,} {what}: {remedy} "
                        f"(--max_bad_rate {enough:g} would let them be)"
                    )


def _remedy_of_bad(kind: str) -> str:
    if kind in LAYOUTS:
        return "an ImageID isn't 16 hex digits, or a class, score or coordinate is null or infinite"
    return f"see {BAD_ROWS} in --output"


def _sources(inputs: Inputs, summary: Summary) -> list[SourceResult]:
    found = []
    for each in inputs.sources:
        rows, bad = summary.sources.get(each.index, (0, 0))
        images, classes = summary.left_out.get(each.index, (0, 0))
        of_predictions = each.kind in PREDICTIONS
        found.append(
            SourceResult(
                each.shown_name,
                each.kind,
                rows,
                bad,
                images if of_predictions else 0,
                classes if of_predictions else 0,
            )
        )
    return found
