"""From flags to files: what is asked for, what is there, and what is to be downloaded."""

import dataclasses
import logging
import threading
from collections.abc import Callable, Sequence

from open_images.downloading import catalogue, plan
from open_images.downloading.client import RETRY, Client, DownloadError
from open_images.downloading.fetch import fetch
from open_images.downloading.flags import DownloadFlags
from open_images.downloading.parallel import Meter, for_each
from open_images.progress import Listener, Observer, Progress
from open_images.values import callback, flag, keywords_of
from transforms.errors import UsageError
from transforms.storage.retry import Retry
from transforms.wording import counted

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
        A line each for what isn't there at the end and should be: files, pictures.

    Raises:
        UsageError: Flags, the image list or a source are wrong.
        OSError: The disk is full, or something can't be written.
        KeyboardInterrupt: The user wants no more.
    """
    items: list[plan.Item] = []
    pictures = None
    if flags.image_list:
        # Only here, since it takes a second to import.
        from open_images.downloading.by_list import PicturesByList

        pictures = PicturesByList(flags, flags.image_list, observer)
    elif flags.images:
        raise UsageError("--images: which pictures? Give their list by --image_list")
    if flags.kinds or not flags.image_list:
        chosen = catalogue.select(entries, flags.release, flags.kinds, flags.splits)
        items = plan.make_plan(chosen, flags.output, flags.base_url)
    if flags.list:
        if items:
            for line in plan.describe(items, flags.output).splitlines():
                observer.report(line)
        optional = catalogue.optional_kinds(entries, flags.release)
        if items and not flags.kinds and optional:
            observer.report(f"left out, since --kinds doesn't name them: {', '.join(optional)}")
        if pictures:
            observer.report(pictures.describe())
        return []
    try:
        flags.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--output: {flags.output}: {error.strerror}") from None
    stop = threading.Event()
    failures = []
    if items:
        client = Client(flags.timeout, stop, retry)
        failures += _get_files(flags, items, client, observer)
    if pictures:
        failures += pictures.download(stop)
    return failures


def _get_files(
    flags: DownloadFlags, items: list[plan.Item], client: Client, observer: Observer
) -> list[str]:
    there: dict[plan.Item, bool] = {}

    def look(item: plan.Item) -> None:
        there[item] = item.is_there(flags.verify)

    for_each(look, items, flags.num_connections, client.stop)
    wanted = [item for item in items if not there[item]]
    plan.check_room(wanted, flags.output)
    for item in wanted:
        if item.path.exists():
            observer.log(f"{item.path.name}: there, but not as published: again")
    errors: list[str] = []
    total = sum(item.size or 0 for item in wanted)
    meter = Meter(observer, counted(len(wanted), "file"), total, "B")

    def work(item: plan.Item) -> None:
        try:
            fetch(item, client, meter)
        except DownloadError as error:
            errors.append(str(error))
            meter.log(str(error))

    # The largest first, so that none is left alone at the end.
    wanted.sort(key=lambda item: -(item.size or 1 << 62))
    for_each(work, wanted, flags.num_connections, client.stop)
    observer.report(
        f"{counted(len(wanted) - len(errors), 'file')} downloaded, "
        f"{len(items) - len(wanted)} were there, {len(errors)} failed"
    )
    if not errors:
        return []
    return [
        f"{len(errors)} of {counted(len(items), 'file')} failed, as said above: run the same "
        "command again"
    ]


@dataclasses.dataclass(frozen=True, kw_only=True)
class DownloadKeywords(DownloadFlags):
    """What `download` takes: the flags of the command, and what Python alone can pass."""

    progress: Callable[[Progress], None] | None = flag(
        callback, None, help="is called, from several threads, with how far the download is"
    )


@keywords_of(DownloadKeywords)
def download(flags: DownloadKeywords) -> list[str]:
    """Downloads published files, and pictures by a list, as `open-images download` does.

    The keywords are the command's flags, with the same defaults. Lines that it prints on the way go
    to the logger `open_images.downloading.run`.

    Returns:
        Lines that say what was downloaded; with `list`, what would be.

    Raises:
        UsageError: A flag, the image list or a source is wrong.
        DownloadError: Something isn't there at the end; the same call goes on.
        OSError: The disk is full, or something can't be written.
    """
    listener = Listener(_log, flags.progress)
    if failures := run(flags, catalogue.read(), listener):
        raise DownloadError("; ".join(failures))
    return listener.reports
