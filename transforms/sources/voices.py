"""Where the recordings of narratives come from: each is asked for by its published path."""

import abc
import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote

from transforms.dataset.elements import LISTED, Source
from transforms.dataset.failures import PixelError, Reason
from transforms.sources.contents import path_of
from transforms.sources.limits import HttpOptions
from transforms.sources.members import MemberReader, address_of, check_alike, group_by_place
from transforms.storage.claims import leads_out
from transforms.storage.stores import ObjectOptions

#: What a template of addresses must name: the recording's published path.
PLACEHOLDER = "{voice_recording}"
#: Of a recording: an hour of speech has some 20 MiB.
MAX_BYTES = 32 << 20


class Wanted(NamedTuple):
    """A recording that a narrative names.

    Attributes:
        name: its published path, such as `open_images_train/open_images_train_…_7.ogg`.
        image_id: of the narrative's image.
        split: likewise.
        members: files that were listed for the image, of `join.MEMBER`.
    """

    name: str
    image_id: str
    split: str
    members: Sequence[Mapping[str, Any]]


class VoiceAnswer(NamedTuple):
    """A recording's bytes, or why a source has none; `source` is a file, an archive or a URL."""

    source: str | None
    recording: bytes | PixelError


class VoiceSource(Protocol):
    """A source of recordings, or several that are asked together."""

    def ask(self, wanted: Sequence[Wanted]) -> Iterator[VoiceAnswer]:
        """Yields an answer for each recording, in order."""

    def close(self) -> None:
        """Gives back files and connections."""


def open_voice_sources(
    sources: Sequence[Source], http_options: HttpOptions, object_options: ObjectOptions
) -> list[VoiceSource]:
    """Opens sources of recordings in the order of `--voices`; listed neighbours become one.

    Args:
        sources: all sources, by index; those of other kinds are passed over.
        http_options: how recordings are asked for over HTTP.
        object_options: how object stores are reached.
    """
    voices = [source for source in sources if source.kind == "voice_files"]
    opened: list[VoiceSource] = []
    for listed, some in groupby(voices, key=lambda source: source.medium in LISTED):
        if listed:
            opened.append(ListedVoices(list(some), object_options))
            continue
        for source in some:
            if source.medium == "http":
                opened.append(HttpVoices(source, http_options))
            else:
                opened.append(ObjectVoices(source, object_options))
    return opened


class ListedVoices:
    """Folders and archives, whose members were listed: a recording is found by its file's name."""

    def __init__(self, sources: Iterable[Source], options: ObjectOptions) -> None:
        self._sources = {source.index: source for source in sources}
        self._reader = MemberReader(MAX_BYTES, options, self._sources.values())

    def ask(self, wanted: Sequence[Wanted]) -> Iterator[VoiceAnswer]:
        found = [self._members(each) for each in wanted]
        self._reader.expect(address_of(members[0]) for members in found if members)
        for members in found:
            yield self._read(members) if members else _MISSING

    def close(self) -> None:
        self._reader.close()

    def _members(self, wanted: Wanted) -> list[Mapping[str, Any]]:
        """Returns the first member of a recording's name, and others at the same place in it."""
        name = posixpath.basename(wanted.name)
        named = [
            member
            for member in wanted.members
            if member["source"] in self._sources and posixpath.basename(member["name"]) == name
        ]
        # The one at the published path is the recording, where several have its name.
        named.sort(key=lambda member: not f"/{member['name']}".endswith(f"/{wanted.name}"))
        groups = group_by_place(named, lambda member: (member["container"], member["name"]))
        return groups[0] if groups else []

    def _read(self, members: Sequence[Mapping[str, Any]]) -> VoiceAnswer:
        first = members[0]
        path = path_of(self._sources[first["source"]], first["container"])
        try:
            if len(members) > 1:
                contents = (self._reader.read(address_of(member)) for member in members)
                check_alike(contents, first["name"], (member["offset"] for member in members))
            return VoiceAnswer(path, self._reader.read(address_of(first)))
        except PixelError as error:
            return VoiceAnswer(path, error)


class _AskedVoices(abc.ABC):
    """Recordings that are asked for by address."""

    @abc.abstractmethod
    def _fetch(self, wanted: Sequence[Wanted]) -> Iterator[bytes | PixelError]:
        """Yields the content of each recording, or why it can't be had, in order."""

    @abc.abstractmethod
    def _address(self, wanted: Wanted) -> str:
        """Returns the address of a recording."""

    def ask(self, wanted: Sequence[Wanted]) -> Iterator[VoiceAnswer]:
        answers = self._fetch([each for each in wanted if not is_unsafe(each.name)])
        for each in wanted:
            if is_unsafe(each.name):
                problem = f"{each.name!a} is no path below another"
                yield VoiceAnswer(None, PixelError(Reason.UNSAFE_PATH, problem))
            else:
                yield VoiceAnswer(self._address(each), next(answers))


class HttpVoices(_AskedVoices):
    """Recordings over HTTP, by a template with `{voice_recording}`."""

    def __init__(self, source: Source, options: HttpOptions) -> None:
        # Imported only here, since it takes a moment.
        from transforms.sources.http import HttpFetcher

        self._template = source.path
        self._fetcher = HttpFetcher(options, uses_netrc=True)

    def close(self) -> None:
        self._fetcher.close()

    def _fetch(self, wanted: Sequence[Wanted]) -> Iterator[bytes | PixelError]:
        from transforms.sources.http import Request

        return self._fetcher.fetch([Request(self._address(each)) for each in wanted])

    def _address(self, wanted: Wanted) -> str:
        return _filled(self._template, wanted, quote(wanted.name))


class ObjectVoices(_AskedVoices):
    """Recordings of a bucket, by a prefix or a template with `{voice_recording}`."""

    def __init__(self, source: Source, options: ObjectOptions) -> None:
        from transforms.sources.objects import ObjectFetcher

        self._bucket, _, path = _split_uri(source.path)
        if PLACEHOLDER not in path:
            path = posixpath.join(path, PLACEHOLDER)
        self._template = path
        self._fetcher = ObjectFetcher(self._bucket, options)

    def close(self) -> None:
        self._fetcher.close()

    def _fetch(self, wanted: Sequence[Wanted]) -> Iterator[bytes | PixelError]:
        return self._fetcher.fetch([self._key(each) for each in wanted])

    def _key(self, wanted: Wanted) -> str:
        return _filled(self._template, wanted, wanted.name)

    def _address(self, wanted: Wanted) -> str:
        return f"{self._bucket}/{self._key(wanted)}"


_MISSING = VoiceAnswer(None, PixelError(Reason.MISSING, "no source of voices has it"))


def _split_uri(uri: str) -> tuple[str, str, str]:
    """Splits `gs://bucket/path` at the slash before the path."""
    scheme, _, rest = uri.partition("://")
    bucket, slash, path = rest.partition("/")
    return f"{scheme}://{bucket}", slash, path


def is_unsafe(name: str) -> bool:
    """Returns whether a recording's name is no path below a folder or address."""
    return not name or leads_out(name) or "\\" in name


def _filled(template: str, wanted: Wanted, name: str) -> str:
    filled = template.replace("{split}", wanted.split).replace("{image_id}", wanted.image_id)
    return filled.replace(PLACEHOLDER, name)
