"""Plans of builds: what one would make and take, with nothing fetched or published."""

import dataclasses
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from open_images.building.flags import BuildFlags, PlanFlags
from open_images.building.process import run_in_process
from open_images.progress import Listener, Observer, Progress
from open_images.values import callback, flag, keywords_of, texts
from runners import launch

if TYPE_CHECKING:
    from open_images.forecasting.forecast import Forecast
    from open_images.forecasting.one_forecast import ForecastRun

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlanKeywords(PlanFlags):
    """The arguments of `plan`: the flags of the command, and what only Python can pass."""

    beam_arguments: Sequence[str] = flag(
        texts, (), recorded=False, help="flags for Beam, such as ['--flink_master=host:8081']"
    )
    progress: Callable[[Progress], None] | None = flag(
        callback, None, recorded=False, help="is called twice a second with how far the plan is"
    )


@keywords_of(PlanKeywords)
def plan(flags: PlanKeywords) -> "Forecast":
    """Counts what a build with the same keywords would make, as `open-images plan` does.

    Annotations are read and joined as in a build. No picture or mask is read or fetched, and
    nothing is written but to a temporary folder, or to `work_folder`. It runs in a process of its
    own, as `build` does.

    Raises:
        UsageError: A flag or an input is wrong.
        BuildError: It failed, or there would be no images; the message says what leaves none.
    """
    listener = Listener(_log, flags.progress)
    return run_in_process(start, flags, flags.beam_arguments, listener, fate="", kind=BuildFlags)


def start(flags: BuildFlags, beam_arguments: Sequence[str], observer: Observer) -> "ForecastRun":
    """Returns a plan that is ready to run; its workers are started first, as for a build.

    Raises:
        UsageError: There are to be more workers than the machine can bear.
    """
    launch.refuse_too_many(flags, beam_arguments)
    launch.prepare(flags, ["open_images.forecasting.graph"])
    from open_images.forecasting.one_forecast import ForecastRun

    return ForecastRun(flags, beam_arguments, observer)
