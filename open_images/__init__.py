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
    from open_images.downloading.client import DownloadError
    from open_images.downloading.run import download
    from open_images.evaluating import evaluate
    from open_images.evaluating.evaluation import Evaluation
    from open_images.forecasting import plan
    from open_images.forecasting.forecast import ClassForecast, Forecast, PictureForecast
    from open_images.verification import Verification, verify
    from transforms.releases.lease import BusyError
    from transforms.releases.manifest import VersionError
    from transforms.storage.objects import StorageError

__all__ = [
    "BuildError",
    "BuildExamples",
    "BuildResult",
    "BusyError",
    "ClassForecast",
    "Dataset",
    "DownloadError",
    "Evaluation",
    "Forecast",
    "PictureForecast",
    "Progress",
    "ReadExamples",
    "StorageError",
    "UsageError",
    "Verification",
    "VersionError",
    "__version__",
    "build",
    "download",
    "evaluate",
    "open_dataset",
    "plan",
    "verify",
]

#: The modules of names that are imported when they are first used.
_MODULES = {
    "build": "open_images.building",
    "BuildExamples": "open_images.beam",
    "BuildResult": "open_images.building.one_build",
    "BusyError": "transforms.releases.lease",
    "ClassForecast": "open_images.forecasting.forecast",
    "Dataset": "open_images.dataset",
    "DownloadError": "open_images.downloading.client",
    "Evaluation": "open_images.evaluating.evaluation",
    "Forecast": "open_images.forecasting.forecast",
    "PictureForecast": "open_images.forecasting.forecast",
    "ReadExamples": "open_images.beam",
    "StorageError": "transforms.storage.objects",
    "Verification": "open_images.verification",
    "VersionError": "transforms.releases.manifest",
    "download": "open_images.downloading.run",
    "evaluate": "open_images.evaluating",
    "open_dataset": "open_images.dataset",
    "plan": "open_images.forecasting",
    "verify": "open_images.verification",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
