"""The versions of an output: which there are, which is the latest, and what their manifests say."""

import datetime
import json
import os
import re

from transforms.outputs.naming import MANIFEST
from transforms.storage import files, objects
from transforms.storage.folders import walk_linked
from transforms.storage.objects import AbsentError, is_remote, normal
from transforms.storage.stores import ObjectOptions

_NAME = re.compile(r"(\d{8}T\d{6})(\d{3})-[0-9a-f]+")
_ABSENT = (FileNotFoundError, NotADirectoryError, AbsentError)


class VersionError(ValueError):
    """There is no such version, or it can't be read; the message is one line with the remedy."""


class ManifestError(VersionError):
    """A published version's manifest isn't one."""


class Output:
    """A folder or prefix that versions are published in."""

    def __init__(self, path: str, options: ObjectOptions = files.DEFAULTS) -> None:
        self.path = normal(path) if is_remote(path) else path
        self.options = options

    def folder(self, name: str) -> str:
        """The folder of a version."""
        return os.path.join(self.path, "versions", name)

    def pin_path(self, name: str) -> str:
        """The file that keeps a version from being removed."""
        return os.path.join(self.path, "pins", name)

    def latest(self) -> str | None:
        """The name of the version that readers see; None where nothing is published."""
        try:
            text = files.read_file(os.path.join(self.path, "latest"), self.options)
        except _ABSENT:
            return None
        return text.decode(errors="replace").strip()

    def published(self) -> list[str]:
        """The names of all versions that have a manifest, the oldest first."""
        return [name for name in self._children("versions") if self.is_published(name)]

    def pinned(self) -> set[str]:
        """The names of versions that are never removed."""
        return set(self._children("pins"))

    def is_published(self, name: str) -> bool:
        """Whether there is such a version: without a manifest it is none."""
        if not name or "/" in name or name.startswith("."):
            return False
        try:
            status = files.status_of(os.path.join(self.folder(name), MANIFEST), self.options)
        except _ABSENT:
            return False
        return status.size > 0  # an empty one keeps the place of one to come

    def choose(self, name: str | None) -> str:
        """A version by name, or the one that `latest` names.

        Raises:
            VersionError: There is no such version, or no latest.
        """
        if name is None:
            name = self.latest()
            if name is None:
                raise VersionError(
                    f"{self.path}: nothing is published there: name the --output of a build"
                )
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
            ManifestError: It isn't there, isn't JSON, or lacks what a build writes.
        """
        path = os.path.join(self.folder(name), MANIFEST)
        try:
            data = files.read_file(path, self.options)
        except _ABSENT:
            raise ManifestError(f"{MANIFEST}: is missing") from None
        try:
            manifest = json.loads(data)
            for key in ("version", "config", "splits", "sources", "failures"):
                manifest[key]
            for split in manifest["splits"].values():
                split["num_examples"] + 0
                for shard in split["shards"]:
                    shard["num_examples"] + shard["bytes"]
                    shard["path"] + shard["format"] + shard["sha256"]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ManifestError(
                f"{MANIFEST}: isn't as a build writes it ({type(error).__name__}: {error})"
            ) from None
        return manifest

    def date(self, name: str) -> datetime.datetime:
        """When the build of a version began; if its name doesn't say, when it was published."""
        match = _NAME.fullmatch(name)
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


def count_bytes(manifest: dict) -> int:
    """Bytes of all shards."""
    return sum(shard["bytes"] for split in manifest["splits"].values() for shard in split["shards"])


def lacking(output: Output, name: str, manifest: dict) -> str | None:
    """The first shard that isn't there with its size; None where all are."""
    sizes = file_sizes(output.folder(name), output.options)
    for split in manifest["splits"].values():
        for shard in split["shards"]:
            if sizes.get(shard["path"]) != shard["bytes"]:
                return shard["path"]
    return None


def file_sizes(folder: str, options: ObjectOptions) -> dict[str, int]:
    """The sizes of all files of a version, by path below its folder; links are followed."""
    if is_remote(folder):
        found = {status.path: status.size for status in files.walk(folder, options)}
        return {os.path.relpath(path, folder): size for path, size in found.items()}
    if not os.path.isdir(folder):
        return {}
    entries = (entry for entry in walk_linked(folder) if not entry.trouble)
    statuses = ((entry.name, entry.status()) for entry in entries)
    return {name: status.st_size for name, status in statuses if status}
