"""Open Images as a dataset: joins annotations and pixels, and reads what was published.

The one package of this project that is public; all else may move.

    >>> import open_images
    >>> result = open_images.build(  # doctest: +SKIP
    ...     annotations="oid/annotations", images="oid/images", output="oid/dataset"
    ... )
    >>> dataset = open_images.open_dataset("oid/dataset")  # doctest: +SKIP
    >>> dataset.image("000002b66c9c498e")["bboxes"]  # doctest: +SKIP

Importing it is cheap: Beam and Arrow are imported by what needs them.
"""

import importlib
from typing import TYPE_CHECKING, Any

from open_images.errors import BuildError
from open_images.progress import Progress
from open_images.version import __version__
from transforms.errors import UsageError

if TYPE_CHECKING:
    from open_images.beam import BuildExamples, ReadExamples
    from open_images.building import build
    from open_images.building.one_build import BuildResult
    from open_images.dataset import Dataset, open_dataset
    from transforms.releases.lease import BusyError
    from transforms.releases.manifest import VersionError

__all__ = [
    "BuildError",
    "BuildExamples",
    "BuildResult",
    "BusyError",
    "Dataset",
    "Progress",
    "ReadExamples",
    "UsageError",
    "VersionError",
    "__version__",
    "build",
    "open_dataset",
]

#: Where names are that take a while to import.
_MODULES = {
    "build": "open_images.building",
    "BuildExamples": "open_images.beam",
    "BuildResult": "open_images.building.one_build",
    "BusyError": "transforms.releases.lease",
    "Dataset": "open_images.dataset",
    "ReadExamples": "open_images.beam",
    "VersionError": "transforms.releases.manifest",
    "open_dataset": "open_images.dataset",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
