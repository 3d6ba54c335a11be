"""From flags to what is asked for: files, pictures by a list, or what a selection needs."""

import dataclasses
import logging
import os
import threading
from collections.abc import Callable, Sequence

from open_images.downloading import catalogue, plan
from open_images.downloading.client import RETRY, Client, DownloadError
from open_images.downloading.flags import NARRATIVES, DownloadFlags
from open_images.downloading.published import get_files
from open_images.progress import Listener, Observer, Progress
from open_images.values import callback, flag, keywords_of
from transforms.errors import UsageError
from transforms.storage.retry import Retry

_log = logging.getLogger(__name__)


def run(
    flags: DownloadFlags,
    entries: Sequence[catalogue.Entry],
    observer: Observer,
    retry: Retry = RETRY,
) -> list[str]:
    """Does what the flags ask for.

    Args:
        flags: of the download.
        entries: the catalogue.
        observer: is told how far it is, and what came of it.
        retry: how often a server is asked for a file again.

    Returns:
        A line each for what isn't there at the end and should be: files, pictures, mask PNGs,
        recordings.

    Raises:
        UsageError: Flags, the image list or a source are wrong.
        DownloadError: A selection chooses no image, or so much can't be had that the rest was given
            up.
        OSError: The disk is full, or something can't be written.
        KeyboardInterrupt: The user wants no more.
    """
    items: list[plan.Item] = []
    pictures = selected = wanted = None
    # Only here, since they take a second to import.
    if flags.has_selection:
        from open_images.downloading.selected import SelectedDownload

        selected = SelectedDownload(flags, entries, observer)
        items = selected.items
    elif flags.image_list:
        from open_images.downloading.by_list import PicturesByList, read_list

        wanted = read_list(flags, flags.image_list)
        pictures = PicturesByList(flags, wanted, observer)
    elif flags.images:
        raise UsageError("--images: which pictures? Give their list by --image_list")
    tables: list[str] = []
    if not selected and (flags.kinds or not flags.image_list):
        chosen = catalogue.select(entries, flags.release, flags.file_kinds, flags.all_splits)
        items = plan.make_plan(chosen, flags.output, flags.base_url)
        narratives = (entry for entry in chosen if entry.kind == NARRATIVES)
        narratives = plan.make_plan(narratives, flags.output, flags.base_url)
        tables = [str(item.path) for item in narratives]
    if flags.list:
        if items:
            for line in plan.describe(items, flags.output).splitlines():
                observer.report(line)
        optional = catalogue.optional_kinds(entries, flags.release)
        if selected:
            observer.report("and mask PNGs and pictures of the images that these files choose")
        elif items and not flags.kinds and optional:
            observer.report(f"left out, since --kinds doesn't name them: {', '.join(optional)}")
        if flags.with_voices:
            observer.report("and the recordings that these narratives name")
        if pictures:
            observer.report(pictures.describe())
        return []
    try:
        flags.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--output: {flags.output}: {error.strerror}") from None
    stop = threading.Event()
    client = Client(flags.timeout, stop, retry)
    if selected:
        return selected.download(client)
    failures = []
    if items:
        files = get_files(flags, items, client, observer)
        observer.report(files.report())
        failures += files.complaints()
    if pictures:
        failures += pictures.download(stop)
    if flags.with_voices and all(map(os.path.isfile, tables)):
        from open_images.downloading.voices import Voices

        failures += Voices(flags, tables, wanted, client, observer).download()
    return failures


@dataclasses.dataclass(frozen=True, kw_only=True)
class DownloadKeywords(DownloadFlags):
    """What `download` takes: the flags of the command, and what Python alone can pass."""

    progress: Callable[[Progress], None] | None = flag(
        callback, None, help="is called, from several threads, with how far the download is"
    )


@keywords_of(DownloadKeywords)
def download(flags: DownloadKeywords) -> list[str]:
    """Downloads published files, pictures by a list, or just what a selection needs.

    It does what `open-images download` does.

    The keywords are the command's flags, with the same defaults. Lines that it prints on the way go
    to the logger `open_images.downloading.run`.

    Returns:
        Lines that say what was downloaded; with `list`, what would be.

    Raises:
        UsageError: A flag, the image list or a source is wrong.
        DownloadError: Something isn't there at the end; the same call goes on. Or a selection
            chooses no image.
        OSError: The disk is full, or something can't be written.
    """
    listener = Listener(_log, flags.progress)
    if failures := run(flags, catalogue.read(), listener):
        raise DownloadError("; ".join(failures))
    return listener.reports
