"""Evaluations: the Open Images metrics of predictions."""

import dataclasses
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from open_images.building.process import run_in_process
from open_images.evaluating.flags import EvaluateFlags
from open_images.progress import Listener, Observer, Progress
from open_images.values import callback, flag, keywords_of, texts
from runners import launch

if TYPE_CHECKING:
    from open_images.evaluating.evaluation import Evaluation
    from open_images.evaluating.one_evaluation import EvaluationRun

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluateKeywords(EvaluateFlags):
    """The arguments of `evaluate`: the flags of the command, and what only Python can pass."""

    beam_arguments: Sequence[str] = flag(
        texts, (), recorded=False, help="flags for Beam, such as ['--flink_master=host:8081']"
    )
    progress: Callable[[Progress], None] | None = flag(
        callback,
        None,
        recorded=False,
        help="is called twice a second with how far the evaluation is",
    )


@keywords_of(EvaluateKeywords)
def evaluate(flags: EvaluateKeywords) -> "Evaluation":
    """Measures predictions by the protocols of Open Images, as
    `python -m pipelines.evaluate` does.

    Writes the report to `output`, and returns what is in it. It runs in a process of its own, as
    `build` does.

    Raises:
        UsageError: A flag or an input is wrong.
        BuildError: It failed, too many rows can't be evaluated, or with `self_check` a mean isn't
            1.
    """
    listener = Listener(_log, flags.progress)
    return run_in_process(start, flags, flags.beam_arguments, listener, fate="", kind=EvaluateFlags)


def start(
    flags: EvaluateFlags, beam_arguments: Sequence[str], observer: Observer
) -> "EvaluationRun":
    """Returns an evaluation that is ready to run; its workers are started first, as for a build.

    Raises:
        UsageError: There are to be more workers than the machine can bear.
    """
    launch.refuse_too_many(flags, beam_arguments)
    launch.prepare(flags, ["open_images.evaluating.graph"])
    from open_images.evaluating.one_evaluation import EvaluationRun

    return EvaluationRun(flags, beam_arguments, observer)
