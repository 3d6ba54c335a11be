"""The work folder of a build: made, locked, resumed, and removed.

Below a local output it lies in the output itself. For an output in an object store it is a
temporary folder, or one that was named, in a file system that all workers see; where they see none,
it is in the store.

Several users may build in one output. Each goes on in folders of their own alone, removes no
others, and follows no links (`transforms.storage.private`).
"""

import contextlib
import glob
import os
import uuid
from collections.abc import Iterator

from transforms import journal
from transforms.redaction import redact_url
from transforms.releases import heartbeat
from transforms.releases.output import ENTRIES, LEFT_BY_SYSTEMS, list_names
from transforms.storage import files, locked, objects, private
from transforms.storage.objects import StorageError, is_remote
from transforms.storage.regular import irregular_kind
from transforms.storage.stores import ObjectOptions

_FOLDERS = ("exchange", "parts", "version", "progress", journal.FOLDER)
_FINGERPRINT = "fingerprint"


class OutputError(ValueError):
    """The output folder can't be used; the message is one line with the remedy."""


@contextlib.contextmanager
def workspace(
    output: str,
    work_folder: str | None = None,
    shares_files: bool = True,
    options: ObjectOptions = files.DEFAULTS,
    fingerprint: str | None = None,
    token: str = "",
    for_group: bool = False,
) -> Iterator[tuple[str, int]]:
    """Yields a folder for one build, and how many pieces of its work are done already.

    The folder is that of a build with the same fingerprint that was killed or interrupted, or else
    new. What other stopped builds left is removed. So is the folder at the end, unless the build
    was interrupted.

    The build that had the lease on a local output before can write nothing more below it, even if
    it lives: its folder is renamed, or loses its sealed shards where it is gone on with.

    Args:
        output: where versions are published, a local folder or a URI.
        work_folder: for an output in an object store, a local folder to work in.
        shares_files: whether workers see each other's files. Where they don't, and no folder is
            named, the work for an output in an object store is done there.
        options: how object stores are reached.
        fingerprint: of what is to be built; empty to begin anew in any case, and None to leave
            stopped builds alone.
        token: of the lease on `output`; empty for a program that holds none.
        for_group: whether workers may be other users, of the folder's group.

    Raises:
        OutputError: `output` or `work_folder` can't be written, or `output` holds other files.
    """
    _check_path("--output", output)
    with contextlib.ExitStack() as stack:
        if is_remote(output):
            try:
                _refuse_foreign(output, options.hasty())
                work = stack.enter_context(heartbeat.work_folder(objects.normal(output), options))
            except StorageError as error:
                raise unusable(output, error) from None
            done = 0
            if work_folder or shares_files:
                _check_path("--work_folder", work_folder or "")
                folder = work_folder or _temporary_folder()
                work, done = stack.enter_context(
                    _in_folder(folder, "--work_folder", fingerprint, for_group=for_group)
                )
        elif work_folder:
            raise OutputError(
                f"--work_folder {work_folder}: only for an --output in an object store: drop it, "
                "since a local one is worked on in its own file system"
            )
        else:
            work, done = stack.enter_context(
                _in_folder(output, "--output", fingerprint, token, for_group)
            )
        yield work, done


def prepare(output: str, options: ObjectOptions = files.DEFAULTS) -> None:
    """Makes an output folder, and makes sure that versions can be published in it.

    Raises:
        OutputError: it can't be written, or holds other files.
    """
    _check_path("--output", output)
    try:
        if not is_remote(output):
            os.makedirs(output, exist_ok=True)
        _refuse_foreign(output, options.hasty())
        if not is_remote(output):
            _refuse_links(output)
            private.make_shared_folder(os.path.join(output, ".work"))
    except (OSError, StorageError) as error:
        raise unusable(output, error) from None


def unusable(output: str, error: OSError | StorageError) -> OutputError:
    """Returns the error for the user of an output that can't be used."""
    if isinstance(error, StorageError):
        return OutputError(f"--output {output} can't be used: {error}")
    return OutputError(_complaint("--output", output, error))


def _complaint(flag: str, folder: str, error: OSError) -> str:
    remedy = "name another folder"
    if isinstance(error, private.ForeignError):
        remedy = f"have that removed, or {remedy}"
    return f"{flag} {folder} can't be written: {error.strerror}: {remedy}"


def leftovers(
    output: str, work_folder: str | None = None, options: ObjectOptions = files.DEFAULTS
) -> list[str]:
    """Returns what `workspace` would remove: what dead builds have left.

    Args:
        output: as for `workspace`.
        work_folder: likewise.
        options: how object stores are reached.

    Raises:
        StorageError: the output can't be listed.
    """
    found = heartbeat.leftovers(objects.normal(output), options) if is_remote(output) else []
    folder = work_folder or (_temporary_folder() if is_remote(output) else output)
    builds = os.path.join(folder, ".work")
    there = os.path.isdir(builds) and not os.path.islink(builds)
    for dead, descriptor in locked.dead(builds, os.geteuid()) if there else ():
        found.append(dead)
        os.close(descriptor)
    return found


def _temporary_folder() -> str:
    """Returns the folder of this user's builds where none is named."""
    try:
        return private.own_temporary_folder()
    except OSError as error:
        raise OutputError(
            f"no temporary folder: {error.strerror}: name a folder by --work_folder"
        ) from None


@contextlib.contextmanager
def _in_folder(
    parent: str, flag: str, fingerprint: str | None, token: str = "", for_group: bool = False
) -> Iterator[tuple[str, int]]:
    """A build locks its folder for as long as it lives, and the lock goes with the process."""
    builds = os.path.join(parent, ".work")
    folder = os.path.join(builds, uuid.uuid4().hex)
    lock, done, interrupted = None, 0, False
    try:  # a signal may come from the first line on
        try:
            os.makedirs(parent, exist_ok=True)
            if flag == "--output":
                _refuse_foreign(parent, files.DEFAULTS)
            private.make_shared_folder(builds)
            lock = locked.lock_new(folder)
            fresh = private.make_private_folder(folder, for_group)
            if fingerprint is not None and (
                stopped := _clear_away_stopped(builds, fingerprint, token, fresh)
            ):
                locked.remove(folder)
                os.close(lock)
                folder, lock, done = stopped
            for name in _FOLDERS:
                os.makedirs(os.path.join(folder, name), exist_ok=True)
            locked.write_note(lock, token)
            private.write_file(os.path.join(folder, _FINGERPRINT), (fingerprint or "").encode())
        except OSError as error:
            raise OutputError(_complaint(flag, parent, error)) from error
        yield folder, done
    except KeyboardInterrupt:
        interrupted = True
        raise
    finally:
        done_by_now = glob.glob("*", root_dir=os.path.join(folder, journal.FOLDER))
        if not (interrupted and fingerprint and done_by_now):
            locked.remove(folder)
        if lock is not None:
            os.close(lock)
        with contextlib.suppress(OSError):
            os.rmdir(builds)


def _refuse_foreign(output: str, options: ObjectOptions) -> None:
    known = ENTRIES | LEFT_BY_SYSTEMS
    foreign = [name for name in list_names(output, options) if name not in known]
    if foreign:
        raise OutputError(
            f"--output {output} holds other files ({foreign[0]}): name an empty folder, or one "
            "of earlier builds"
        )


def _clear_away_stopped(
    builds: str, fingerprint: str, token: str, fresh: os.stat_result
) -> tuple[str, int, int] | None:
    """Removes the folders of this user's dead builds, but for one to go on in.

    A build that had the lease on the output before loses its folder even if it lives; another
    user's folder is then renamed, so that its build can't find it.

    Args:
        builds: where the folders are.
        fingerprint: of what is to be built.
        token: of the lease on the output; or empty.
        fresh: the status of a folder that was just made there.

    Returns:
        The folder to go on in, its lock, and how many pieces are done; None where no folder has
        this fingerprint.
    """
    found = None
    wanted = fingerprint.encode()
    for folder, lock in locked.dead(builds, fresh.st_uid):
        if found is None and wanted and _read_fingerprint(folder, fresh) == wanted:
            _tidy(folder)
            found = folder, lock, journal.clear_up(folder, ("exchange", "parts"))
        else:
            locked.remove(folder)
            os.close(lock)
    for folder in locked.folders(builds) if token else ():
        if (found and folder == found[0]) or not locked.note(folder):
            continue
        if locked.is_of(folder, fresh.st_uid):
            locked.remove(folder)
        elif not locked.is_dead(folder):
            files.vanish(folder)
    return found


def _check_path(flag: str, path: str) -> None:
    """Raises OutputError for a path whose form allows no writing."""
    if "://" in path and not is_remote(path):
        raise OutputError(f"{flag} {redact_url(path)}: use a local path, s3://… or gs://…")
    try:
        path.encode()
    except UnicodeEncodeError:  # Arrow takes no other paths
        raise OutputError(f"{flag} {path}: its name isn't UTF-8: name another folder") from None


def _refuse_links(output: str) -> None:
    """Raises `ForeignError` where a version would be moved to wherever a link leads."""
    versions = os.path.join(output, "versions")
    if os.path.lexists(versions) and (kind := irregular_kind(versions)) != "a folder":
        raise private.ForeignError(f"{versions} is {kind or 'a file'}, not a folder", versions)


def _read_fingerprint(folder: str, fresh: os.stat_result) -> bytes | None:
    """Returns the fingerprint in a build's folder; None if it has none that can be trusted."""
    # What was renamed isn't gone on in: the names of its files are noted in full.
    if "." in os.path.basename(folder) or not private.is_private(folder, fresh):
        return None
    with contextlib.suppress(OSError):
        path = os.path.join(folder, _FINGERPRINT)
        with open(private.open_file(path, os.O_RDONLY), "rb") as file:
            return file.read()
    return None


def _tidy(folder: str) -> None:
    """Removes from a stopped build's folder links, and folders that are begun anew or half gone."""
    with os.scandir(folder) as found:
        entries = list(found)
    for entry in entries:
        if entry.is_symlink():
            os.unlink(entry.path)
        elif entry.is_dir() and (entry.name in ("version", "progress") or "." in entry.name):
            files.vanish(entry.path)
