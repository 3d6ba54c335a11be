"""How an evaluation is run by a program, and what it says at its end."""

import json
import logging
from collections.abc import Sequence

from open_images import evaluating
from open_images.errors import BuildError
from open_images.evaluating.documents import encode_report
from open_images.evaluating.evaluation import (
    ClassResult,
    Comparison,
    Evaluation,
    ProtocolResult,
)
from open_images.evaluating.flags import EvaluateFlags
from pipelines.cli.output import fail, print_result
from pipelines.cli.progress import ProgressDisplay
from pipelines.cli.report import table
from transforms.errors import UsageError
from transforms.system import program
from transforms.wording import clean_lines, counted

#: So many classes are shown, those with the best and those with the worst average precision.
_SHOWN_CLASSES = 5
#: Parts of the images without detections, and of the detections that aren't verified, above which
#: it is remarked.
_MOST_LACKING, _MOST_UNVERIFIED = 0.5, 0.9


def run(
    program_name: str,
    flags: EvaluateFlags,
    beam_arguments: Sequence[str],
    display: ProgressDisplay,
    form: str,
) -> int:
    """Evaluates, and prints the result, or what went wrong; returns the exit code.

    Args:
        program_name: of the program.
        flags: of the evaluation.
        beam_arguments: flags for Beam.
        display: shows how far it is.
        form: `text` or `json`.
    """
    error, evaluation, code = "", None, 0
    made = evaluating.start(flags, beam_arguments, display)
    try:
        with display, program.interruptible(lambda: str(made.interrupted())):
            evaluation = made.run()
    except UsageError as wrong:
        error, code = str(wrong), 2
    except KeyboardInterrupt:
        error, code = str(made.interrupted()), 1
    except BuildError as failed:
        error, code = str(failed), 1
        if program.is_interrupted():
            error = str(made.interrupted())
        elif failed.__cause__:
            logging.error("the evaluation failed", exc_info=failed.__cause__)
    if form == "json":
        word = {0: "evaluated", 1: "failed", 2: "wrong_use"}[code]
        content = {"outcome": word, "exit_code": code, "error": error or None}
        if evaluation:
            content |= json.loads(encode_report(evaluation))
        print_result(program_name, json.dumps(content, ensure_ascii=False), "")
    elif evaluation:
        print_result(program_name, clean_lines(render(evaluation)), "")
    return fail(program_name, error, code) if error else code


def render(evaluation: Evaluation) -> str:
    """Returns an evaluation for people."""
    header = ("protocol", "IoU", "mAP %", "classes", "true", "false", "in groups", "unverified")
    rows = []
    for each in evaluation.results:
        rows.append(
            (
                each.protocol,
                each.threshold,
                _percent(each.mean_average_precision),
                each.num_classes,
                *_count_verdicts(each),
            )
        )
    lines = [*table(header, rows)]
    if evaluation.steps:
        steps = [
            (each.text, _percent(each.mean_average_precision), _change(each.change))
            for each in evaluation.steps
        ]
        lines += ["", *table(("step", "mAP", "change"), steps)]
    for each in evaluation.comparisons:
        lines += ["", *_comparison(each)]
    lines += ["", *_classes(evaluation.results[0].classes)]
    for each in evaluation.sources:
        lost = (
            (each.bad_rows, "bad"),
            (each.other_images, "of images that the ground truth doesn't have"),
            (each.other_classes, "of classes that the ground truth doesn't have"),
        )
        lines += [
            f"note: {each.path}: {counted(count, 'row')} {what}: left out"
            for count, what in lost
            if count
        ]
    lines += _remarks(evaluation)
    lines.append(f"{counted(evaluation.images, 'image')} in {evaluation.seconds:.1f} s")
    lines.append(f"report: {evaluation.output}")
    return "\n".join(lines)


def _remarks(evaluation: Evaluation) -> list[str]:
    """Returns notes on figures that are likely to be low by mistake."""
    remarks = []
    lacking = evaluation.images - evaluation.detected
    if lacking > _MOST_LACKING * evaluation.images:
        remarks.append(
            f"note: {lacking:,} of {counted(evaluation.images, 'image')} have no detections: "
            "--splits chooses a split"
        )
    for each in evaluation.results:
        verdicts = each.verdicts()
        if verdicts["unverified"] > _MOST_UNVERIFIED * verdicts.total() > 0:
            remarks.append(
                f"note: {each.protocol}: {verdicts['unverified']:,} of {verdicts.total():,} "
                "detections are of classes that nobody verified in their images: are numbers of "
                "classes those of classes.json, from 1? see --label_map"
            )
    return remarks


def _comparison(comparison: Comparison) -> list[str]:
    """Returns what has changed, and the classes that lost and gained most."""
    text = f"{_percent(comparison.before)} became {_percent(comparison.after)}"
    if comparison.interval:
        low, high = comparison.interval
        text += f", in 95% of replicates by {_change(low)} to {_change(high)}"
    changes = [*comparison.classes]
    shown = changes
    if len(changes) > 2 * _SHOWN_CLASSES:
        shown = [*changes[:_SHOWN_CLASSES], *changes[-_SHOWN_CLASSES:]]
    rows = [
        (
            f"{each.name} ({each.label})",
            _percent(each.before),
            _percent(each.after),
            _change(each.change),
        )
        for each in shown
    ]
    title = f"{comparison.protocol} {comparison.threshold}: {text}"
    return [title, *table(("class", "before", "after", "change"), rows)]


def _count_verdicts(result: ProtocolResult) -> list[int | str]:
    """Returns how many detections are true, false, in groups and not verified; COCO's library tells
    none of it."""
    verdicts = result.verdicts()
    if result.coco:
        return [""] * 4
    true = verdicts["true_positive"] + verdicts["found_group"]
    return [true, *(verdicts[name] for name in ("false_positive", "in_group", "unverified"))]


def _classes(classes: Sequence[ClassResult]) -> list[str]:
    """Returns a table of the classes with the best and the worst average precision."""
    known = [each for each in classes if each.average_precision is not None]
    known.sort(key=lambda each: (-(each.average_precision or 0.0), each.label))
    if len(known) > 2 * _SHOWN_CLASSES:
        shown = [*known[:_SHOWN_CLASSES], None, *known[-_SHOWN_CLASSES:]]
    else:
        shown = [*known]
    rows = [
        (f"{each.name} ({each.label})", _percent(each.average_precision), each.boxes, each.groups)
        if each
        else (f"… {len(known) - 2 * _SHOWN_CLASSES:,} more", "", "", "")
        for each in shown
    ]
    return table(("class", "AP", "boxes", "of groups"), rows)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}"


def _change(value: float | None) -> str:
    return "" if value is None else f"{100 * value:+.2f}"
