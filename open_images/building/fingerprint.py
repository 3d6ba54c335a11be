"""The fingerprint of a version: its inputs' content, its flags, its columns, the output revision.

A file of annotations is known by a checksum of its content, which is only taken anew where its size
or times differ from those that the version before recorded; and where there is no such version, in
passing when it is read. Archives of pictures are too large for that: they count by their stamps,
which are size, times and inode, folders by the stamps of all pictures or masks in them, and objects
by their ETags. Pictures that are asked for by name, such as those over HTTP, have nothing to look
at: they count by their address, and its secrets by a hash with this user's key.
"""

import dataclasses
import functools
import hashlib
import importlib.metadata
import json
from collections.abc import Mapping, Sequence

from open_images.building.paths import AT_ONCE, each
from open_images.building.secret_key import keyed_hash
from open_images.building.selection_flags import SelectionFlags
from transforms.checksum import Checksum
from transforms.dataset.elements import LISTED, Source
from transforms.formats.described import describe
from transforms.kinds.registry import EXAMPLE, TABLES
from transforms.releases.fingerprint import OUTPUT_REVISION
from transforms.releases.manifest import Manifest, ManifestError
from transforms.releases.output import LatestError, Output, find_missing
from transforms.sources.contents import digest_folder
from transforms.storage import files
from transforms.storage.objects import StorageError, is_remote
from transforms.storage.stores import ObjectOptions

_LIBRARIES = (
    "apache-beam",
    "numpy",
    "opencv-python-headless",
    "pillow",
    "pyarrow",
    "pycocotools",
    "simplejpeg",
)
#: Local files that are hashed at once: 1.4 GB/s from the disk, where 16 at once came to 0.8.
_FILES_AT_ONCE = 2
_READ_BYTES = 1 << 18
#: Flags that say where inputs are, how they are reached, or how the work is done; and those of the
#: selection, which counts by what they mean.
_NEUTRAL = (
    *("annotations", "images", "masks", "voices", "s3_endpoint_url"),
    *("exchange", "chunk_size", "max_failure_rate", "max_bad_rate"),
    *(field.name for field in dataclasses.fields(SelectionFlags)),
)


def latest_manifest(output: Output) -> tuple[Manifest | None, str]:
    """Reads the manifest of the version that `latest` names.

    Returns:
        The manifest, or None where there is none that can be used; and why it can't, a line, or
        empty where nothing is published.
    """
    try:
        name = output.published_latest()
        return (output.manifest(name) if name else None), ""
    except LatestError as error:
        return None, str(error)
    except ManifestError as error:
        return None, f"{output.latest_path} names a version that is damaged: {error}"
    except (StorageError, OSError):
        return None, ""


def identify(
    sources: Sequence[Source], manifest: Manifest | None, options: ObjectOptions = files.DEFAULTS
) -> list[Source]:
    """Returns sources with their digests.

    Args:
        sources: as found.
        manifest: of the version before, whose digests hold for files that have the same stamp. If
            there is none, files that will be read range by range get no digest yet.
        options: how object stores are reached.

    Raises:
        StorageError: The object store can't be read.
        UsageError: The key for secrets can't be used.
        OSError: A file can't be read.
        ChangedError: A file has changed since it was found.
    """
    before = {(rows.kind, rows.path): rows for rows in (manifest.sources if manifest else ())}
    has_objects = any(is_remote(source.path) for source in sources)
    checksum = functools.cache(checksum_file)  # several tables may lie in one archive

    def digest_of(source: Source) -> str:
        if source.medium == "folder":
            return digest_folder(source, options)
        if source.medium and source.medium not in LISTED:
            has_secret = source.name != source.path
            return f"keyed:{keyed_hash(source.path)}" if has_secret else source.digest
        if is_remote(source.path):
            return f"etag:{source.stamp}"
        if source.medium:
            return f"stamp:{source.stamp}"
        same = before.get((source.kind, source.name))
        if same and same.digest and same.stamp == source.stamp:
            return same.digest
        is_plain = not source.compressed and source.size > source.data_start
        if manifest is None and source.kind in TABLES and is_plain:
            return ""
        return checksum(source.path, source.stamp)

    digests = each(digest_of, sources, AT_ONCE if has_objects else _FILES_AT_ONCE)
    return [
        dataclasses.replace(source, digest=digest)
        for source, digest in zip(sources, digests, strict=True)
    ]


def checksum_file(path: str, stamp: str) -> str:
    """Returns the checksum of a file's content; `stamp` as of `files.open_file`."""
    checksum = Checksum()
    with files.open_file(path, stamp=stamp) as file:
        while data := file.read(_READ_BYTES):
            checksum = checksum.extended(data)
    return str(checksum)


def settings_fingerprint(
    flags: Mapping[str, object], release: str, selection: Mapping[str, object] | None = None
) -> str:
    """Returns the SHA-256 of what decides about the output beside the inputs.

    That is the flags, the columns of an example, the revision of the output that this code writes,
    and the libraries.

    Args:
        flags: all that were given or have a default, by name.
        release: the dataset's version for readers.
        selection: what is selected, in which flags count by what they mean; None for everything.
    """
    content: dict[str, object] = {
        "flags": {name: value for name, value in flags.items() if name not in _NEUTRAL},
        "release": release,
        "columns": describe(EXAMPLE),
        "output_revision": OUTPUT_REVISION,
        "libraries": {name: importlib.metadata.version(name) for name in _LIBRARIES},
    }
    if selection is not None:
        content["selection"] = selection
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def is_published(fingerprint: str, manifest: Manifest, output: Output) -> bool:
    """Returns whether the latest version is what a build would publish, and has all its files."""
    if manifest.fingerprint != fingerprint:
        return False
    try:
        return find_missing(output, manifest.version, manifest) is None
    except (StorageError, OSError):
        return False
