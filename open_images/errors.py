"""The exception of a build that failed."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from open_images.building.build_plan import BuildPlan
    from transforms.releases.outcome import Outcome


@dataclasses.dataclass(eq=False, repr=False)
class BuildError(Exception):
    """A build failed. The message is one line with the remedy, where there is one.

    Where the message isn't enough to mend it, `__cause__` is the exception behind it.

    Attributes:
        message: the line.
        causes: each loss beyond a limit, with lines of examples; empty where something else went
            wrong.
        outcome: counts of images, rows and failures, as `BuildResult.outcome`; None where it failed
            before they were counted.
        folder: the version, where it failed after that was published; else None.
        seconds: how long it took.
        notes: messages to be shown with the error.
        plan: the plan of the build; None where it failed before there was one.
    """

    message: str
    _: dataclasses.KW_ONLY
    causes: Sequence[tuple[str, Sequence[str]]] = ()
    outcome: "Outcome | None" = None
    folder: str | None = None
    seconds: float = 0.0
    notes: Sequence[str] = ()
    plan: "BuildPlan | None" = None
