"""Builds a dataset: `python -m pipelines.build --help`."""

import dataclasses
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
from runners import launch, lean


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a build.

    Returns:
        The exit code: 0 published, 1 failed and nothing published, 2 wrong use.
    """
    logging.basicConfig(level=logging.ERROR)
    # Beam logs every exception of a worker that it also raises here.
    logging.getLogger("apache_beam").setLevel(logging.CRITICAL)
    flags, beam_arguments = options.parse(sys.argv[1:] if arguments is None else arguments)
    launch.prepare(flags, ["pipelines.graph"])
    # These take a while to import: not before the flags are known to be right.
    with lean.imports():
        from pipelines import fingerprint, plan, report, workspace
        from pipelines.watch import Watch
        from transforms.storage.stores import ObjectOptions

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    started = time.monotonic()
    config = None
    try:
        launch.check(flags, beam_arguments)
        object_options = ObjectOptions(s3_endpoint_url=flags.s3_endpoint_url)
        latest = fingerprint.read_manifest(flags.output, object_options.hasty())
        config = plan.make_config(flags, manifest=latest)
        if latest and not flags.rebuild and fingerprint.is_published(config, latest):
            print(report.unchanged(config, latest))
            return 0
        shares_files = flags.exchange == "files"
        with workspace.workspace(
            flags.output,
            flags.work_folder,
            shares_files,
            object_options,
            "" if flags.rebuild else config.fingerprint,
        ) as (work, done):
            config = dataclasses.replace(config, work=work)
            vocabulary = plan.read_vocabulary(config.sources, object_options)
            with lean.imports():
                from pipelines import graph  # Beam takes a second

            run = launch.load(flags.runner)
            with Watch(config) as watch:
                if done:
                    watch.tell(f"going on from a build that was stopped: {done:,} pieces are done")
                define = partial(graph.define_pipeline, config=config, vocabulary=vocabulary)
                # By its name a job is known to be that of a version.
                named = {"job_name": f"open-images-{config.version.lower()}"}
                run(define, flags, launch.with_defaults(beam_arguments, named), watch)
            outcome = json.loads(workspace.read_outcome(work, object_options))
    except (plan.UsageError, launch.UsageError, workspace.OutputError) as error:
        return _fail(str(error), 2)
    except launch.NotRunError as ended:
        print(ended)
        return 0
    except KeyboardInterrupt:
        is_kept = config is not None and os.path.isdir(config.work)
        goes_on = "; the same command goes on where it was" if is_kept else ""
        return _fail(f"interrupted: nothing was published{goes_on}", 1)
    except Exception as error:
        return _fail(_explain(error), 1)
    print("\n".join([*watch.told, report.render(outcome, config, time.monotonic() - started)]))
    if outcome["version"] is None:
        return _fail(report.rejection(outcome, config), 1)
    return 0


def _interrupt(*_: object) -> None:
    # What the runner's threads say of workers that are being ended is of no use to anybody.
    threading.excepthook = lambda _: None
    logging.disable()
    raise KeyboardInterrupt


def _fail(message: str, code: int) -> int:
    print(f"python -m pipelines.build: error: {message}", file=sys.stderr)
    return code


def _explain(error: Exception) -> str:
    """The cause of a failed build in a line; for what the user can't mend, its traceback too."""
    from runners.launch import JobError
    from transforms.storage.objects import StorageError

    text = str(error).strip()
    cause = text.splitlines()[-1] if text else repr(error)
    for known, remedy in _REMEDIES.items():
        if known in text:
            return f"{remedy} ({cause}); nothing was published"
    if isinstance(error, JobError) and text == cause:
        return f"{cause}; nothing was published"
    if f"{StorageError.__module__}." in text or isinstance(error, StorageError):
        return f"{cause}; nothing was published"
    logging.error("the build failed", exc_info=error)
    return f"{cause}; nothing was published"


_REMEDIES = {
    "No space left on device": "the disk is full: free some space, or name another --output",
    "Permission denied": "a file can't be opened: mind its permissions",
    "not read back as it was written": "check the disk, or name another --output",
}


if __name__ == "__main__":
    lean.run(main)
