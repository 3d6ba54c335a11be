"""What the library raises beside `OSError`: see `open_images`."""

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
        causes: what readers would have lost had it been published: each cause with lines of
            examples. Empty where something else went wrong.
        outcome: what became of the images and rows, as `BuildResult.outcome`; None where it didn't
            come to that.
        folder: the version that was published before it failed, if that is so.
        seconds: how long it took.
        notes: lines that were shown meanwhile.
        plan: what it was going to do; None where it didn't come to that.
    """

    message: str
    _: dataclasses.KW_ONLY
    causes: Sequence[tuple[str, Sequence[str]]] = ()
    outcome: "Outcome | None" = None
    folder: str | None = None
    seconds: float = 0.0
    notes: Sequence[str] = ()
    plan: "BuildPlan | None" = None
