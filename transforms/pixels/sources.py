"""From the pixel sources of a build to what fetches from them."""

from itertools import groupby

from transforms.config import BuildConfig
from transforms.elements import LISTED, Source
from transforms.pixels.fetch import MemberSource, PictureSource


def open_sources(config: BuildConfig) -> list[PictureSource]:
    """What to ask for pictures, in the order of `--images`; neighbours that are listed as one."""
    pictures = [source for source in config.sources if source.kind == "pictures"]
    opened: list[PictureSource] = []
    for listed, some in groupby(pictures, key=lambda source: source.medium in LISTED):
        if listed:
            opened.append(MemberSource(config.sources, [source.index for source in some]))
        else:
            opened += [_open_remote(source, config) for source in some]
    return opened


def _open_remote(source: Source, config: BuildConfig) -> PictureSource:
    # Only here, since libcurl can't be loaded beside TensorFlow's own once that has been.
    from transforms.pixels.remote import HttpSource, ObjectSource

    if source.medium in ("s3", "gs"):
        return ObjectSource(source, config.object_options)
    return HttpSource(source, config.http_options)
