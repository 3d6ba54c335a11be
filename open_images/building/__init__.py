"""A build: from flags to a plan, and from a plan to a published version."""

import dataclasses
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from open_images.building.flags import BuildFlags
from open_images.building.process import run_in_process
from open_images.progress import Listener, Observer, Progress
from open_images.values import callback, flag, keywords_of, texts
from runners import launch

if TYPE_CHECKING:
    from open_images.building.one_build import Build, BuildResult

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class BuildKeywords(BuildFlags):
    """The arguments of `build`: the flags of the command, and what only Python can pass."""

    beam_arguments: Sequence[str] = flag(
        texts, (), recorded=False, help="flags for Beam, such as ['--flink_master=host:8081']"
    )
    progress: Callable[[Progress], None] | None = flag(
        callback, None, recorded=False, help="is called twice a second with how far the build is"
    )


@keywords_of(BuildKeywords)
def build(flags: BuildKeywords) -> "BuildResult":
    """Builds a dataset and publishes it, as the command `open-images build` does.

    The keywords are the command's flags, with the same defaults. It runs in a process of
    its own, so that this one stays as it is: nothing is printed, and lines that the command prints
    go to `BuildResult.notes`, and to the logger `open_images.building`. An interrupt ends it in
    order.

    Returns:
        The version that was published, or that was there already where nothing has changed.

    Raises:
        UsageError: A flag or an input is wrong; nothing was done.
        BusyError: Another build is at work on the output; nothing was done.
        BuildError: The build failed; the message says what was published, if anything was.
    """
    listener = Listener(_log, flags.progress)
    return run_in_process(start, flags, flags.beam_arguments, listener, kind=BuildFlags)


def start(flags: BuildFlags, beam_arguments: Sequence[str], observer: Observer) -> "Build":
    """Returns a build that is ready to run.

    Its workers are started first, as they take about as long as the imports of this process.

    Raises:
        UsageError: There are to be more workers than the machine can bear.
    """
    launch.refuse_too_many(flags, beam_arguments)
    # OpenCV is only imported where there are pictures, so each worker would do it by itself.
    pictures = [] if list(flags.images) == ["none"] else ["transforms.examples.imaging.opencv"]
    launch.prepare(flags, ["open_images.building.graph", *pictures])
    from open_images.building.one_build import Build

    return Build(flags, beam_arguments, observer)
