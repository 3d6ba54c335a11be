"""Writes a synthetic corpus in the formats that Open Images publishes."""

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from open_images.synthesis.bulk import write_bulk
from open_images.synthesis.corpus import write_corpus
from open_images.synthesis.definitions import write_definitions
from open_images.synthesis.voices import check_encoder
from open_images.values import count
from pipelines.cli.arguments import Parser, add_num_workers, converted
from pipelines.cli.output import exit_code_of, program_name
from transforms.errors import UsageError
from transforms.system import program

_PROGRAM = program_name("synthesize")

_EXAMPLES = """\
examples:
  # 200 drawn pictures with all annotations of V7, to look at and to build from
  python -m pipelines.synthesize --output corpus
  python -m pipelines.build --annotations corpus/annotations \\
      --images corpus/images --masks corpus/masks --output dataset

  # also with recordings of the narratives, for --voices of a build
  python -m pipelines.synthesize --output spoken --voices

  # the V3 files, the pictures in one zip for each split
  python -m pipelines.synthesize --output v3 --release v3 --pixels zip

  # a load test: a million images' annotations at the published proportions, without pictures
  python -m pipelines.synthesize --output million --images 1000000 --pixels none

The pictures show simple scenes, and their boxes, masks, points, relationships and narratives agree
with the pixels. The same flags and seed give the same bytes, whatever --num_workers.
"""


def _parser() -> Parser:
    parser = Parser(program="synthesize", description=__doc__ or "", epilog=_EXAMPLES)
    add, number = parser.add_argument, converted(count)
    add("--output", metavar="DIR", type=Path, required=True, help="a new or empty folder")
    add("--images", metavar="N", type=number, default=200, help="how many images; default: 200")
    pixels = "how pictures are stored; none: annotations alone, fast, millions of images"
    add("--pixels", choices=("folder", "tar", "zip", "none"), default="folder", help=pixels)
    add("--release", choices=("v7", "v3"), default="v7", help="which formats; default: v7")
    add("--seed", metavar="N", type=int, default=0, help="decides on everything; default: 0")
    add_num_workers(parser)
    narratives = "size of a narrative's line with --pixels none; default: 3000"
    add("--narrative_bytes", metavar="N", type=number, default=3000, help=narratives)
    voices = (
        "also write recordings of the narratives to voices/, OGG, in which a tone stands for each "
        "utterance of timed_caption; needs the extra 'voices' (soundfile)"
    )
    add("--voices", action="store_true", help=voices)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the program; returns the exit code: 0 done, 1 failed, 2 wrong use."""
    flags = _parser().parse_args(arguments)
    return exit_code_of(_PROGRAM, partial(_synthesize, flags))


def _synthesize(flags: argparse.Namespace) -> int:
    if flags.voices:
        if flags.pixels == "none" or flags.release != "v7":
            raise UsageError(
                "--voices: recordings are of narratives, which --release v7 has, and go with "
                "pictures: leave out --pixels none and --release v3"
            )
        check_encoder()
    try:
        flags.output.mkdir(parents=True, exist_ok=True)
        if any(flags.output.iterdir()):
            raise FileExistsError(0, "is not empty; name a new folder")
    except OSError as error:
        raise UsageError(f"--output {flags.output}: {error.strerror}") from None
    annotations = flags.output / "annotations"
    write_definitions(annotations, flags.release)
    common = flags.images, flags.release, flags.seed, flags.num_workers
    if flags.pixels == "none":
        write_bulk(annotations, *common, flags.narrative_bytes)
    else:
        write_corpus(flags.output, flags.pixels, *common, flags.voices)
    return 0


if __name__ == "__main__":
    program.begin(_PROGRAM)
    program.run(main)
