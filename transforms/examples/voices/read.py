"""Reads the recordings of narratives, and cuts windows of images where they would get too large."""

import posixpath
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from transforms.dataset.elements import in_one_piece
from transforms.dataset.failures import Failure, PixelError, Reason, Stage
from transforms.dataset.schema import VOICE
from transforms.examples.options import ExampleOptions
from transforms.examples.pictures import Fetched
from transforms.examples.voices.ogg import check_recording, decode_recording
from transforms.redaction import redact_url
from transforms.sources.voices import VoiceAnswer, VoiceSource, Wanted, open_voice_sources

#: Recordings that are held back while the next source is asked for those that one doesn't have.
_HELD = 256

#: Reasons that say more of a server than of a recording stay as they are.
_REASONS = {
    Reason.MISSING: Reason.VOICE_MISSING,
    Reason.EMPTY: Reason.VOICE_CORRUPT,
    Reason.NOT_IMAGE: Reason.VOICE_CORRUPT,
    Reason.TRUNCATED: Reason.VOICE_CORRUPT,
    Reason.CORRUPT: Reason.VOICE_CORRUPT,
}


class Voiced(NamedTuple):
    """Consecutive images with their pictures and recordings.

    Attributes:
        fetched: the images with their pictures.
        voices: of `VOICE`, one for each of their narratives; null where there is none.
        failures: one for each recording that can't be used.
        recordings: how many recordings their narratives name; 0 where no source was given.
    """

    fetched: Fetched
    voices: pa.StructArray
    failures: list[Failure]
    recordings: int


class _Found(NamedTuple):
    """A recording, or None, and what each source that was asked before has said."""

    data: bytes | None
    refused: list[VoiceAnswer]


class VoiceReader:
    """Reads recordings, each from the first source that has a sound one."""

    def __init__(self, options: ExampleOptions, held_bytes: int) -> None:
        """Opens all sources.

        Args:
            options: what examples are made of.
            held_bytes: of recordings that are in memory together, and as many again for each source
                but the last; a larger one is alone.
        """
        self._sources = open_voice_sources(
            options.sources, options.http_options, options.object_options
        )
        self._decodes = options.verify_voices
        self._held_bytes = held_bytes

    def close(self) -> None:
        """Closes all sources."""
        for source in self._sources:
            source.close()

    def read(self, fetched: Fetched) -> Iterator[Voiced]:
        """Yields images with their recordings, in windows that depend on these sizes alone."""
        images = fetched.images
        narratives = in_one_piece(images["narratives"])
        if not self._sources or narratives.null_count == len(narratives):
            yield Voiced(fetched, pa.nulls(len(narratives.flatten()), VOICE), [], 0)
            return
        lengths = narratives.value_lengths().fill_null(0).to_pylist()
        names = narratives.flatten().field("voice_recording").to_pylist()
        wanted = _list_wanted(images, lengths, names)
        found = self._find(wanted, self._sources)
        # For each narrative, its recording; None where it names none.
        recordings = iter(zip(wanted, found, strict=True))
        named = (next(recordings) if name is not None else None for name in names)
        first = size = 0
        rows: list[tuple[Wanted, _Found] | None] = []
        for index, length in enumerate(lengths):
            rows += islice(named, length)
            size += sum(len(row[1].data or b"") for row in rows[len(rows) - length :] if row)
            if size >= self._held_bytes and index + 1 < len(lengths):
                yield _voiced(fetched, first, index + 1, rows)
                first, rows, size = index + 1, [], 0
        if first < len(lengths) or not lengths:
            yield _voiced(fetched, first, len(lengths), rows)

    def _find(self, wanted: Sequence[Wanted], sources: Sequence[VoiceSource]) -> Iterator[_Found]:
        """Yields recordings, in order; each is asked for when it is due.

        From the first one that a source doesn't have, recordings are held back, so that later
        sources are asked for many at a time.
        """
        if not sources:
            yield from (_Found(None, []) for _ in wanted)
            return
        source, *others = sources
        held: deque[tuple[Wanted, _Found]] = deque()
        size = 0
        for each, answer in zip(wanted, source.ask(wanted), strict=True):
            found = self._checked(answer)
            if not others or (found.data is not None and not held):
                yield found
                continue
            held.append((each, found))
            size += len(found.data or b"")
            if size >= self._held_bytes or len(held) >= _HELD:
                yield from self._settle(held, others)
                size = 0
        yield from self._settle(held, others)

    def _settle(
        self, held: deque[tuple[Wanted, _Found]], sources: Sequence[VoiceSource]
    ) -> Iterator[_Found]:
        """Yields recordings that were held back, after further sources were asked for others."""
        later = self._find([each for each, found in held if found.data is None], sources)
        while held:
            _, found = held.popleft()
            if found.data is None:
                other = next(later)
                found = _Found(other.data, found.refused + other.refused)
            yield found

    def _checked(self, answer: VoiceAnswer) -> _Found:
        """Returns what a source has, if it is sound."""
        if isinstance(answer.recording, PixelError):
            return _Found(None, [answer])
        try:
            check_recording(answer.recording)
            if self._decodes:
                decode_recording(answer.recording)
        except PixelError as error:
            return _Found(None, [answer._replace(recording=error)])
        return _Found(answer.recording, [])


def count_recordings(images: pa.Table) -> int:
    """Returns how many recordings the narratives of joined images name."""
    rows = pc.list_flatten(images["narratives"])
    return len(rows) - pc.struct_field(rows, "voice_recording").null_count


def _list_wanted(
    images: pa.Table, lengths: Sequence[int], names: Sequence[str | None]
) -> list[Wanted]:
    """Returns the recordings that the narratives of n images name.

    Args:
        images: n rows of `join.Joined.table`.
        lengths: (n,) how many narratives each has.
        names: of the recordings of all narratives; None where one has none.
    """
    ids, splits = images["image_id"].to_pylist(), images["split"].to_pylist()
    listed = images["voice_files"].to_pylist()
    remaining = iter(names)
    return [
        Wanted(name, image_id, split, members or ())
        for image_id, split, members, length in zip(ids, splits, listed, lengths, strict=True)
        for _ in range(length)
        if (name := next(remaining)) is not None
    ]


def _voiced(
    fetched: Fetched, first: int, stop: int, rows: Sequence[tuple[Wanted, _Found] | None]
) -> Voiced:
    """Returns some of the images that were fetched, with the recordings of their narratives."""
    some = Fetched(
        fetched.images.slice(first, stop - first),
        {name: column.slice(first, stop - first) for name, column in fetched.columns.items()},
        fetched.failures if not first else [],
        exif_reset=fetched.exif_reset if not first else 0,
    )
    values = [
        {"bytes": row[1].data, "path": posixpath.basename(row[0].name)}
        if row and row[1].data is not None
        else None
        for row in rows
    ]
    failures = [_failure(*row) for row in rows if row and row[1].data is None]
    return Voiced(some, pa.array(values, VOICE), failures, sum(map(bool, rows)))


def _failure(wanted: Wanted, found: _Found) -> Failure:
    """Returns a recording's failure: what the first source said, and then the others."""
    (source, error), *others = found.refused
    assert isinstance(error, PixelError)
    details = [f"{wanted.name}: {error.detail}"]
    for other, problem in others:
        details.append(f"{redact_url(other) if other else 'elsewhere'}: {problem}")
    reason = _REASONS.get(error.reason, error.reason)
    where = wanted.image_id, wanted.split, Stage.VOICE, reason
    return Failure(*where, "; ".join(details), redact_url(source) if source else None)
