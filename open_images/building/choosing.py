"""Which images a selection chooses, without building them. Light to import."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from open_images.building.flags import BuildFlags
from open_images.building.process import run_in_process
from open_images.progress import Observer
from runners import launch

if TYPE_CHECKING:
    import pyarrow as pa

    from open_images.building.one_choice import ImageChoice


class ChosenImages(NamedTuple):
    """The images that a selection chooses.

    Attributes:
        image_ids: sorted, by split.
        mask_names: of the PNGs of the masks that are kept, sorted, each once, by split.
    """

    image_ids: "Mapping[str, pa.StringArray]"
    mask_names: "Mapping[str, pa.StringArray]"

    @property
    def images(self) -> int:
        """How many images there are."""
        return sum(map(len, self.image_ids.values()))

    @property
    def masks(self) -> int:
        """How many PNGs there are."""
        return sum(map(len, self.mask_names.values()))


def choose_images(flags: BuildFlags, observer: Observer) -> ChosenImages:
    """Returns the images that a build with these flags would publish, and their masks.

    It runs in a process of its own, as a build does.

    Args:
        flags: of the build; neither its pictures nor its output are looked at. `work_folder` is for
            temporary files, as `workspace` makes it.
        observer: hears of it, in this thread.

    Raises:
        UsageError: A flag or an input is wrong.
        BuildError: No images are chosen, or the annotations can't be read.
        KeyboardInterrupt: Somebody has interrupted it.
    """
    return run_in_process(start, flags, [], observer, fate="", kind=BuildFlags)


def start(flags: BuildFlags, beam_arguments: Sequence[str], observer: Observer) -> "ImageChoice":
    """Returns a selection that is ready to be carried out; arguments as of `choose_images`."""
    # Workers first, as they take about as long as the imports of this process.
    launch.prepare(flags, ["open_images.building.one_choice"])
    from open_images.building.one_choice import ImageChoice

    return ImageChoice(flags, beam_arguments, observer)
