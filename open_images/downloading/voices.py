"""The recordings of narratives: each is published under the path that its narrative names."""

import contextlib
import gzip
import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from open_images.building import inputs
from open_images.downloading.by_list import http_options
from open_images.downloading.catalogue import VOICES_PATH, VOICES_URL
from open_images.downloading.client import Client, DownloadError, StoppedError
from open_images.downloading.flags import DownloadFlags
from open_images.downloading.image_list import Pictures, among, sorted_once
from open_images.downloading.output import FailureList, describe_excess, write_whole
from open_images.downloading.parallel import Meter, for_each
from open_images.progress import Observer
from transforms.dataset.elements import Source, in_one_piece
from transforms.dataset.failures import PixelError, Reason
from transforms.examples.voices.ogg import check_recording
from transforms.kinds.narratives import NARRATIVES
from transforms.kinds.reading.ranges import plan_ranges
from transforms.sources.voices import PLACEHOLDER, HttpVoices, VoiceAnswer, Wanted, is_unsafe
from transforms.storage import files
from transforms.storage.stores import ObjectOptions
from transforms.wording import counted

_FAILURES = "voice_failures.csv"
_FAILURES_BEFORE_GIVING_UP = 100
_BLOCK_BYTES = 16 << 20
#: Recordings that are asked for before those that failed are counted.
_TOGETHER = 256


class Voices:
    """The recordings that narratives name, which go to `voices/` below the output.

    Attributes:
        size: bytes that were downloaded.
    """

    def __init__(
        self,
        flags: DownloadFlags,
        tables: Sequence[str],
        wanted: Pictures | None,
        client: Client,
        observer: Observer,
    ) -> None:
        """Downloads nothing yet.

        Args:
            flags: of the download.
            tables: files of narratives, or folders with some.
            wanted: the images whose recordings are wanted; None for all.
            client: whose interrupt ends the download.
            observer: is told how far it is, and what came of it.
        """
        self.size = 0
        self._flags, self._tables, self._client, self._observer = flags, tables, client, observer
        self._keys = (
            None if wanted is None else sorted_once([np.empty(0, np.uint64), *wanted.values()])
        )
        self._written = 0

    def download(self) -> list[str]:
        """Downloads what isn't there, and says what came of it.

        Returns:
            A line if too many can't be had.

        Raises:
            DownloadError: A file of narratives is damaged, or so many recordings can't be had that
                the rest was given up.
            OSError: The disk is full, or something can't be written.
            KeyboardInterrupt: The user wants no more.
        """
        flags = self._flags
        names = self._list()
        self._meter = Meter(self._observer, "recordings", len(names), "recordings")
        self._failures = FailureList(flags.output / _FAILURES, "recording", self._meter)
        lacking = [name for name in names if not self._is_there(name)]
        whole = len(names) - len(lacking)
        self._meter.add(whole)
        allowed = flags.max_failure_rate * len(names)
        self._giving_up = max(allowed, _FAILURES_BEFORE_GIVING_UP)
        template = VOICES_URL
        if flags.base_url:
            template = f"{flags.base_url.rstrip('/')}{VOICES_PATH}/{PLACEHOLDER}"
        published = Source(0, "voice_files", template, 0, medium="http")
        self._source = HttpVoices(published, http_options(flags))
        windows = (lacking[at : at + _TOGETHER] for at in range(0, len(lacking), _TOGETHER))
        with contextlib.closing(self._failures) as failures:
            # One thread asks, for many at once.
            for_each(self._get, windows, 1, self._client.stop)
        # Not where it broke off, since some wait for their servers.
        self._source.close()
        self._observer.report(
            f"{counted(self._written, 'recording')} downloaded, {whole:,} were there, "
            f"{failures.missing:,} missing, {failures.failed:,} failed"
        )
        lost = failures.missing + failures.failed
        if not lost:
            return []
        path = flags.output / _FAILURES
        self._observer.report(f"recordings that can't be had are listed in {path}")
        remedy = "run the same command again, or raise it"
        return describe_excess(lost, len(names), "recording", flags.max_failure_rate, remedy)

    def _list(self) -> list[str]:
        """Returns the paths of the recordings that narratives name, each once, in their order."""
        options = ObjectOptions(s3_endpoint_url=self._flags.s3_endpoint_url)
        sources, _, _ = inputs.find_sources(self._tables, (), (), options)
        names: dict[str, None] = {}
        for source in sources:
            if source.kind == NARRATIVES.name:
                for some in self._read_names(source, options):
                    names.update(dict.fromkeys(some))
        return list(names)

    def _read_names(self, source: Source, options: ObjectOptions) -> Iterator[Iterable[str]]:
        # Only here, since Beam takes a second or two to import.
        from transforms.kinds.reading import text

        try:
            for piece in plan_ranges(source, _BLOCK_BYTES):
                for block in text.read_blocks(source, piece, _BLOCK_BYTES, options):
                    if self._client.stop.is_set():
                        raise KeyboardInterrupt
                    if block.is_rest:
                        continue
                    table = text.parse_block(source, block.data).table
                    names = pc.struct_field(in_one_piece(table["value"]), "voice_recording")
                    if self._keys is not None:
                        keys = in_one_piece(table["key"]).to_numpy()
                        names = names.filter(pa.array(among(keys, self._keys)))
                    yield names.drop_null().to_pylist()
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DownloadError(f"{source.name}: compressed data: {error}: get it again") from None

    def _path(self, name: str) -> Path:
        return self._flags.output / "voices" / name

    def _is_there(self, name: str) -> bool:
        """Returns whether a recording is there: whole, with `--verify`."""
        if is_unsafe(name):
            return False
        path = self._path(name)
        if not self._flags.verify:
            return path.is_file() and path.stat().st_size > 0
        try:
            check_recording(files.read_file(os.fspath(path)))
        except (PixelError, FileNotFoundError):
            return False
        return True

    def _get(self, names: Sequence[str]) -> None:
        """Downloads some recordings, and keeps account of those that can't be had."""
        wanted = [Wanted(name, "", "", ()) for name in names]
        for name, answer in zip(names, self._source.ask(wanted), strict=True):
            if self._client.stop.is_set():
                raise StoppedError
            self._write(name, answer)

    def _write(self, name: str, answer: VoiceAnswer) -> None:
        data = answer.recording
        try:
            if isinstance(data, PixelError):
                raise data
            check_recording(data)
        except PixelError as error:
            self._refuse(name, error)
            return
        write_whole(self._path(name), data)
        self.size += len(data)
        self._written += 1
        self._meter.add(1)

    def _refuse(self, name: str, error: PixelError) -> None:
        """Takes account of a recording that can't be had.

        Raises:
            DownloadError: They are too many by now.
        """
        self._failures.add([(name, error.reason, error.detail)])
        if error.reason != Reason.MISSING and self._failures.failed > self._giving_up:
            number = counted(self._failures.failed, "recording")
            raise DownloadError(f"{number} failed, the last with {error} ({name})")
