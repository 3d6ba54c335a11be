"""Versions of what a process runs on: those of the driver and of the workers must be the same.

The pipeline is pickled by the one and unpickled by the others, and a decoder of another version may
give other bytes.
"""

import hashlib
import importlib.metadata
import platform
from pathlib import Path

from packaging.requirements import Requirement

_ROOT = Path(__file__).parents[2]
_PROJECT = "open-images-beam"
_PACKAGES = ("open_images", "pipelines", "runners", "transforms")
#: Where the project isn't installed and so doesn't say itself what it needs.
_NEEDED = ("apache-beam", "numpy", "obstore", "opencv-python-headless", "pillow", "pyarrow")


def describe() -> dict[str, str]:
    """Versions by name: of Python, of all that the project needs, and of its own code."""
    versions = {"Python": platform.python_version()}
    for text in requirements():
        name = Requirement(text).name
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "missing"
    return versions | {"this project's code": _hash_code()}


def requirements() -> list[str]:
    """What the project needs without extras, as it says itself if it is installed."""
    try:
        required = importlib.metadata.requires(_PROJECT) or []
    except importlib.metadata.PackageNotFoundError:
        return list(_NEEDED)
    return sorted(text for text in required if "extra ==" not in text)


def _hash_code() -> str:
    digest = hashlib.sha256()
    for package in _PACKAGES:
        for path in sorted((_ROOT / package).rglob("*.py")):
            digest.update(str(path.relative_to(_ROOT)).encode() + path.read_bytes())
    return digest.hexdigest()[:12]
