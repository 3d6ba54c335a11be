"""Builds a dataset: `python -m pipelines.build --help`."""

import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from functools import partial

from pipelines import options


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a build.

    Returns:
        The exit code: 0 published, 1 failed and nothing published, 2 wrong use.
    """
    logging.basicConfig(level=logging.ERROR)
    # Beam logs every exception of a worker that it also raises here.
    logging.getLogger("apache_beam").setLevel(logging.CRITICAL)
    flags, beam_arguments = options.parse(sys.argv[1:] if arguments is None else arguments)
    # Beam takes a second to import: not before the flags are known to be right.
    from pipelines import graph, plan, report, workspace
    from pipelines.watch import Watch
    from runners import direct
    from transforms.publishing.publish import OUTCOME

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    started = time.monotonic()
    try:
        with workspace.workspace(flags.output) as work:
            config = plan.make_config(flags, work)
            vocabulary = plan.read_vocabulary(config.sources)
            with Watch(config):
                define = partial(graph.define_pipeline, config=config, vocabulary=vocabulary)
                direct.run(define, flags.num_workers, beam_arguments)
            with open(os.path.join(work, OUTCOME)) as file:
                outcome = json.load(file)
    except (plan.UsageError, workspace.OutputError) as error:
        return _fail(str(error), 2)
    except KeyboardInterrupt:
        return _fail("interrupted: nothing was published", 1)
    except Exception as error:
        return _fail(_explain(error), 1)
    print(report.render(outcome, config, time.monotonic() - started))
    if outcome["version"] is None:
        return _fail(report.rejection(outcome, config), 1)
    return 0


def _interrupt(*_: object) -> None:
    # What the runner's threads say of workers that are being ended is of no use to anybody.
    threading.excepthook = lambda _: None
    raise KeyboardInterrupt


def _fail(message: str, code: int) -> int:
    print(f"python -m pipelines.build: error: {message}", file=sys.stderr)
    return code


def _explain(error: Exception) -> str:
    """The cause of a failed build in a line; for what the user can't mend, its traceback too."""
    text = str(error).strip()
    cause = text.splitlines()[-1] if text else repr(error)
    for known, remedy in _REMEDIES.items():
        if known in text:
            return f"{remedy} ({cause}); nothing was published"
    logging.error("the build failed", exc_info=error)
    return f"{cause}; nothing was published"


_REMEDIES = {
    "No space left on device": "the disk is full: free some space, or name another --output",
    "Permission denied": "a file can't be opened: mind its permissions",
    "not read back as it was written": "check the disk, or name another --output",
}


if __name__ == "__main__":
    sys.exit(main())
