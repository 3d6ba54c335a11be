"""From the pixel sources of a build to what fetches from them."""

from collections.abc import Sequence
from itertools import groupby

from transforms.dataset.elements import LISTED, Source
from transforms.sources.answers import PictureSource
from transforms.sources.buffer import PictureBuffer
from transforms.sources.limits import HttpOptions
from transforms.sources.stored import MemberSource
from transforms.storage.stores import ObjectOptions


def open_sources(
    sources: Sequence[Source],
    http_options: HttpOptions,
    object_options: ObjectOptions,
    buffer: PictureBuffer | None = None,
) -> list[PictureSource]:
    """Opens sources of pictures in the order of `--images`; listed neighbours become one.

    Args:
        sources: all sources, by index; those of other kinds are passed over.
        http_options: how pictures are asked for over HTTP.
        object_options: how object stores are reached.
        buffer: room for pictures, as for `fetch_pictures`.
    """
    pictures = [source for source in sources if source.kind == "pictures"]
    opened: list[PictureSource] = []
    for listed, some in groupby(pictures, key=lambda source: source.medium in LISTED):
        if not listed:
            opened += [_open_remote(source, http_options, object_options) for source in some]
            continue
        together = list(some)
        # What several sources have is held back until it is its turn.
        room = buffer if together == pictures else None
        opened.append(MemberSource(together, object_options, room))
    return opened


def _open_remote(
    source: Source, http_options: HttpOptions, object_options: ObjectOptions
) -> PictureSource:
    # Imported only here, since they take a moment.
    if source.medium in ("s3", "gs"):
        from transforms.sources.objects import ObjectFetcher

        return ObjectFetcher(source.path, object_options)
    from transforms.sources.http import HttpSource

    return HttpSource(source, http_options)
