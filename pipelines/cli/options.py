"""The command line of `python -m pipelines.build`; imports nothing heavy: `--help` is instant."""

import argparse
import os
from collections.abc import Sequence

from pipelines.cli.arguments import (
    SPLIT_NAMES,
    Parser,
    add_store,
    choices,
    count,
    fraction,
    size,
    unknown_flag,
)
from runners import launch
from runners.flink import options as flink
from runners.launch import RUNNERS
from transforms.dataset.naming import SPLITS
from transforms.errors import UsageError
from transforms.formats.registry import DEFAULT, FORMATS

_PROGRAM = "python -m pipelines.build"

_DESCRIPTION = """\
Builds a training dataset from Open Images: joins every annotation of an image, adds the picture and
its masks, and writes shuffled shards that tf.data, TFDS, Hugging Face datasets, PyTorch and DuckDB
load.
"""

_EXAMPLES = """\
examples:
  # everything: a folder of published files, pictures in a folder, masks in zips
  python -m pipelines.build --annotations oid/annotations --images oid/images \\
      --masks 'oid/masks/*.zip' --output oid/dataset

  # annotations alone, as Parquet for DuckDB or Polars
  python -m pipelines.build --annotations oid/annotations --images none \\
      --format parquet --output ann

  # pictures upright, their shorter side 256 pixels
  python -m pipelines.build --annotations oid/annotations --images oid/images \\
      --resize shortest --image_size 256 --apply_rotation --output small

  # the validation split, pictures from a tar, with an instance map a picture
  python -m pipelines.build --annotations oid/annotations --images validation.tar \\
      --masks oid/masks --mask_maps instance --splits validation --output val

flags that are not listed here go to Apache Beam; an unknown flag is an error.
exit codes: 0 published, or unchanged since the latest version; 1 failed, and
nothing published unless the error says so; 2 wrong use; 3 another build is at work on the same
output, and nothing was done.
"""

MIB = 1 << 20


def _quality(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 100:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 100")
    return int(text)


def _release(text: str) -> str:
    if not text.isidentifier():
        raise argparse.ArgumentTypeError(f"{text!r}: letters, digits and _ only, such as v7")
    return text


def make_parser(required: bool = True) -> Parser:
    """The parser of our own flags; those of Beam are left over.

    Args:
        required: whether inputs and output must be given.
    """
    parser = Parser(
        prog=_PROGRAM,
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
    )
    inputs = parser.add_argument_group("inputs")
    inputs.add_argument(
        "--annotations",
        action="append",
        required=required,
        metavar="[KIND=]PATH",
        help="annotation file, folder (walked) or glob, here or s3://… or gs://…; repeatable. The "
        "kind is told from the "
        "header or content; KIND= overrides: images, boxes, person_boxes, masks, relationships, "
        "narratives, points, image_labels, classes, class_list, hierarchy. CSV, TSV or JSON Lines, "
        "plain, gzipped or in a zip, tar or tar.gz",
    )
    inputs.add_argument(
        "--images",
        action="append",
        required=required,
        metavar="[KIND=]PATH",
        help="pictures: a folder, tar, tar.gz or zip of them (told from the content), or a "
        "folder or glob of such archives; http(s)://… with {split} and {image_id}; s3://bucket/… "
        "or gs://bucket/…, whose pictures are asked for by name unless it is an archive or a glob "
        "of them, or KIND is folder; 'original' or 'thumbnail', the published addresses; "
        "repeatable, tried in the order given. 'none' builds annotations alone",
    )
    add_store(inputs)
    inputs.add_argument(
        "--allow_private_hosts",
        action="store_true",
        help="let pictures come from private and loopback addresses, and through a proxy",
    )
    inputs.add_argument(
        "--masks",
        action="append",
        default=[],
        metavar="PATH",
        help="folder, zip, tar or tar.gz of mask PNGs, or a folder or glob of these, here or "
        "s3://… or gs://…; repeatable",
    )
    inputs.add_argument(
        "--splits",
        type=choices(SPLITS, SPLIT_NAMES),
        metavar="NAMES",
        help=f"which to build, of {','.join(SPLITS)} (or val); default: all that are there",
    )
    inputs.add_argument(
        "--release",
        type=_release,
        metavar="NAME",
        help="the dataset's version for readers, such as v7 in tfds.load('open_images/v7'); "
        "default: v3 where the image tables have no Rotation, else v7",
    )

    output = parser.add_argument_group("output")
    output.add_argument(
        "--output",
        required=required,
        metavar="PATH",
        help="folder to publish versions in, or s3://… or gs://…",
    )
    output.add_argument(
        "--format",
        type=choices(FORMATS),
        default=DEFAULT,
        metavar="NAMES",
        help=f"of {','.join(FORMATS)}; default: {','.join(DEFAULT)}",
    )
    shards = output.add_mutually_exclusive_group()
    shards.add_argument(
        "--shard_size",
        type=size,
        default=256 * MIB,
        metavar="BYTES",
        help="how large the files of a split are to be, such as 64MiB: as many as that makes, but "
        "8 or more where the split has some 200 images, so that a data loader with 8 workers has a "
        "file for each. No file is much larger; files may be smaller. Default: 256MiB",
    )
    shards.add_argument(
        "--num_shards",
        type=count,
        metavar="N",
        help="write each split in N files a format, whatever their size; a split of fewer images "
        "in as many as it has images",
    )
    output.add_argument(
        "--mask_maps",
        type=choices(("instance", "semantic")),
        default=(),
        metavar="NAMES",
        help="also write a 16-bit PNG an image: instance (mask number from 1), semantic (class "
        "index from 1), or both",
    )
    output.add_argument(
        "--max_failure_rate",
        type=fraction,
        default=0.01,
        metavar="FRACTION",
        help="fraction of the images that may fail; above it nothing is published. Default: 0.01",
    )

    output.add_argument(
        "--max_bad_rate",
        type=fraction,
        default=0.01,
        metavar="FRACTION",
        help="fraction of the rows of any table that may be bad, and of the masks of any split "
        "that may lack pixels; above it nothing is published. Default: 0.01",
    )
    output.add_argument(
        "--rebuild",
        action="store_true",
        help="build even where neither inputs nor flags have changed since the latest version",
    )

    pixels = parser.add_argument_group("pixels")
    pixels.add_argument(
        "--verify_pixels",
        action="store_true",
        help="decode every picture in full, strictly, and leave out what is damaged anywhere; "
        "otherwise its header and end are checked. stored bytes pass through unchanged either way, "
        "but for an EXIF orientation, unless a flag below asks for a change",
    )
    pixels.add_argument(
        "--keep_exif_orientation",
        action="store_true",
        help="leave the orientation in the EXIF data of pictures; otherwise it is set to 1, and "
        "nothing else of the stored bytes: many readers turn a picture by it, and boxes, masks and "
        "points are in the frame of the picture as it is stored",
    )

    pixels.add_argument(
        "--resize",
        choices=("none", "shortest", "longest", "exact"),
        default="none",
        help="which side --image_size is for, the other keeping the proportions; exact makes every "
        "picture a square of that side, smaller ones too. Default: none",
    )
    pixels.add_argument(
        "--image_size", type=count, metavar="N", help="pixels of that side, with --resize"
    )
    pixels.add_argument(
        "--allow_upscale",
        action="store_true",
        help="let --resize shortest and longest make pictures larger, too; exact always does",
    )
    pixels.add_argument(
        "--apply_rotation",
        action="store_true",
        help="turn pictures upright by their published Rotation, with boxes, points, clicks, "
        "relationships, traces and masks; the column rotation is 0 then, and published_rotation "
        "as before",
    )
    pixels.add_argument(
        "--image_encoding",
        choices=("keep", "jpeg", "png", "webp"),
        default="keep",
        help="format of the pictures written; default: keep that of each",
    )
    pixels.add_argument(
        "--quality",
        type=_quality,
        default=90,
        metavar="N",
        help="of JPEG and WebP, 1 to 100, where a picture is encoded again; default: 90",
    )

    running = parser.add_argument_group("running")
    running.add_argument(
        "--runner",
        choices=RUNNERS,
        default="direct",
        help="where to run; default: direct, this machine. prism: likewise, by Beam's Prism. "
        "flink: a cluster (--flink_master HOST:PORT, or --job_endpoint); without one, a Flink in a "
        "process of this machine. dataflow: Google Cloud",
    )
    running.add_argument(
        "--num_workers",
        type=count,
        metavar="N",
        help="processes; default: the cores, or on a cluster what it has",
    )
    running.add_argument(
        "--exchange",
        choices=("files", "engine"),
        help="whether rows meet through files of the work folder, which all workers must see, or "
        "in the runner's memory; default: files, but engine on dataflow",
    )
    running.add_argument(
        "--work_folder",
        metavar="PATH",
        help="for an --output in an object store: a local folder for temporary files, seen by all "
        "workers; default: a temporary one of this machine, or with --exchange engine the object "
        "store",
    )
    running.add_argument(
        "--worker_timeout",
        type=count,
        default=300,
        metavar="SECONDS",
        help="on Flink: for how long all workers may be silent before the build fails, where they "
        "ought to say every few seconds that they live; where they work in an object store alone "
        "they can't, and it is for how long they may take to begin. Default: 300",
    )
    running.add_argument(
        "--wait",
        type=count,
        default=0,
        metavar="SECONDS",
        help="for how long to wait for another build at work on the same output; default: not at "
        "all. One that gives no sign of life for a minute, or in an object store five, is taken "
        "over from",
    )
    running.add_argument(
        "--report",
        choices=("text", "json"),
        default="text",
        help="what to print at the end: tables, or one line of JSON, however it ended. Default: "
        "text",
    )
    running.add_argument(
        "--metrics_file",
        metavar="PATH",
        help="where to leave figures of this build and the published version for Prometheus, such "
        "as a .prom file in the folder of node_exporter's textfile collector",
    )
    running.add_argument(
        "--chunk_size",
        type=size,
        metavar="BYTES",
        help="bytes of an annotation file that a worker reads at once; default: 8MiB",
    )
    return parser


def parse(
    arguments: Sequence[str], parser: Parser | None = None
) -> tuple[argparse.Namespace, list[str]]:
    """Parses a command line.

    Args:
        arguments: of the command line.
        parser: that of a program which takes more than a build does.

    Returns:
        Our flags, and those for Beam, checked by its own parsers.

    Raises:
        SystemExit: with code 2 and one line on stderr where the use is wrong.
    """
    parser = parser or make_parser()
    flags, others = parser.parse_known_args(arguments)
    flags.exchange = flags.exchange or ("engine" if flags.runner == "dataflow" else "files")
    if others:
        beam = _beam_parser(flags.runner)
        unknown = beam.parse_known_args(others)[1]
        if unknown and not unknown[0].startswith("-"):
            parser.error(_explain_stray(unknown[0], arguments))
        if unknown:
            flags_of_beam = [name for action in beam._actions for name in action.option_strings]
            known = [name for name in flags_of_beam if name.startswith("--")]
            parser.error(unknown_flag(unknown[0], [*known, *parser.flags()]))
    try:
        launch.refuse_too_many(flags, others)
    except UsageError as error:
        parser.error(str(error))
    return flags, others


def _explain_stray(word: str, arguments: Sequence[str]) -> str:
    """Returns the error message for stray words, which an unquoted glob leaves."""
    before = list(arguments[: list(arguments).index(word)])
    flag = next((given for given in reversed(before) if given.startswith("--")), "")
    flag, _, value = flag.partition("=")
    if flag not in ("--annotations", "--images", "--masks"):
        return f"{word!r} belongs to no flag: drop it, or put its flag before it"
    first = value or before[-1]
    folder, suffix = os.path.dirname(word), os.path.splitext(word)[1]
    alike = os.path.splitext(first)[1] == suffix and os.path.dirname(first) == folder
    glob = os.path.join(folder, f"*{suffix}") if alike else "oid/masks/*.zip"
    return (
        f"{word!r} belongs to no flag: quote the glob, so that the shell leaves it as it is: "
        f"{flag} '{glob}'; or repeat {flag} before each path"
    )


def _beam_parser(runner: str) -> argparse.ArgumentParser:
    """The parser of the flags that Beam knows."""
    from apache_beam.options import pipeline_options

    parser = pipeline_options._BeamArgumentParser(
        prog=_PROGRAM,
        usage=argparse.SUPPRESS,
        add_help=False,
        allow_abbrev=False,
        conflict_handler="resolve",
    )
    pending = [pipeline_options.PipelineOptions]
    while pending:
        options = pending.pop()
        pending += options.__subclasses__()
        if "_add_argparse_args" in options.__dict__:
            options._add_argparse_args(parser)
    if runner == "flink":
        for name in flink.WITH_VALUE:
            parser.add_argument(f"--{name}")
        for name in flink.SWITCHES:
            parser.add_argument(f"--{name}", action="store_true")
    return parser
