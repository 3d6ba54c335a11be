"""Shards: which parts make one, and putting them together."""

import contextlib
import hashlib
import os
import shutil
import tempfile
import uuid
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import accumulate, groupby, pairwise, zip_longest
from pathlib import Path
from typing import BinaryIO, NamedTuple, Self

from transforms.dataset import naming
from transforms.dataset.elements import BuiltPart, Shard
from transforms.formats.format import FileKind, NewFiles
from transforms.formats.part import DamagedPartError, HashingFile, StoredPart
from transforms.formats.registry import find_format
from transforms.formats.settings import FormatSettings
from transforms.formats.shard_count import shards_at_least
from transforms.releases.shard_files import download
from transforms.reuse import previous, recording
from transforms.storage import files, objects, temporary
from transforms.storage.objects import StorageError, is_remote
from transforms.storage.stores import ObjectOptions

#: A shard may exceed its target by this much before another is begun.
_SLACK = 1.25
#: A part of this fraction of the target is a shard by itself: to put it together with others would
#: mean to write all of it once more.
_ALONE = 1 / 8


class ShardPlan(NamedTuple):
    """A shard to be made of consecutive parts."""

    form: str
    split: str
    index: int
    shards: int
    parts: tuple[BuiltPart, ...]


def plan_shards(
    parts: Iterable[BuiltPart], shard_size: int, num_shards: int | None = None
) -> Iterator[ShardPlan]:
    """Groups the parts of each format and split, in key order, into shards.

    Parts of files that all examples of a split share make its last shard.

    A part of an eighth of `shard_size` or more is a shard by itself; smaller neighbours are put
    together to shards of about `shard_size`. Where these would be fewer than a split is to have, or
    their number is given, they are made of about as many examples each.

    Args:
        parts: all of them.
        shard_size: bytes of a shard, about.
        num_shards: how many each split is to have, if it has so many parts.
    """
    for (form, split), some in groupby(sorted(parts), lambda part: (part.format, part.split)):
        of_split = list(some)
        shared = [part for part in of_split if part.is_shared]
        of_examples = [part for part in of_split if not part.is_shared]
        shards = _group(form, of_examples, shard_size, num_shards)
        shards = [*shards, shared] if shared else shards
        for index, group in enumerate(shards):
            yield ShardPlan(form, split, index, len(shards), tuple(group))


def _group(
    form: str, parts: Sequence[BuiltPart], shard_size: int, num_shards: int | None
) -> Sequence[Sequence[BuiltPart]]:
    """Returns the shards of a split's examples; arguments as of `plan_shards`."""
    most_bytes = kind_of(form).most_target_bytes
    shards = _by_size(parts, min(shard_size, most_bytes))
    if form == naming.LINEAGE:
        return shards
    examples = sum(part.num_examples for part in parts)
    number = min(shards_at_least(examples, num_shards), len(parts))
    even = _evenly(parts, number)
    largest = max(sum(part.bytes for part in some) for some in even)
    is_possible = largest <= most_bytes * _SLACK
    return even if is_possible and (num_shards or len(shards) < number) else shards


def _by_size(parts: Iterable[BuiltPart], shard_size: float) -> list[list[BuiltPart]]:
    shards: list[list[BuiltPart]] = []
    room = 0.0
    for part in parts:
        alone = part.bytes >= shard_size * _ALONE
        if alone or part.bytes > room:
            shards.append([])
            room = shard_size * _SLACK
        shards[-1].append(part)
        room = 0 if alone else room - part.bytes
    return shards


def _evenly(parts: Sequence[BuiltPart], shards: int) -> list[Sequence[BuiltPart]]:
    """By examples, so that the shards of all formats have the same, wherever parts do."""
    ends = list(accumulate(part.num_examples for part in parts))
    middles = [end - part.num_examples / 2 for end, part in zip(ends, parts, strict=True)]
    borders = [0]
    for number in range(1, shards):
        nearest = bisect_left(middles, ends[-1] * number / shards)
        # Each shard, those to come too, has a part.
        borders.append(min(max(nearest, borders[-1] + 1), len(parts) - shards + number))
    return [parts[start:stop] for start, stop in pairwise([*borders, len(parts)])]


def seal_shard(
    plan: ShardPlan, folder: str, settings: FormatSettings, options: ObjectOptions = files.DEFAULTS
) -> Shard:
    """Makes a shard of its parts, having read every byte of them back; it isn't flushed.

    Args:
        plan: the shard.
        folder: the version's folder, local or in an object store; so may the parts be.
        settings: of all formats.
        options: how object stores are reached.

    Raises:
        DamagedPartError: A part's checksum or number of examples isn't what its writer reported.
        StorageError: The object store can't be read, or written to.
    """
    kind = kind_of(plan.form)
    path = kind.shard_path(settings, plan.split, plan.index, plan.shards)
    target = os.path.join(folder, path)
    num_examples = sum(part.num_examples for part in plan.parts)
    parts = tuple(part._replace(path="", origin=None) for part in plan.parts)
    shard = partial(Shard, plan.form, plan.split, plan.index, path, num_examples, parts=parts)
    origin = plan.parts[0].origin
    if origin and _is_whole(plan.parts) and _copy_whole(plan.parts[0].path, target, options):
        return shard(bytes=origin.bytes, sha256=origin.sha256, footer=origin.footer)
    with contextlib.ExitStack() as stack:
        scratch = _make_scratch(plan.parts, stack)
        local = tuple(_localise(part, scratch, options) for part in plan.parts)
        attempt = stack.enter_context(files.staged(target, scratch, options))
        with _LooseFiles(folder, scratch, options) as loose:
            size, sha256 = _put_together(plan._replace(parts=local), attempt, loose)
        if kind.count(attempt) != num_examples:
            raise DamagedPartError(f"{path}: not the number of examples that its parts have")
        footer = kind.footer_checksum(attempt)
    return shard(bytes=size, sha256=sha256, footer=footer, loose_bytes=loose.bytes)


def sync_shards(shards: Iterable[Shard], folder: str) -> None:
    """Makes shards in a version's folder last, with the files that they list."""
    if not is_remote(folder) and any(kind_of(each.format).has_loose_files for each in shards):
        os.sync()  # thousands of small files one by one would take minutes
    for shard in shards:
        files.sync(os.path.join(folder, shard.path))


def _make_scratch(parts: Iterable[BuiltPart], stack: contextlib.ExitStack) -> str:
    """Makes a folder for copies, beside the parts where these are local; the stack removes it."""
    beside = (os.path.dirname(part.path) for part in parts if not is_remote(part.path))
    above = next(beside, None)
    if above is None:
        return stack.enter_context(temporary.temporary_folder())
    folder = tempfile.mkdtemp(dir=above)
    # `TemporaryDirectory` of Python 3.11 recurses without end where it may not remove it.
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _is_whole(parts: Sequence[BuiltPart]) -> bool:
    """Returns whether parts make up a shard of the version before."""
    origin = parts[0].origin
    places = [(part.path, part.origin and part.origin.number) for part in parts]
    return origin is not None and places == [(parts[0].path, n) for n in range(origin.of)]


def _copy_whole(path: str, target: str, options: ObjectOptions) -> bool:
    """Puts a shard of the version before in its new place: a link, or a copy within the store.

    Returns:
        Whether that could be done.
    """
    if is_remote(path) != is_remote(target):
        return False
    if is_remote(path):
        with contextlib.suppress(StorageError):
            objects.copy(path, target, options)
            return True
        return False
    with files.staged(target, None, options) as attempt:
        os.link(path, attempt)
    return True


def _localise(part: BuiltPart, scratch: str, options: ObjectOptions) -> BuiltPart:
    """Returns a part that is a local file."""
    if not part.origin and not is_remote(part.path):
        return part
    path = os.path.join(scratch, uuid.uuid4().hex)
    if part.origin:
        return previous.take_out(part, path, options)
    with open(path, "wb") as copy:
        download(part.path, copy, options)
    return part._replace(path=path)


class _LooseFiles:
    """Creates the files that a shard lists; they are there once the context ends.

    To an object store several go at once, since a request takes longer than a picture's bytes.

    Attributes:
        bytes: of all files so far.
    """

    def __init__(self, folder: str, scratch: str, options: ObjectOptions) -> None:
        """Arguments as of `seal_shard`; `scratch` is a local folder."""
        self.bytes = 0
        self._folder = folder
        self._scratch = scratch
        self._options = options
        self._threads = ThreadPoolExecutor(options.max_concurrent, "loose files")
        self._uploads: deque[Future[object]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: object, *_: object) -> None:
        with self._threads:
            while self._uploads and error is None:
                self._uploads.popleft().result()

    @contextlib.contextmanager
    def create(self, path: str) -> Iterator[BinaryIO]:
        """As of `format.NewFiles`."""
        target = os.path.join(self._folder, path)
        if not is_remote(target):
            with files.staged(target, self._scratch) as attempt, open(attempt, "wb") as file:
                yield file
                self.bytes += file.tell()
            return
        attempt = os.path.join(self._scratch, uuid.uuid4().hex)
        with open(attempt, "wb") as file:
            yield file
            self.bytes += file.tell()
        self._begin(self._upload, target, attempt)

    def place(self, path: str, file: str) -> None:
        """As of `format.NewFiles`: by a link, where the file system has that."""
        self.bytes += os.path.getsize(file)
        target = os.path.join(self._folder, path)
        if is_remote(target):
            self._begin(objects.upload, target, Path(file), self._options)
            return
        with files.staged(target, self._scratch) as attempt:
            try:
                os.link(file, attempt)
            except OSError:
                shutil.copyfile(file, attempt)

    def _begin(self, upload: Callable[..., object], *arguments: object) -> None:
        """Starts an upload, once there are few enough."""
        if len(self._uploads) == self._options.max_concurrent:
            self._uploads.popleft().result()
        self._uploads.append(self._threads.submit(upload, *arguments))

    def _upload(self, target: str, attempt: str) -> None:
        objects.upload(target, Path(attempt), self._options)
        os.remove(attempt)


def _put_together(plan: ShardPlan, attempt: str, new_files: NewFiles) -> tuple[int, str]:
    """Makes a file of verified parts; returns its size and SHA-256."""
    digest = hashlib.sha256()
    kind = kind_of(plan.form)
    if len(plan.parts) == 1 and kind.parts_are_shards:
        (part,) = plan.parts
        StoredPart(part.path, part.crc32).read(digest.update)
        os.link(part.path, attempt)
        return part.bytes, digest.hexdigest()
    with files.create_lasting_file(attempt) as raw:
        file = HashingFile(raw, digest)
        shared = plan.parts[0].is_shared and find_format(plan.form).shared
        (shared or kind).concatenate(_read_ahead(plan.parts), file, new_files)
        return file.tell(), file.digest


def _read_ahead(parts: Sequence[BuiltPart]) -> Iterator[StoredPart]:
    """Yields parts; each is read from the disk while the one before it is verified."""
    for part, following in zip_longest(parts, parts[1:]):
        if following:
            files.read_ahead(following.path, 0, following.bytes)
        yield StoredPart(part.path, part.crc32)


def kind_of(form: str) -> FileKind:
    """Returns what a shard is of: an output format, or lineage."""
    return recording.LINEAGE if form == naming.LINEAGE else find_format(form)
