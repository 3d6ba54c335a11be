"""`latest` and pins: which version readers see, and which are never removed."""

import contextlib
import os

from transforms.releases import card, workspace
from transforms.releases.manifest import Manifest, ManifestError, VersionError
from transforms.releases.output import LatestError, Output, find_missing
from transforms.storage import files, objects, private
from transforms.storage.objects import StorageError, is_remote

#: How often the card is written again, if others publish at the same time.
_TRIES = 5


def roll_back(output: Output, name: str, scratch: str) -> None:
    """Lets `latest` name another version, atomically.

    Args:
        output: where it is published.
        name: of the version.
        scratch: a local folder in the output's file system; not needed for an object store.

    Raises:
        VersionError: There is no such version, or it lacks shards; `latest` is as it was.
        StorageError: The object store can't be read, or written to.
    """
    output.choose(name)
    if path := find_missing(output, name, output.manifest(name)):
        raise VersionError(
            f"version {name} isn't whole ({path}): see python -m pipelines.verify "
            f"{output.path} --version {name}"
        )
    before = None
    with contextlib.suppress(LatestError):  # it is mended thereby
        before = output.latest()
    _point(output, name, scratch)
    # What is removed at the same time is first hidden, and then isn't if `latest` names it. So
    # either that is seen here, or this was seen there.
    if not output.is_published(name):
        if before is not None:
            _point(output, before, scratch)
        raise VersionError(f"version {name} is being removed: choose another")
    write_card(output, scratch)


def write_card(output: Output, scratch: str) -> None:
    """Writes the dataset card of the version that `latest` names.

    Args:
        output: where it is published.
        scratch: a local folder in the output's file system; not needed for an object store.

    Raises:
        StorageError: The object store can't be read, or written to.
    """
    with contextlib.suppress(LatestError, ManifestError):  # `verify` reports it
        for _ in range(_TRIES):
            name = output.latest()
            if name is None:
                return
            new_card = card.render(name, output.manifest(name).splits)
            card.write(output.path, new_card, scratch, output.options)
            if output.latest() == name:  # else a build has published meanwhile
                return


def mend_card(output: Output, manifest: Manifest) -> None:
    """Writes the card of the latest version, if its build was stopped before it did.

    Nothing happens where it can't be written.

    Args:
        output: where it is published.
        manifest: of the latest version.
    """
    with contextlib.suppress(StorageError, OSError, workspace.OutputError):
        found = card.read(output.path, output.options)
        if not card.may_write(found) or found == card.render(manifest.version, manifest.splits):
            return
        if is_remote(output.path):
            write_card(output, scratch="")
            return
        with workspace.workspace(output.path) as (work, _):
            write_card(output, work)


def pin(output: Output, name: str) -> None:
    """Keeps a version from being removed.

    Raises:
        VersionError: There is no such version.
        StorageError: The object store can't be written to.
    """
    output.choose(name)
    marker = output.pin_path(name)
    if is_remote(marker):
        objects.upload(marker, f"{name}\n".encode(), output.options)
    else:
        private.make_shared_folder(os.path.dirname(marker))
        private.write_file(marker, f"{name}\n".encode())
    if not output.is_published(name):
        unpin(output, name)
        raise VersionError(f"version {name} is being removed: choose another")


def unpin(output: Output, name: str) -> bool:
    """Lets a version be removed again; returns whether it was pinned."""
    if name not in output.pinned():
        return False
    marker = output.pin_path(name)
    files.delete_file(marker, output.options)
    if not is_remote(marker):
        with contextlib.suppress(OSError):  # where others are pinned
            os.rmdir(os.path.dirname(marker))
    return True


def _point(output: Output, name: str, scratch: str) -> None:
    if not is_remote(output.path):
        files.move_folder_away(output.latest_path, scratch)
    files.write_file(output.latest_path, f"{name}\n".encode(), scratch, output.options)
