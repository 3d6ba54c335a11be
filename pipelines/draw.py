"""Draws published examples with their annotations on one sheet, to look at."""

from collections.abc import Sequence
from pathlib import Path

from open_images.drawing import Palette, draw_sheet, find_examples, find_version
from open_images.values import natural
from pipelines.cli.arguments import Parser, converted
from pipelines.cli.output import fail, print_result, program_name
from transforms.dataset.naming import SPLIT_ALIASES
from transforms.errors import UsageError
from transforms.releases.manifest import VersionError
from transforms.system import program
from transforms.wording import counted, printable

_PROGRAM = program_name("draw")

_EXAMPLES = """\
examples:
  python -m pipelines.draw oid/dataset --output examples.png
  python -m pipelines.draw oid/dataset --image_id 000002b66c9c498e --output one.png

Boxes and tinted masks have a colour a class; MIAP's boxes of people are dashed. A point is a disc
where the class was confirmed, else a cross. The caption says how many annotations there are, the
narratives, and the labels of the whole image. Without --image_id, images with many kinds of
annotation are chosen.
exit codes: 0 drawn, 2 wrong use.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the program; returns 0, or 2 with a line on stderr where the use was wrong."""
    parser = Parser(program="draw", description=__doc__ or "", epilog=_EXAMPLES)
    add = parser.add_argument
    add("dataset", type=Path, help="the --output of a build, or one version in it; with Parquet")
    add("--output", metavar="PNG", type=Path, required=True, help="the sheet; .jpg works too")
    add("--split", metavar="NAME", help="train, validation or test; default: train, if there")
    add("--images", metavar="N", type=converted(natural), default=6, help="how many; default: 6")
    add("--image_id", metavar="ID", action="append", default=[], help="this image; repeatable")
    flags = parser.parse_args(arguments)
    try:
        if flags.images < 1 or flags.output.suffix not in (".png", ".jpg"):
            raise UsageError("--images must be at least 1, and --output end in .png or .jpg")
        if flags.output.exists() and not flags.output.is_file():
            raise UsageError(f"--output {flags.output} is no file: name one")
        version = find_version(flags.dataset)
        split = SPLIT_ALIASES.get(flags.split, flags.split)
        examples = find_examples(version, split, flags.image_id, flags.images)
        draw_sheet(examples, Palette(version)).save(flags.output)
    except (UsageError, VersionError, OSError) as error:
        return fail(parser.prog, str(error), 2)
    except (ValueError, KeyError, TypeError) as error:  # the files of a version aren't sound
        problem = f"{flags.dataset} can't be drawn ({error}): see python -m pipelines.verify"
        return fail(parser.prog, problem, 2)
    done = f"drew {counted(len(examples), 'example')} on {printable(str(flags.output))}"
    print_result(_PROGRAM, done, done)
    return 0


if __name__ == "__main__":
    program.begin(_PROGRAM)
    program.run(main)
