"""The flags of a download: names, defaults, how values are checked, and help."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from open_images.building.selection_flags import SelectionFlags
from open_images.downloading import catalogue
from open_images.values import (
    Choices,
    convert_fields,
    flag,
    fraction,
    local_path,
    one_of,
    paths,
    seconds,
    switch,
    up_to,
    url,
)
from transforms.dataset.naming import SPLIT_ALIASES

#: The kind of the files that name recordings.
NARRATIVES = "narratives"
_RELEASES, _KINDS = catalogue.names(catalogue.read())
_LEFT_OUT = [kind for kind in _KINDS if kind in catalogue.OPTIONAL_KINDS]


@dataclasses.dataclass(frozen=True, kw_only=True)
class DownloadFlags(SelectionFlags):
    """All flags of a download: what is chosen to be built of, from where, and how it is fetched."""

    output: Path = flag(
        local_path, metavar="DIR", help="gets annotations/, masks/, images/, voices/"
    )
    release: str = flag(
        one_of(_RELEASES),
        _RELEASES[0],
        metavar=f"{{{','.join(_RELEASES)}}}",
        help=f"default: {_RELEASES[0]}",
    )
    kinds: Sequence[str] | None = flag(
        Choices((*_KINDS, catalogue.VOICES)),
        None,
        metavar="NAMES",
        help=f"comma separated, of {', '.join((*_KINDS, catalogue.VOICES))}; default: all that the "
        f"release has, without {', '.join((*_LEFT_OUT, catalogue.VOICES))}; none with "
        "--image_list, and what it needs with a selection. person_boxes are MIAP's, which annotate "
        "people of the boxes once more; voices are the recordings of "
        "the narratives, with --image_list or a selection of these images' alone",
    )
    splits: Sequence[str] | None = flag(
        Choices(catalogue.LIST_SPLITS, SPLIT_ALIASES),
        None,
        metavar="NAMES",
        help="of train, validation, test, and in an image list challenge2018; default: all",
    )
    base_url: str | None = flag(
        url,
        None,
        metavar="URL",
        help="a mirror: below it are the published paths, such as v5/test-annotations-bbox.csv, "
        "or the files by their names; default: where each file is published",
    )
    image_list: Path | None = flag(
        local_path, None, metavar="FILE", help="get pictures: SPLIT/IMAGE_ID a line"
    )
    images: Sequence[str] = flag(
        paths,
        (),
        metavar="[KIND=]PATH",
        help="where these pictures are, all that pipelines.build takes: http(s)://… with {split} "
        "and {image_id}; s3://bucket/… or gs://bucket/…; 'original' or 'thumbnail', the published "
        "addresses; a folder, tar, tar.gz or zip, or a folder or glob of such archives; "
        "repeatable, tried in the order given; 'none' with a selection for no pictures; default: "
        f"the public bucket, {catalogue.PICTURES_URL}",
    )
    annotations: Sequence[str] = flag(
        paths,
        (),
        metavar="PATH",
        help="image tables, or folders of them: they hold the addresses that --images original "
        "and thumbnail ask for. With a selection, annotation files that it is made of beside those "
        "that are downloaded",
    )
    s3_endpoint_url: str | None = flag(
        url, None, metavar="URL", help="of a store like S3, for s3://"
    )
    allow_private_hosts: bool = flag(
        switch,
        False,
        help="let pictures and recordings come from private and loopback addresses, and through "
        "a proxy",
    )
    max_failure_rate: float = flag(
        fraction,
        0.01,
        metavar="FRACTION",
        help="fraction of the pictures, and of the recordings, that may be missing or fail; "
        "default: 0.01",
    )
    list: bool = flag(switch, False, help="print files and sizes, and download nothing")
    verify: bool = flag(
        switch,
        False,
        help="check files that are there by their checksums too, pictures by "
        "decoding them, and recordings by the checksums of their pages",
    )
    num_connections: int = flag(up_to(256), 8, metavar="N", help="files at once; default: 8")
    timeout: float = flag(
        seconds,
        60.0,
        metavar="SECONDS",
        help="without bytes, after which a connection is tried anew; default: 60",
    )

    def __post_init__(self) -> None:
        convert_fields(self)

    @property
    def all_splits(self) -> Sequence[str]:
        """The splits that are wanted, by name."""
        return self.splits or catalogue.LIST_SPLITS

    @property
    def file_kinds(self) -> Sequence[str] | None:
        """The kinds of files that are wanted; recordings are named by those of narratives."""
        if self.kinds is None or not self.with_voices:
            return self.kinds
        others = [kind for kind in self.kinds if kind != catalogue.VOICES]
        return list(dict.fromkeys([*others, NARRATIVES]))

    @property
    def with_voices(self) -> bool:
        """Whether recordings of narratives are wanted."""
        return catalogue.VOICES in (self.kinds or ())

    @property
    def has_selection(self) -> bool:
        """Whether images or annotations are chosen."""
        return any(
            getattr(self, field.name) != field.default
            for field in dataclasses.fields(SelectionFlags)
        )
