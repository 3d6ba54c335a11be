"""The versions of an output: which there are, which is the latest, and their manifests."""

import contextlib
import datetime
import os
import re
from typing import NamedTuple

from transforms.dataset.naming import MANIFEST
from transforms.releases import card
from transforms.releases.manifest import Manifest, ManifestError, VersionError, is_sound
from transforms.storage import files, objects
from transforms.storage.folders import walk_folders
from transforms.storage.objects import AbsentError, is_remote, normal
from transforms.storage.regular import IrregularError, irregular_kind
from transforms.storage.stores import ObjectOptions

#: Names of files and folders that our programs make in an output.
ENTRIES = frozenset({"latest", "versions", "pins", ".work", card.NAME})
#: Names of files and folders that systems leave in any folder.
LEFT_BY_SYSTEMS = frozenset({".DS_Store", "Thumbs.db", "desktop.ini", "lost+found"})

_DATED_NAME = re.compile(r"(\d{8}T\d{6})(\d{3})-[0-9a-f]+")
#: Names that a version may have: they name a folder and are safe to print.
_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,254}")
_ABSENT = (FileNotFoundError, NotADirectoryError, AbsentError)
#: What `latest` may hold: a name, and how a line ends.
_POINTER_BYTES = 257


class LatestError(VersionError):
    """`latest` names no version."""

    def __init__(self, output: str, cause: str) -> None:
        super().__init__(
            f"{output}/latest names no version, for {cause}: the next build writes it anew, or "
            f"python -m pipelines.versions {output} rollback VERSION"
        )


class Output:
    """A folder or prefix that versions are published in."""

    def __init__(self, path: str, options: ObjectOptions = files.DEFAULTS) -> None:
        self.path = normal(path) if is_remote(path) else path
        self.options = options

    def folder(self, name: str) -> str:
        """Returns the folder of a version."""
        return os.path.join(self.path, "versions", name)

    @property
    def latest_path(self) -> str:
        """The file that names the version that readers see."""
        return os.path.join(self.path, "latest")

    def pin_path(self, name: str) -> str:
        """Returns the file that keeps a version from being removed."""
        return os.path.join(self.path, "pins", name)

    def latest(self) -> str | None:
        """Returns the name of the version that readers see; None where nothing is published.

        Raises:
            LatestError: The file `latest` holds no name.
        """
        try:
            data = files.read_unlinked(self.latest_path, self.options, _POINTER_BYTES)
        except _ABSENT:
            return None
        except IrregularError as error:
            raise LatestError(self.path, str(error)) from None
        name = data.decode(errors="replace").rstrip("\r\n")
        if not _NAME.fullmatch(name):
            raise LatestError(self.path, "it holds something else" if data else "it is empty")
        return name

    def published_latest(self) -> str | None:
        """Returns what `latest` does, and makes sure that this version is there.

        Raises:
            LatestError: The file `latest` names no version that is there.
        """
        name = self.latest()
        if name is not None and not self.is_published(name):
            raise _absent(self.path, name)
        return name

    def published(self) -> list[str]:
        """Returns the names of all versions that have a manifest, the oldest first."""
        names = list_names(os.path.join(self.path, "versions"), self.options)
        return [name for name in names if self.is_published(name)]

    def pinned(self) -> set[str]:
        """Returns the names of versions that are never removed."""
        return set(list_names(os.path.join(self.path, "pins"), self.options))

    def is_published(self, name: str) -> bool:
        """Returns whether there is such a version: without a manifest it is none."""
        if not _NAME.fullmatch(name):
            return False
        path = os.path.join(self.folder(name), MANIFEST)
        try:
            if not is_remote(path) and irregular_kind(path):
                return False
            status = files.status_of(path, self.options)
        except _ABSENT:
            return False
        return status.size > 0  # an empty one keeps the place of one to come

    def choose(self, name: str | None) -> str:
        """Returns the name of a version that is there; without a name, the one that `latest` names.

        Raises:
            LatestError: The file `latest` names no version.
            VersionError: There is no such version, or nothing is published.
        """
        if name is None:
            name = self.latest()
            if name is None:
                raise VersionError(
                    f"{self.path}: nothing is published there: name the --output of a build"
                )
            if not files.is_folder(self.folder(name), self.options):
                raise _absent(self.path, name)
        elif not self.is_published(name):
            raise VersionError(
                f"{self.path} has no version {name}: see python -m pipelines.versions "
                f"{self.path} list"
            )
        return name

    def manifest(self, name: str) -> Manifest:
        """Returns the manifest of a version.

        Raises:
            ManifestError: It isn't there, can't be used, or has changed since it was written.
        """
        manifest, data = self.read_manifest(name)
        if problem := find_change(manifest, data):
            raise ManifestError(problem)
        return manifest

    def read_manifest(self, name: str) -> tuple[Manifest, bytes]:
        """Returns the manifest of a version and the bytes of its file, which may have changed.

        Raises:
            ManifestError: It isn't there, or can't be used.
        """
        path = os.path.join(self.folder(name), MANIFEST)
        try:
            data = files.read_unlinked(path, self.options)
        except _ABSENT:
            raise ManifestError(f"{MANIFEST}: is missing") from None
        except IrregularError as error:
            raise ManifestError(f"{MANIFEST}: can't be read, for {error}") from None
        return Manifest.decode(data), data

    def date(self, name: str) -> datetime.datetime:
        """Returns when a build began, by its version's name, or else when it was published."""
        match = _DATED_NAME.fullmatch(name)
        if match:
            date = datetime.datetime.strptime(match[1], "%Y%m%dT%H%M%S")
            return date.replace(tzinfo=datetime.UTC, microsecond=int(match[2]) * 1000)
        status = files.status_of(os.path.join(self.folder(name), MANIFEST), self.options)
        return datetime.datetime.fromtimestamp(status.modified, datetime.UTC)


def list_names(folder: str, options: ObjectOptions) -> list[str]:
    """Returns the names of what lies in a folder, sorted; none where it isn't there."""
    if is_remote(folder):
        return sorted(child.rstrip("/") for child in objects.children(folder, options))
    try:
        return sorted(os.listdir(folder))
    except _ABSENT:
        return []


def _absent(output: str, name: str) -> LatestError:
    return LatestError(output, f"there is no {name}")


def find_change(manifest: Manifest, data: bytes) -> str | None:
    """Returns a line if a manifest has changed since it was written, else None."""
    if not manifest.has_checksums or is_sound(data):
        return None
    return f"{MANIFEST}: its SHA-256 isn't the one that it ends with: its bytes have changed"


def find_missing(output: Output, name: str, manifest: Manifest) -> str | None:
    """Returns the first file for readers that isn't there with its size; None where all are."""
    sizes = list_contents(output.folder(name), output.options).sizes
    files_for_readers = manifest.files_for_readers()
    return next(
        (file.path for file in files_for_readers if sizes.get(file.path) != file.bytes), None
    )


class Contents(NamedTuple):
    """The files in the folder of a version, by path below it.

    Attributes:
        sizes: the bytes of each file; links are followed.
        irregular: what something is that isn't a file and holds none, such as `a pipe`.
    """

    sizes: dict[str, int]
    irregular: dict[str, str]


def list_contents(folder: str, options: ObjectOptions) -> Contents:
    """Walks the folder of a version; what isn't there is empty."""
    found = Contents({}, {})
    if is_remote(folder):
        for status in files.walk(folder, options):
            found.sizes[os.path.relpath(status.path, folder)] = status.size
        return found
    for (inside, path), entries in walk_folders(folder) if os.path.isdir(folder) else ():
        if inside and not entries and not os.listdir(path):
            found.irregular[inside.rstrip("/")] = "an empty folder"
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):  # it has vanished meanwhile
                if kind := irregular_kind(entry.path):
                    found.irregular[entry.name] = kind
                if not entry.trouble:
                    found.sizes[entry.name] = os.stat(entry.path).st_size
    return found
