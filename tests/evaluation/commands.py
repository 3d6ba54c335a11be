"""Runs the command in this process."""

import contextlib
import io
from typing import NamedTuple

from pipelines import evaluate


class Done(NamedTuple):
    """An evaluation that was run."""

    code: int
    stdout: str
    stderr: str

    @property
    def error(self) -> str:
        """The last line that it said."""
        return self.stderr.strip().splitlines()[-1]


def run_evaluate(*arguments: object) -> Done:
    """Runs `evaluate`, with one worker if nothing is said of them."""
    texts = [str(argument) for argument in arguments]
    if "--num_workers" not in texts:
        texts += ["--num_workers", "1"]
    stdout, stderr = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
        try:
            code = evaluate.main(texts)
        except SystemExit as error:
            code = error.code
    return Done(code, stdout.getvalue(), stderr.getvalue())
