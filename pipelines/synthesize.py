"""Writes a synthetic corpus in the formats that Open Images publishes."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from open_images.synthesis.bulk import write_bulk
from open_images.synthesis.corpus import write_corpus
from open_images.synthesis.definitions import write_definitions
from open_images.values import count
from pipelines.cli.arguments import Parser, add_num_workers, converted
from pipelines.cli.output import fail, program_name
from transforms.system import program
from transforms.system.processes import WorkerError

_PROGRAM = program_name("synthesize")

_EXAMPLES = """\
examples:
  # 200 drawn pictures with all annotations of V7, to look at and to build from
  python -m pipelines.synthesize --output corpus
  python -m pipelines.build --annotations corpus/annotations \\
      --images corpus/images --masks corpus/masks --output dataset

  # the V3 files, the pictures in one zip for each split
  python -m pipelines.synthesize --output v3 --release v3 --pixels zip

  # a load test: a million images' annotations at the published proportions, without pictures
  python -m pipelines.synthesize --output million --images 1000000 --pixels none

The pictures show simple scenes, and their boxes, masks, points, relationships and narratives agree
with the pixels. The same flags and seed give the same bytes, whatever --num_workers.
"""


def _parser() -> Parser:
    number = converted(count)
    parser = Parser(program="synthesize", description=__doc__ or "", epilog=_EXAMPLES)
    add = parser.add_argument
    add("--output", metavar="DIR", type=Path, required=True, help="a new or empty folder")
    add(
        "--images",
        metavar="N",
        type=number,
        default=200,
        help="how many images; default: 200",
    )
    add(
        "--pixels",
        choices=("folder", "tar", "zip", "none"),
        default="folder",
        help="how pictures are stored; none: annotations alone, fast, millions of images",
    )
    add("--release", choices=("v7", "v3"), default="v7", help="which formats; default: v7")
    add("--seed", metavar="N", type=int, default=0, help="decides on everything; default: 0")
    add_num_workers(parser)
    add(
        "--narrative_bytes",
        metavar="N",
        type=number,
        default=3000,
        help="size of a narrative's line with --pixels none; default: 3000",
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the program.

    Args:
      arguments: of the command line, without the program's name.

    Returns:
      The exit code: 0 done, 1 failed, 2 wrong use.
    """
    parser = _parser()
    flags = parser.parse_args(arguments)
    try:
        flags.output.mkdir(parents=True, exist_ok=True)
        if any(flags.output.iterdir()):
            raise FileExistsError(0, "is not empty; name a new folder")
    except OSError as error:
        return fail(parser.prog, f"--output {flags.output}: {error.strerror}", 2)
    try:
        _write(flags)
    except WorkerError as error:
        return fail(_PROGRAM, str(error), 1)
    return 0


def _write(flags: argparse.Namespace) -> None:
    annotations = flags.output / "annotations"
    write_definitions(annotations, flags.release)
    common = flags.images, flags.release, flags.seed, flags.num_workers
    if flags.pixels == "none":
        write_bulk(annotations, *common, flags.narrative_bytes)
    else:
        write_corpus(flags.output, flags.pixels, *common)


if __name__ == "__main__":
    program.begin(_PROGRAM)
    program.run(main)
