"""The versions of an output: which there are, which is the latest, and what their manifests say."""

import contextlib
import datetime
import json
import os
import re
from collections.abc import Iterator

from transforms.dataset.naming import MANIFEST
from transforms.releases import card, documents
from transforms.releases.manifest import find_flaws
from transforms.storage import files, objects
from transforms.storage.folders import Entry, find_empty, walk_linked
from transforms.storage.objects import AbsentError, is_remote, normal
from transforms.storage.regular import IrregularError, irregular_kind
from transforms.storage.stores import ObjectOptions

#: What programs of ours make in an output.
ENTRIES = frozenset({"latest", "versions", "pins", ".work", card.NAME})

_DATED_NAME = re.compile(r"(\d{8}T\d{6})(\d{3})-[0-9a-f]+")
_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,254}")
_ABSENT = (FileNotFoundError, NotADirectoryError, AbsentError)
#: What `latest` may hold: a name, and how a line ends.
_POINTER_BYTES = 257


class VersionError(ValueError):
    """There is no such version, or it can't be read; the message is one line with the remedy."""


class ManifestError(VersionError):
    """A published version's manifest isn't one."""


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
        """The folder of a version."""
        return os.path.join(self.path, "versions", name)

    @property
    def latest_path(self) -> str:
        """The file that names the version that readers see."""
        return os.path.join(self.path, "latest")

    def pin_path(self, name: str) -> str:
        """The file that keeps a version from being removed."""
        return os.path.join(self.path, "pins", name)

    def latest(self) -> str | None:
        """The name of the version that readers see; None where nothing is published.

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
        if not is_name(name):
            raise LatestError(self.path, "it holds something else" if data else "it is empty")
        return name

    def published_latest(self) -> str | None:
        """As `latest`, of a version that is there.

        Raises:
            LatestError: The file `latest` names no version that is there.
        """
        name = self.latest()
        if name is not None and not self.is_published(name):
            raise _absent(self.path, name)
        return name

    def published(self) -> list[str]:
        """The names of all versions that have a manifest, the oldest first."""
        return [name for name in self._children("versions") if self.is_published(name)]

    def pinned(self) -> set[str]:
        """The names of versions that are never removed."""
        return set(self._children("pins"))

    def is_published(self, name: str) -> bool:
        """Whether there is such a version: without a manifest it is none."""
        if not is_name(name):
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
        """A version by name, or the one that `latest` names.

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
            return name
        if not self.is_published(name):
            raise VersionError(
                f"{self.path} has no version {name}: see python -m pipelines.versions "
                f"{self.path} list"
            )
        return name

    def manifest(self, name: str) -> dict:
        """What a version says of itself.

        Raises:
            ManifestError: It isn't there, isn't JSON, lacks what a build writes, or has changed.
        """
        manifest, data = self.read_manifest(name)
        if problem := check_seal(manifest, data):
            raise ManifestError(problem)
        return manifest

    def read_manifest(self, name: str) -> tuple[dict, bytes]:
        """What a version says of itself, and its bytes, which may have changed.

        Raises:
            ManifestError: It isn't there, isn't JSON, or lacks what a build writes.
        """
        path = os.path.join(self.folder(name), MANIFEST)
        try:
            data = files.read_unlinked(path, self.options)
        except _ABSENT:
            raise ManifestError(f"{MANIFEST}: is missing") from None
        except IrregularError as error:
            raise ManifestError(f"{MANIFEST}: can't be read, for {error}") from None
        try:
            manifest = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise ManifestError(f"{MANIFEST}: isn't as a build writes it ({error})") from None
        for flaw in find_flaws(manifest):
            raise ManifestError(f"{MANIFEST}: isn't as a build writes it (in {flaw})")
        return manifest, data

    def date(self, name: str) -> datetime.datetime:
        """When the build of a version began; if its name doesn't say, when it was published."""
        match = _DATED_NAME.fullmatch(name)
        if match:
            date = datetime.datetime.strptime(match[1], "%Y%m%dT%H%M%S")
            return date.replace(tzinfo=datetime.UTC, microsecond=int(match[2]) * 1000)
        status = files.status_of(os.path.join(self.folder(name), MANIFEST), self.options)
        return datetime.datetime.fromtimestamp(status.modified, datetime.UTC)

    def _children(self, name: str) -> list[str]:
        folder = os.path.join(self.path, name)
        if is_remote(folder):
            return sorted(child.rstrip("/") for child in objects.children(folder, self.options))
        try:
            return sorted(os.listdir(folder))
        except _ABSENT:
            return []


def _absent(output: str, name: str) -> LatestError:
    return LatestError(output, f"there is no {name}")


def is_name(name: str) -> bool:
    """Whether a version may have such a name, which is one of a folder, and safe to be printed."""
    return _NAME.fullmatch(name) is not None


def has_checksums(manifest: dict) -> bool:
    """Whether a manifest has the checksums of all files; earlier releases wrote some of them."""
    return "files" in manifest or "sha256" in manifest


def check_seal(manifest: dict, data: bytes) -> str | None:
    """Returns a line where a manifest has changed since it was written."""
    if not has_checksums(manifest) or documents.is_sound(data):
        return None
    return f"{MANIFEST}: its SHA-256 isn't the one that it ends with: its bytes have changed"


def count_bytes(manifest: dict) -> int:
    """Bytes of all shards."""
    return sum(shard["bytes"] for shard in shards_of(manifest))


def shards_of(manifest: dict) -> list[dict]:
    """The shards of all splits."""
    return [shard for split in manifest["splits"].values() for shard in split["shards"]]


def lacking(output: Output, name: str, manifest: dict) -> str | None:
    """The first file for readers that isn't there with its size; None where all are."""
    sizes = file_sizes(output.folder(name), output.options)
    for file in (*shards_of(manifest), *manifest.get("files", ())):
        if sizes.get(file["path"]) != file["bytes"]:
            return file["path"]
    return None


def file_sizes(folder: str, options: ObjectOptions) -> dict[str, int]:
    """The sizes of all files of a version, by path below its folder; links are followed."""
    if is_remote(folder):
        found = {status.path: status.size for status in files.walk(folder, options)}
        return {os.path.relpath(path, folder): size for path, size in found.items()}
    statuses = ((entry.name, entry.status()) for entry in _entries(folder) if not entry.trouble)
    return {name: status.st_size for name, status in statuses if status}


def find_irregular(folder: str) -> Iterator[tuple[str, str]]:
    """Yields the path below a version's folder, and the kind, of what is no file nor holds one."""
    if is_remote(folder):
        return
    if os.path.isdir(folder):
        yield from ((path, "an empty folder") for path in find_empty(folder))
    for entry in _entries(folder):
        with contextlib.suppress(FileNotFoundError):
            if kind := irregular_kind(entry.path):
                yield entry.name, kind


def _entries(folder: str) -> Iterator[Entry]:
    return walk_linked(folder) if os.path.isdir(folder) else iter(())
