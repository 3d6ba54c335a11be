"""The flags of a build: names, defaults, how values are checked, and help. The only list of them.

The command line takes them as `--NAME`, the library as keywords.
"""

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import Literal

from open_images import values
from open_images.building.format_flags import FormatFlags
from open_images.building.selection_flags import SelectionFlags
from runners.launch import RUNNERS
from transforms.dataset.naming import SPLIT_ALIASES, SPLITS
from transforms.errors import UsageError
from transforms.formats.registry import DEFAULT, FORMATS
from transforms.kinds.names import TABLES, VOCABULARY

_SHARD_SIZE = 256 << 20

# Flags by the heading of `--help` that they are listed under.
input_flag = partial(values.flag, group="inputs")
output_flag = partial(values.flag, group="output")
rate_flag = partial(output_flag, values.fraction, 0.01, metavar="FRACTION")
pixel_flag = partial(values.flag, group="pixels")
pixel_switch = partial(pixel_flag, values.switch, False)
running_flag = partial(values.flag, group="running", recorded=False)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExampleFlags(SelectionFlags):
    """The flags that decide what examples hold."""

    annotations: Sequence[str] = input_flag(
        values.paths,
        metavar="[KIND=]PATH",
        help="annotation file, folder (walked) or glob, here or s3://… or gs://…; repeatable. The "
        "kind is told from the header or content; KIND= overrides: "
        f"{', '.join((*TABLES, *VOCABULARY))}. CSV, TSV or JSON Lines, plain, gzipped or in a zip, "
        "tar or tar.gz",
    )
    images: Sequence[str] = input_flag(
        values.paths,
        metavar="[KIND=]PATH",
        help="pictures: a folder, tar, tar.gz or zip of them (told from the content), or a "
        "folder or glob of such archives; http(s)://… with {split} and {image_id}; s3://bucket/… "
        "or gs://bucket/…, whose pictures are asked for by name unless it is an archive or a glob "
        "of them, or KIND is folder; 'original' or 'thumbnail', the published addresses; "
        "repeatable, tried in the order given. 'none' builds annotations alone",
    )
    s3_endpoint_url: str | None = input_flag(
        values.url, None, metavar="URL", help="of a store like S3, for s3://"
    )
    allow_private_hosts: bool = input_flag(
        values.switch,
        False,
        help="let pictures come from private and loopback addresses, and through a proxy",
    )
    masks: Sequence[str] = input_flag(
        values.paths,
        (),
        metavar="PATH",
        help="folder, zip, tar or tar.gz of mask PNGs, or a folder or glob of these, here or "
        "s3://… or gs://…; repeatable",
    )
    voices: Sequence[str] = input_flag(
        values.paths,
        (),
        metavar="[KIND=]PATH",
        help="recordings of narratives, OGG: a folder, tar, tar.gz or zip of them, or a folder or "
        "glob of such archives, where each is found by its file's name; or asked for by its "
        "published path, http(s)://…/{voice_recording} or s3://bucket/prefix or gs://…; "
        "repeatable, tried in the order given",
    )
    splits: Sequence[str] | None = input_flag(
        values.Choices(SPLITS, SPLIT_ALIASES),
        None,
        metavar="NAMES",
        help=f"which to build, of {','.join(SPLITS)} (or val); default: all that are there",
    )
    mask_maps: Sequence[str] = output_flag(
        values.Choices(("instance", "semantic")),
        (),
        metavar="NAMES",
        help="also write a 16-bit PNG an image: instance (mask number from 1), semantic (class "
        "index from 1), or both",
    )
    verify_pixels: bool = pixel_switch(
        help="decode every picture in full, strictly, and leave out what is damaged anywhere; "
        "otherwise its header and end are checked. stored bytes pass through unchanged either way, "
        "but for an EXIF orientation, unless a flag below asks for a change",
    )
    verify_voices: bool = pixel_switch(
        help="decode every recording of --voices in full; otherwise its pages, their checksums and "
        "its headers are checked. Needs the extra 'voices' (soundfile) on all workers",
    )
    keep_exif_orientation: bool = pixel_switch(
        help="leave the orientation in the EXIF data of pictures; otherwise it is set to 1, and "
        "nothing else of the stored bytes: many readers turn a picture by it, and boxes, masks and "
        "points are in the frame of the picture as it is stored",
    )
    resize: Literal["none", "shortest", "longest", "exact"] = pixel_flag(
        ("none", "shortest", "longest", "exact"),
        "none",
        help="which side --image_size is for, the other keeping the proportions; exact makes every "
        "picture a square of that side, smaller ones too. Default: none",
    )
    image_size: int | None = pixel_flag(
        values.count, None, metavar="N", help="pixels of that side, with --resize"
    )
    allow_upscale: bool = pixel_switch(
        help="let --resize shortest and longest make pictures larger, too; exact always does",
    )
    apply_rotation: bool = pixel_switch(
        help="turn pictures upright by their published Rotation, with boxes, points, clicks, "
        "relationships, traces and masks; the column rotation is 0 then, and published_rotation "
        "as before",
    )
    image_encoding: Literal["keep", "jpeg", "png", "webp"] = pixel_flag(
        ("keep", "jpeg", "png", "webp"),
        "keep",
        help="format of the pictures written; default: keep that of each",
    )
    quality: int = pixel_flag(
        values.up_to(100),
        90,
        metavar="N",
        help="of JPEG and WebP, 1 to 100, where a picture is encoded again; default: 90",
    )

    chunk_size: int | None = running_flag(
        values.size,
        None,
        metavar="BYTES",
        recorded=True,
        help="bytes of an annotation file that a worker reads at once; default: 8MiB",
    )

    def __post_init__(self) -> None:
        values.convert_fields(self)


@dataclasses.dataclass(frozen=True, kw_only=True)
class BuildFlags(ExampleFlags, FormatFlags):
    """All flags of a build."""

    release: str | None = input_flag(
        values.release,
        None,
        metavar="NAME",
        help="the dataset's version for readers, such as v7 in tfds.load('open_images/v7'); "
        "default: v3 where the image tables have no Rotation, else v7",
    )
    output: str = output_flag(
        values.path,
        metavar="PATH",
        recorded=False,
        help="folder to publish versions in, or s3://… or gs://…",
    )
    format: Sequence[str] = output_flag(
        values.Choices(FORMATS),
        DEFAULT,
        metavar="NAMES",
        help=f"of {', '.join(FORMATS)}; repeatable, or comma separated. Default: "
        f"{','.join(DEFAULT)}",
    )
    shard_size: int = output_flag(
        values.size,
        _SHARD_SIZE,
        metavar="BYTES",
        help="how large the files of a split are to be, such as 64MiB: as many as that makes, but "
        "8 or more where the split has some 200 images, so that a data loader with 8 workers has a "
        "file for each. No file is much larger; files may be smaller. Default: 256MiB",
    )
    num_shards: int | None = output_flag(
        values.count,
        None,
        metavar="N",
        help="write each split in N files a format, whatever their size; a split of fewer images "
        "in as many as it has images",
    )
    max_failure_rate: float = rate_flag(
        help="fraction of the images that may fail; above it nothing is published. Default: 0.01",
    )
    max_bad_rate: float = rate_flag(
        help="fraction of the rows of any table that may be bad, of the masks of any split that "
        "may lack pixels, and of its recordings that --voices may lack; above it nothing is "
        "published. Default: 0.01",
    )
    rebuild: bool = output_flag(
        values.switch,
        False,
        recorded=False,
        help="build even where neither inputs nor flags have changed since the latest version",
    )
    runner: str = running_flag(
        RUNNERS,
        "direct",
        help="where to run; default: direct, this machine. prism: likewise, by Beam's Prism. "
        "flink: a cluster (--flink_master HOST:PORT, or --job_endpoint); without one, a Flink in a "
        "process of this machine. dataflow: Google Cloud",
    )
    num_workers: int | None = running_flag(
        values.count,
        None,
        metavar="N",
        help="processes; default: the cores, or on a cluster what it has",
    )
    exchange: str | None = running_flag(
        ("files", "engine"),
        None,
        recorded=True,
        help="whether rows meet through files of the work folder, which all workers must see, or "
        "in the runner's memory; default: files, but engine on dataflow",
    )
    work_folder: str | None = running_flag(
        values.path,
        None,
        metavar="PATH",
        help="for an --output in an object store: a local folder for temporary files, seen by all "
        "workers; default: a temporary one of this machine, or with --exchange engine the object "
        "store",
    )
    worker_timeout: int = running_flag(
        values.count,
        300,
        metavar="SECONDS",
        help="on Flink: for how long all workers may be silent before the build fails, where they "
        "ought to say every few seconds that they live; where they work in an object store alone "
        "they can't, and it is for how long they may take to begin. Default: 300",
    )
    wait: int = running_flag(
        values.natural,
        0,
        metavar="SECONDS",
        help="for how long to wait for another build at work on the same output; default: not at "
        "all. One that gives no sign of life for a minute, or in an object store five, is taken "
        "over from",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_shards is not None and self.shard_size != _SHARD_SIZE:
            raise UsageError("argument --num_shards: not allowed with argument --shard_size")
        if self.exchange is None:
            exchange = "engine" if self.runner == "dataflow" else "files"
            object.__setattr__(self, "exchange", exchange)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlanFlags(BuildFlags):
    """The flags of a build, whose output needn't be given: nothing is written there."""

    output: str = values.optional(BuildFlags, "output", "")


@dataclasses.dataclass(frozen=True, kw_only=True)
class DoctorFlags(BuildFlags):
    """The flags of a build, none of them required, and some of the doctor's own."""

    annotations: Sequence[str] = values.optional(BuildFlags, "annotations", ())
    images: Sequence[str] = values.optional(BuildFlags, "images", ())
    output: str = values.optional(BuildFlags, "output", "")
    time_limit: float = values.flag(
        values.seconds,
        60,
        group="doctor",
        metavar="SECONDS",
        help="for workers to start and answer; default: 60",
    )
    free_space: int = values.flag(
        values.size,
        1 << 30,
        group="doctor",
        metavar="BYTES",
        help="what must be free in a local work folder, and for temporary files of workers; "
        "default: 1GiB. A build writes about the size of its annotations and pictures there",
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class UnpublishedFlags(ExampleFlags):
    """The flags of examples that aren't published."""

    work_folder: str | None = values.flag(
        values.path,
        None,
        metavar="PATH",
        help="a folder that all workers see, for rows on their way, and unpacked tar.gz archives: "
        "what is written there stays. Default: none, rows meet in the runner's shuffle; on one "
        "machine that is its memory",
    )


def recorded_flags(flags: BuildFlags) -> dict[str, object]:
    """Returns the flags that a manifest records, sorted by name."""
    return {
        field.name: getattr(flags, field.name)
        for field in sorted(dataclasses.fields(flags), key=lambda field: field.name)
        if field.metadata["recorded"]
    }
