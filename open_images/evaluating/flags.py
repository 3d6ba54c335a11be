"""The flags of an evaluation; imports nothing heavy."""

import dataclasses
from collections.abc import Sequence
from functools import partial

from open_images import values
from open_images.building.flags import BuildFlags
from transforms.dataset.naming import SPLIT_ALIASES, SPLITS
from transforms.errors import UsageError
from transforms.evaluation.protocols import PROTOCOLS

_input_flag = partial(values.flag, group="inputs")
_rule_flag = partial(values.flag, group="rules")
_output_flag = partial(values.flag, group="output")
_PROTOCOLS = "; ".join(f"{name}: {each.about}" for name, each in PROTOCOLS.items())


def _thresholds(value: str | float | Sequence[float]) -> tuple[float, ...]:
    """Returns distinct numbers above 0 and at most 1; a text has commas between them."""
    given = value.split(",") if isinstance(value, str) else value
    if isinstance(given, float | int):
        given = [given]
    return tuple(dict.fromkeys(values.positive_fraction(each) for each in given))


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluateFlags:
    """All flags of an evaluation."""

    ground_truth: Sequence[str] = _input_flag(
        values.paths,
        metavar="[KIND=]PATH",
        help="the --output of a build, whose latest version must have Parquet; or published files: "
        "boxes, relationships, image labels that were verified, class names and the hierarchy of "
        "classes, named as --annotations of a build: a file, folder or glob, here or s3://… or "
        "gs://…; repeatable. Without class names or a hierarchy those of Open Images are taken",
    )
    predictions: Sequence[str] = _input_flag(
        values.paths,
        (),
        metavar="PATH",
        help="detections: CSV with the header ImageID,LabelName,Score,XMin,XMax,YMin,YMax or "
        "ImageID,PredictionString, COCO results, Parquet, Arrow or TFRecord; masks and "
        "relationships as CSV; a file, folder or glob; repeatable",
    )
    label_map: str | Sequence[str] | None = _input_flag(
        values.path_or_texts,
        None,
        metavar="FILE",
        help="what numbers predictions have for classes: a label map of TensorFlow, or any file "
        "that --label_map of a build takes. Default: those of the ground truth's classes.json",
    )
    self_check: bool = _input_flag(
        values.switch,
        False,
        help="take the ground truth itself for predictions: each mean must be 1",
    )
    splits: Sequence[str] | None = _input_flag(
        values.Choices(SPLITS, SPLIT_ALIASES),
        None,
        metavar="NAMES",
        help=f"whose images are evaluated, of {','.join(SPLITS)} (or val); default: all that are "
        "there",
    )
    s3_endpoint_url: str | None = values.optional(BuildFlags, "s3_endpoint_url", None)
    protocol: Sequence[str] = _rule_flag(
        values.Choices(tuple(PROTOCOLS)),
        ("challenge",),
        metavar="NAMES",
        help=f"by which rules, several with commas between. {_PROTOCOLS}. Default: challenge",
    )
    is_expanded: bool = _rule_flag(
        values.switch,
        False,
        help="the files of --ground_truth are expanded over the hierarchy already, as the "
        "Challenge published some: don't do it again. Of a version it is known",
    )
    iou: Sequence[float] = _rule_flag(
        _thresholds,
        (0.5,),
        metavar="NUMBERS",
        help="how much a detection must overlap a box, by intersection over union; several with "
        "commas between; coco has thresholds of its own. Default: 0.5",
    )
    explain: bool = _rule_flag(
        values.switch,
        False,
        help="also show what each rule changes, step by step from the first of --protocol to the "
        "next",
    )
    bootstrap: int = _rule_flag(
        values.natural,
        0,
        metavar="NUMBER",
        help="how many replicates to draw of the images, for intervals of average precision, which "
        "coco has none of, such as 200. Default: 0, none",
    )
    max_bad_rate: float = _rule_flag(
        values.fraction,
        0.01,
        metavar="FRACTION",
        help="fraction of the rows of any file that may be bad, or of other images or classes than "
        "the ground truth has; above it there is no report. Default: 0.01",
    )
    output: str = _output_flag(
        values.path,
        metavar="PATH",
        help="folder for the report: report.html, report.json, per_class.csv, confusions.csv, "
        "matches/*.parquet, plots/*, bad_rows.csv, left_out.csv; an earlier report there is "
        "replaced",
    )
    compare: str | None = _output_flag(
        values.path,
        None,
        metavar="REPORT",
        help="the --output of an earlier evaluation of the same images: also tell what has "
        "changed, and which classes gained and lost",
    )
    runner: str = values.optional(BuildFlags, "runner", "direct")
    num_workers: int | None = values.optional(BuildFlags, "num_workers", None)
    exchange: str | None = values.optional(BuildFlags, "exchange", None)
    work_folder: str | None = values.flag(
        values.path,
        None,
        group="running",
        metavar="PATH",
        help="a folder that all workers see, for temporary files; default: one of this machine",
    )
    worker_timeout: int = values.optional(BuildFlags, "worker_timeout", 300)

    def __post_init__(self) -> None:
        values.convert_fields(self)
        if self.exchange is None:
            exchange = "engine" if self.runner == "dataflow" else "files"
            object.__setattr__(self, "exchange", exchange)
        if self.explain and len(self.protocol) < 2:
            raise UsageError(
                "argument --explain: it leads from one protocol to another: name two, such as "
                "--protocol oid_v2,challenge"
            )
        if self.self_check and self.predictions:
            raise UsageError("argument --self_check: it has no --predictions: leave them out")
        if not self.self_check and not self.predictions:
            raise UsageError(
                "argument --predictions: name the files of detections, or give --self_check"
            )
        tasks = {PROTOCOLS[name].task for name in self.protocol}
        if self.explain and len(tasks) > 1:
            raise UsageError(
                "argument --explain: there is no way from one protocol to another that measures "
                f"something else: {' and '.join(sorted(tasks))}"
            )

    # What runners look for among the inputs of a build.

    @property
    def annotations(self) -> Sequence[str]:
        return (*self.ground_truth, *self.predictions)

    @property
    def images(self) -> Sequence[str]:
        return ()

    @property
    def masks(self) -> Sequence[str]:
        return ()

    @property
    def voices(self) -> Sequence[str]:
        return ()
