"""The command `open-images`: `open-images build` is `python -m pipelines.build`, and so on."""

import importlib
import sys
from functools import partial
from typing import NoReturn

from open_images import __version__
from pipelines.cli import output
from transforms.system import program

_PROGRAMS = {
    "build": "builds a dataset from annotations and pictures",
    "plan": "counts what a build would make, and estimates what it would take",
    "download": "downloads the published files of Open Images, and pictures by a list",
    "verify": "checks that a published version is whole",
    "versions": "lists, compares, rolls back and removes versions",
    "doctor": "checks a runner, a cluster and inputs before a build",
    "evaluate": "measures detections by the metrics of Open Images",
    "draw": "draws examples with their annotations on one sheet",
    "synthesize": "writes a synthetic corpus in the published formats",
}
#: The error of a program that gets a signal before it has begun to work.
_LAST_WORDS = {"build": "interrupted: nothing was published"}
_WIDTH = max(map(len, _PROGRAMS))
_LIST = "\n".join(f"  {name:{_WIDTH}}  {text}" for name, text in _PROGRAMS.items())
_HELP = f"""\
usage: open-images COMMAND [FLAGS]

{_LIST}

open-images COMMAND --help says more; open-images --version prints the version."""


def main() -> NoReturn:
    """Runs the program that the first argument names."""
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    answers = {"--help": _HELP, "-h": _HELP, "--version": f"open-images {__version__}"}
    if name in answers:
        print(answers[name])
        sys.exit(0)
    if name not in _PROGRAMS:
        from open_images.values import none_of

        message = none_of(name, list(_PROGRAMS)) if name else "name a command"
        hint = "" if message.endswith("?") else ": see --help"
        sys.exit(output.fail("open-images", f"{message}{hint}", 2))
    output.call_as_command()
    program.begin(output.program_name(name), _LAST_WORDS.get(name, "interrupted"))
    del sys.argv[1]
    module = importlib.import_module(f"pipelines.{name}")
    getattr(module, "start", partial(program.run, module.main))()
    raise AssertionError("a program ends its process")
