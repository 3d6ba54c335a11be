"""`manifest.json`: the files of a version, its inputs and flags, and counts of failures.

A version of the dataset is published once it has this file. It holds the checksums of all other
files of the version. Its own checksum is its last member, and covers all bytes before the line that
holds it: `head -n -2 manifest.json | sha256sum` prints it.

Members may be added without a new `manifest_version`: readers ignore those that they don't know.
Version 2 names what version 1, which has no such member, calls `basis` and `lineage`.
"""

import dataclasses
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Self

from transforms.dataset import naming
from transforms.dataset.naming import MANIFEST
from transforms.formats.registry import FORMATS
from transforms.formats.settings import FormatSettings
from transforms.releases.documents import FormError, parse, to_json

#: Raised when a member changes its name or meaning.
MANIFEST_VERSION = 2
_NAMES_OF_VERSION_1 = {"basis": "settings_fingerprint", "lineage": "reuse"}

_END = b"\n}\n"
_LAST_LINE = re.compile(rb' "sha256": "([0-9a-f]{64})"' + re.escape(_END))
_LAST_LINE_BYTES = len(b' "sha256": ""') + 64 + len(_END)


class VersionError(ValueError):
    """There is no such version, or it can't be read; the message is one line with the remedy."""


class ManifestError(VersionError):
    """A published version's manifest can't be used; the message is one line."""


def _stays_inside(path: str) -> bool:
    return not path.startswith("/") and ".." not in path.split("/")


def _has_known_settings(config: Mapping[str, Any]) -> bool:
    lists = (config.get(name, []) for name in ("format", "mask_maps"))
    return isinstance(config.get("release", ""), str) and all(
        isinstance(each, list) and all(isinstance(text, str) for text in each) for each in lists
    )


#: Types whose values must also pass a test.
Path = Annotated[str, _stays_inside]
Count = Annotated[int, lambda number: number >= 0]
FormatName = Annotated[str, FORMATS.__contains__]


@dataclasses.dataclass(frozen=True)
class File:
    """A file of a version; `path` is relative to the version's folder."""

    path: Path
    bytes: Count
    sha256: str


@dataclasses.dataclass(frozen=True)
class ShardFile:
    """A shard of a split in one format; `loose_bytes` is the size of the files that it lists."""

    path: Path
    format: FormatName
    num_examples: Count
    bytes: Count
    sha256: str
    loose_bytes: Count = 0

    @property
    def all_bytes(self) -> int:
        """Its size, with the files that it lists."""
        return self.bytes + self.loose_bytes


@dataclasses.dataclass(frozen=True)
class Split:
    """The examples of a split, counted once, and its shards in all formats."""

    num_examples: Count
    shards: tuple[ShardFile, ...]

    def of_format(self, form: str) -> list[ShardFile]:
        """Returns the shards in one format."""
        return [shard for shard in self.shards if shard.format == form]

    @property
    def formats(self) -> set[str]:
        """The formats of its shards."""
        return {shard.format for shard in self.shards}


@dataclasses.dataclass(frozen=True, kw_only=True)
class SourceRows:
    """An input and what became of its rows: each is kept, a repeat, an orphan, bad or deselected.

    `deselected` counts the rows that the selection leaves out, by its rule.

    Earlier releases counted no repeats, so `kept` and `repeats` may be None.
    """

    kind: str
    path: str
    rows: Count
    kept: Count | None = None
    repeats: Count | None = None
    orphans: Count
    bad_rows: Count
    deselected: dict[str, Count] = dataclasses.field(default_factory=dict)
    digest: str | None = None
    stamp: str | None = None


@dataclasses.dataclass(frozen=True)
class Annotations:
    """Annotations of a column in examples, and of images that have no example.

    `added` of them follow from others by the hierarchy of classes, and are no rows of a file.
    """

    written: Count
    left_out: Count
    added: Count = 0


@dataclasses.dataclass(frozen=True)
class SourceWarning:
    """A warning about a source."""

    path: str
    text: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Manifest:
    """A version's manifest.

    Attributes:
        manifest_version: of the form of this document.
        version: the name of the version.
        fingerprint: of inputs, flags, columns and output revision.
        settings_fingerprint: of all these but the inputs.
        config: the flags of the build.
        schemas: by format, the columns or features of examples, with their types. None
            in versions of earlier releases.
        splits: examples and shards.
        sources: the inputs.
        annotations: by column.
        dropped: by format, what of the examples it can't hold, and how many of that.
        warnings: about sources.
        exif_reset: how many pictures had an orientation in their metadata that was reset.
        selection: what was selected, as `--selection` takes it; None where everything was.
        class_images: how many images show each class of the selection, by its MID.
        class_names: display names of these classes, by MID.
        failures: how many rows the table of failures has, by reason.
        reuse: files by which the next build knows what it may take over.
        files: the other files beside the shards; None in versions of earlier releases.
        card: the dataset card, which lies in the output; None likewise.
        sha256: of this document; None before it is written, and likewise.
    """

    manifest_version: int = 1
    version: str
    fingerprint: str | None = None
    settings_fingerprint: str | None = None
    config: Annotated[dict[str, Any], _has_known_settings]
    schemas: dict[str, dict[str, str]] | None = None
    splits: Annotated[dict[str, Split], lambda splits: splits.keys() <= set(naming.SPLITS)]
    sources: tuple[SourceRows, ...]
    annotations: dict[str, Annotations] = dataclasses.field(default_factory=dict)
    dropped: dict[str, dict[str, Count]] = dataclasses.field(default_factory=dict)
    warnings: tuple[SourceWarning, ...] = ()
    exif_reset: Count = 0
    selection: dict[str, Any] | None = None
    class_images: dict[str, Count] = dataclasses.field(default_factory=dict)
    class_names: dict[str, str] = dataclasses.field(default_factory=dict)
    failures: dict[str, Count]
    reuse: tuple[File, ...] = ()
    files: tuple[File, ...] | None = None
    card: File | None = None
    sha256: str | None = None

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Reads a manifest, which may have changed since it was written: see `is_sound`.

        Raises:
            ManifestError: It isn't JSON, lacks what a build writes, or is of a later release.
        """
        try:
            document = json.loads(data)
            if isinstance(document, Mapping) and "manifest_version" not in document:
                document = {_NAMES_OF_VERSION_1.get(key, key): document[key] for key in document}
            manifest = parse(cls, document)
        except (ValueError, RecursionError) as error:
            raise ManifestError(f"{MANIFEST}: isn't as a build writes it ({error})") from None
        except FormError as error:
            raise ManifestError(f"{MANIFEST}: isn't as a build writes it (in {error})") from None
        if manifest.manifest_version > MANIFEST_VERSION:
            raise ManifestError(f"{MANIFEST}: is of a later release: read it by that one")
        if manifest.schemas is not None and manifest.schemas.keys() != manifest.formats:
            raise ManifestError(f"{MANIFEST}: isn't as a build writes it (in schemas)")
        return manifest

    def encode(self) -> bytes:
        """Returns the content of the file, with its checksum last."""
        members = dataclasses.asdict(self).items()
        return seal({name: value for name, value in members if value is not None})

    @property
    def release(self) -> str:
        """The dataset's version for readers, such as `v7`."""
        return self.config.get("release", "")

    @property
    def settings(self) -> FormatSettings:
        """How formats are written."""
        return FormatSettings.of_flags(self.config, self.release)

    @property
    def formats(self) -> set[str]:
        """The formats of all shards."""
        return set().union(*(split.formats for split in self.splits.values()))

    @property
    def with_pictures(self) -> bool:
        """Whether examples have pictures."""
        return any(source.kind == "pictures" for source in self.sources)

    @property
    def has_checksums(self) -> bool:
        """Whether it has the checksums of all files; earlier releases wrote some of them."""
        return self.files is not None or self.sha256 is not None

    def shards(self) -> Iterator[tuple[str, ShardFile]]:
        """Yields the shards of all splits, each with its split."""
        for name, split in self.splits.items():
            yield from ((name, shard) for shard in split.shards)

    def files_for_readers(self) -> Iterator[File | ShardFile]:
        """Yields all files but the manifest and those for the next build."""
        yield from (shard for _, shard in self.shards())
        yield from self.files or ()


def bytes_by_format(splits: Mapping[str, Split]) -> dict[str, int]:
    """Returns the bytes of the shards of all splits, and of what they list, by format."""
    found: Counter[str] = Counter()
    for split in splits.values():
        for shard in split.shards:
            found[shard.format] += shard.all_bytes
    return dict(sorted(found.items()))


def describe_file(path: str, data: bytes) -> File:
    """Returns the entry of a file with this content."""
    return File(path, len(data), hashlib.sha256(data).hexdigest())


def seal(document: Mapping[str, Any]) -> bytes:
    """Returns a manifest as it is published, with its own checksum last."""
    others = {name: value for name, value in document.items() if name != "sha256"}
    body = to_json(others).removesuffix(_END) + b",\n"
    return body + b' "sha256": "%b"' % hashlib.sha256(body).hexdigest().encode() + _END


def is_sound(data: bytes) -> bool:
    """Returns whether a manifest ends with the checksum of what precedes it."""
    body, last_line = data[:-_LAST_LINE_BYTES], data[-_LAST_LINE_BYTES:]
    match = _LAST_LINE.fullmatch(last_line)
    return bool(match) and match[1].decode() == hashlib.sha256(body).hexdigest()
