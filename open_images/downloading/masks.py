"""The mask PNGs of a selection: of zips on a server just the members that are needed."""

import contextlib
import re
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import NamedTuple

import numpy as np

from open_images.downloading.client import Client, DownloadError, StoppedError
from open_images.downloading.fetch import fetch
from open_images.downloading.flags import DownloadFlags
from open_images.downloading.image_list import MISSING, find_fault
from open_images.downloading.output import FailureList, describe_excess, work_folder, write_whole
from open_images.downloading.parallel import Meter, for_each
from open_images.downloading.partial_zip import NoRangesError, PartialZip, Span, plan_spans
from open_images.downloading.plan import Item
from open_images.progress import Observer
from transforms.dataset.failures import PixelError, Reason
from transforms.sources.listing import MASKS, refusal_of, walk_zip
from transforms.sources.members import Member, MemberReader
from transforms.storage.claims import FAR
from transforms.wording import bytes_of, counted

_FAILURES = "mask_failures.csv"
#: The first digit of the ImageIDs in a zip, by its published name.
_DIGIT = re.compile(r"[-_]([0-9a-f])\.zip")
#: How many files a thread looks at together, and how many such threads there are.
_TOGETHER, _THREADS = 1024, 8


class MaskZip(NamedTuple):
    """A zip of mask PNGs.

    Attributes:
        item: where it is, and where it goes if it is downloaded as a whole.
        split: of its images.
    """

    item: Item
    split: str

    def may_hold(self, name: str) -> bool:
        """Whether it is the zip of a PNG, which is in that of its ImageID's first digit."""
        digit = _DIGIT.search(self.item.path.name)
        return digit is None or name.startswith(digit[1])


class MaskPngs:
    """The mask PNGs of a selection, which go to `masks/SPLIT/NAME` below the output.

    Attributes:
        size: bytes that were downloaded, of directories of zips too.
    """

    def __init__(
        self,
        flags: DownloadFlags,
        wanted: Mapping[str, Sequence[str]],
        zips: Iterable[MaskZip],
        client: Client,
        observer: Observer,
    ) -> None:
        """Downloads nothing yet.

        Args:
            flags: of the download.
            wanted: names of PNGs by split.
            zips: that are published.
            client: asks for them.
            observer: is told how far it is, and what came of it.
        """
        self.size = 0
        self._flags, self._client, self._observer = flags, client, observer
        self._wanted, self._zips = wanted, list(zips)
        self._total = sum(map(len, wanted.values()))
        self._meter = Meter(observer, "mask PNGs", self._total, "masks")
        self._failures = FailureList(flags.output / _FAILURES, "mask", self._meter)
        self._lock = threading.Lock()
        self._written = 0
        self._asked: list[Item] = []

    def download(self) -> list[str]:
        """Downloads what isn't there, and says what came of it.

        Returns:
            A line if too many can't be had.

        Raises:
            UsageError: The output folder can't be written.
            OSError: The disk is full, or something can't be written.
            KeyboardInterrupt: The user wants no more.
        """
        lacking = self._look()
        whole = self._total - sum(map(len, lacking.values()))
        with work_folder(self._flags.output) as work, contextlib.closing(self._failures):
            tasks = self._assign(lacking)
            for_each(
                lambda task: self._get(*task, Path(work)),
                tasks,
                self._flags.num_connections,
                self._client.stop,
            )
        self._observer.report(
            f"{counted(self._written, 'mask PNG')} downloaded, {whole:,} were there, "
            f"{self._failures.missing:,} missing, {self._failures.failed:,} failed"
        )
        if self._asked:
            zips = counted(len(self._asked), "zip")
            total = sum(item.size or 0 for item in self._asked)
            of_bytes = f" of {bytes_of(total)}" if total else ""
            self._observer.report(f"of {zips}{of_bytes}, {bytes_of(self.size)} were downloaded")
        return self._complaints()

    def _complaints(self) -> list[str]:
        lost, limit = self._failures.missing + self._failures.failed, self._flags.max_failure_rate
        if not lost:
            return []
        self._observer.report(
            f"masks that can't be had are listed in {self._flags.output / _FAILURES}"
        )
        remedy = "run the same command again, or raise it"
        return describe_excess(lost, self._total, "mask PNG", limit, remedy)

    def _path(self, split: str, name: str) -> Path:
        return self._flags.output / "masks" / split / name

    def _look(self) -> dict[str, list[str]]:
        """Returns the PNGs that aren't there whole, by split."""
        windows = [
            (split, names[start : start + _TOGETHER])
            for split, names in self._wanted.items()
            for start in range(0, len(names), _TOGETHER)
        ]
        lacking: list[tuple[str, str]] = []
        damaged: list[str] = []

        def look_at(window: tuple[str, Sequence[str]]) -> None:
            split, names = window
            for name in names:
                fault = find_fault(str(self._path(split, name)), self._flags.verify)
                if fault:
                    lacking.append((split, name))
                    damaged.extend([f"{split}/{name} ({fault})"] if fault != MISSING else [])
                else:
                    self._meter.add(1)

        for_each(look_at, windows, _THREADS, self._client.stop)
        if damaged:
            self._meter.log(
                f"masks that are there, but not whole: {len(damaged):,}, again; the first "
                f"{min(damaged)}"
            )
        by_split: dict[str, list[str]] = defaultdict(list)
        for split, name in sorted(lacking):
            by_split[split].append(name)
        return by_split

    def _assign(self, lacking: Mapping[str, list[str]]) -> list[tuple[MaskZip, list[str]]]:
        """Returns each zip with the PNGs that should be in it."""
        tasks = []
        for split, names in lacking.items():
            left = names
            for each in self._zips:
                found = [name for name in left if each.split == split and each.may_hold(name)]
                if found:
                    tasks.append((each, found))
                    left = [name for name in left if not each.may_hold(name)]
            self._refuse(split, left, Reason.MISSING, "no zip is published for it")
        return tasks

    def _get(self, mask_zip: MaskZip, names: Sequence[str], work: Path) -> None:
        """Gets some PNGs of a zip, and keeps account of those that can't be had."""
        item, split = mask_zip
        left = dict.fromkeys(names)
        try:
            if item.is_there(verify=False):
                done = self._extract(item.path, split, names)
            else:
                done = self._get_ranges(item, split, names, work)
            for name in done:
                del left[name]
        except DownloadError as error:
            prefix = f"{item.path.name}: "
            detail = prefix + str(error).removeprefix(prefix)
            self._meter.log(detail)
            self._refuse(split, list(left), Reason.HTTP_STATUS, detail)
        except PixelError as error:
            self._refuse(split, list(left), error.reason, f"{item.path.name}: {error.detail}")

    def _get_ranges(
        self, item: Item, split: str, names: Sequence[str], work: Path
    ) -> Iterator[str]:
        """Gets PNGs out of a zip on a server, or of the whole zip where it answers no ranges.

        Yields:
            The name of each PNG when it was written or refused.
        """
        with self._lock:
            self._asked.append(item)
        partial = PartialZip(item, self._client, work / item.path.name)
        try:
            partial.open()
            yield from self._extract(partial.path, split, names, partial)
        except NoRangesError:
            self._meter.log(f"{item.path.name}: its server answers no ranges: the whole zip")
            fetch(item, self._client, Meter(Observer(), "", 0, "B"))
            with self._lock:
                self.size += item.path.stat().st_size
            yield from self._extract(item.path, split, names)
        finally:
            partial.close()
            with self._lock:
                self.size += partial.received

    def _extract(
        self, path: Path, split: str, names: Sequence[str], partial: PartialZip | None = None
    ) -> Iterator[str]:
        """Writes PNGs of a zip.

        Args:
            path: a local file with the zip's directory.
            split: of its images.
            names: of the PNGs.
            partial: gets their bytes first; None where all are there.

        Yields:
            The name of each PNG when it was written or refused.
        """
        members, offsets = _find(path, frozenset(names))
        lost = [name for name in names if name not in members]
        self._refuse(split, lost, Reason.MISSING, f"it isn't in {path.name}")
        yield from lost
        spans = [Span(0, 0, list(members.values()))]
        if partial:
            spans = plan_spans(list(members.values()), offsets, partial.directory)
        reader = MemberReader()
        try:
            for span in spans:
                if partial:
                    partial.fetch(span.start, span.stop)
                for member in span.members:
                    if self._client.stop.is_set():
                        raise StoppedError
                    self._write(split, member, reader)
                    yield base_name(member)
        finally:
            reader.close()

    def _write(self, split: str, member: Member, reader: MemberReader) -> None:
        """Writes a PNG, or takes account of one that is damaged."""
        name = base_name(member)
        try:
            if refusal := refusal_of(member):
                raise PixelError(*refusal)
            data = reader.read(member.address)
        except PixelError as error:
            self._refuse(split, [name], error.reason, error.detail)
            return
        write_whole(self._path(split, name), data)
        self._meter.add(1)
        with self._lock:
            self._written += 1

    def _refuse(self, split: str, names: Sequence[str], reason: Reason, detail: str) -> None:
        """Takes account of PNGs that can't be had."""
        self._failures.add([(f"{split}/{name}", reason, detail) for name in names])


def base_name(member: Member) -> str:
    """Returns the name of a member's file."""
    return member.name.rpartition("/")[2]


def _find(path: Path, names: Set[str]) -> tuple[dict[str, Member], np.ndarray]:
    """Looks PNGs up in the directory of a zip.

    Returns:
        The members by name, and the offsets of all members.

    Raises:
        PixelError: The directory is damaged.
    """
    found: dict[str, Member] = {}
    offsets = []
    for member in walk_zip(str(path)):
        offsets.append(min(member.address.offset, FAR))
        name = base_name(member)
        if name not in names or not MASKS.base_name.fullmatch(name):
            continue
        before = found.setdefault(name, member)
        if before.address[2:] != member.address[2:]:  # all but the place
            where = f"at bytes {before.address.offset} and {member.address.offset}"
            detail = f"it is there more than once, with other content: {where}"
            found[name] = before._replace(refusal=(Reason.CONFLICT, detail))
    return found, np.array(offsets, np.int64)
