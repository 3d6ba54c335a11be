"""Builds a dataset: `python -m pipelines.build --help`."""

from runners import program

_PROGRAM = "python -m pipelines.build"

if __name__ == "__main__":
    program.begin(_PROGRAM, "interrupted: nothing was published")

import argparse
import contextlib
import dataclasses
import errno
import json
import logging
import os
import re
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from pipelines import discretion, options
from pipelines.arguments import fail, say
from runners import descriptors, launch, lean
from runners.temporary import temporary_folder
from transforms.redaction import redact
from transforms.wording import clean_lines, clean_values

if TYPE_CHECKING:
    from pipelines.report import Ending
    from transforms.config import BuildConfig
    from versions.published import Output


_PROGRAM = "python -m pipelines.build"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a build.

    Returns:
        The exit code: 0 published, 1 failed, and nothing published unless the error says so, 2
        wrong use, 3 another build is at work.
    """
    logging.basicConfig(level=logging.ERROR)
    # Beam logs every exception of a worker that it also raises here.
    logging.getLogger("apache_beam").setLevel(logging.CRITICAL)
    for handler in logging.getLogger().handlers:
        handler.addFilter(_is_not_of_a_worker)
    discretion.keep_secrets()
    flags, beam_arguments = options.parse(sys.argv[1:] if arguments is None else arguments)
    if too_few := descriptors.raise_limit():
        say(f"{_PROGRAM}: note: {too_few}")
    # OpenCV is only imported where there are pictures, so each worker would do it by itself.
    pictures = [] if flags.images == ["none"] else ["transforms.imaging.opencv"]
    launch.prepare(flags, ["pipelines.graph", *pictures])
    # These take a while to import: not before the flags are known to be right.
    from pipelines import metrics_file, report
    from transforms.storage.stores import ObjectOptions
    from versions.published import Output

    wrong = metrics_file.complaint(flags.metrics_file) if flags.metrics_file else None
    ending = report.Ending(2, 0, wrong) if wrong else _run(flags, beam_arguments)
    if flags.report == "json":
        _print(json.dumps(clean_values(report.document(ending))), ending)
    else:
        _print(clean_lines(ending.text), ending)
    # The figures of the build that is at work will be those of this time.
    if flags.metrics_file and not wrong and ending.code != report.BUSY:
        output = Output(flags.output, ObjectOptions(s3_endpoint_url=flags.s3_endpoint_url))
        try:
            metrics_file.write(flags.metrics_file, ending, output)
        except OSError as error:
            fail(
                _PROGRAM,
                f"--metrics_file {flags.metrics_file} can't be written: {error.strerror}",
                1,
            )
    for cause, examples in ending.causes:
        fail(_PROGRAM, cause, ending.code)
        for example in examples:
            say(f"  {example}")
    if ending.error and not ending.causes:
        fail(_PROGRAM, ending.error, ending.code)
    return ending.code


def _print(text: str, ending: "Ending") -> None:
    """Prints a report. Where that can't be, says in a line what became of the build."""
    try:
        if text:
            print(text, flush=True)
    except OSError as error:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - until the end
        fate = ""
        if ending.folder and ending.code == 0:
            word = "unchanged:" if ending.unchanged else "published"
            fate = f"{word} {ending.folder}; "
        reason = error.strerror or errno.errorcode.get(error.errno or 0, str(error))
        say(f"{_PROGRAM}: {fate}the report can't be printed to stdout: {reason}")


def _run(flags: argparse.Namespace, beam_arguments: list[str]) -> "Ending":
    """Builds; whatever goes wrong is in what it returns."""
    from pipelines import dataset_card, exclusive, plan, report, workspace
    from pipelines.watch import Watch
    from transforms.publishing.holder import LostLeaseError
    from transforms.storage.objects import StorageError
    from transforms.storage.stores import ObjectOptions
    from transforms.wording import counted
    from versions.published import Output, VersionError

    started = time.monotonic()
    config = None
    published = Output(flags.output, ObjectOptions(s3_endpoint_url=flags.s3_endpoint_url).hasty())

    def end(code: int, error: str | None = None, text: str = "", **built: Any) -> report.Ending:
        error = error and redact(error)
        return report.Ending(code, time.monotonic() - started, error, text, **built)

    def failed(cause: str, fate: str = "; nothing was published") -> report.Ending:
        """What went wrong, and what readers see: it may have come after they were led there."""
        try:
            if config and published.latest() == config.version:
                folder = published.folder(config.version)
                return end(1, f"{cause}; {folder} was published before that", folder=folder)
        except (StorageError, VersionError, OSError):
            fate = "; whether anything was published can't be told"
        return end(1, cause + fate)

    def interrupted() -> report.Ending:
        is_kept = config is not None and os.path.isdir(config.work)
        goes_on = "; the same command goes on where it was" if is_kept else ""
        return failed("interrupted", f": nothing was published{goes_on}")

    def unchanged(manifest: dict) -> report.Ending:
        dataset_card.mend(published, manifest)
        folder = published.folder(manifest["version"])
        return end(0, text=report.unchanged(folder), folder=folder, unchanged=True)

    try:
        with program.interruptible(lambda: interrupted().error or ""):
            launch.check(flags, beam_arguments)
            object_options = ObjectOptions(s3_endpoint_url=flags.s3_endpoint_url)
            config, built = _examine(flags, published)
            if built:
                return unchanged(built)
            with exclusive.held(flags.output, flags.wait, object_options, say) as held:
                if held.waited:  # for a build that may have published the same
                    config, built = _examine(flags, published)
                    if built:
                        return unchanged(built)
                with workspace.workspace(
                    flags.output,
                    flags.work_folder,
                    flags.exchange == "files",
                    object_options,
                    "" if flags.rebuild else config.fingerprint,
                    held.token,
                    for_group=flags.runner == "flink",
                ) as (work, done):
                    lease = None if launch.is_run_later(beam_arguments) else held.token
                    config = dataclasses.replace(config, work=work, lease=lease)
                    vocabulary = plan.read_vocabulary(config.sources, object_options)
                    from pipelines import graph  # Beam takes a second

                    run = launch.load(flags.runner)
                    lean.collect_again()
                    with _not_kept_once_published(config, published), Watch(config) as watch:
                        if done:
                            pieces = f"{counted(done, 'piece')} {'is' if done == 1 else 'are'} done"
                            watch.tell(f"going on from a build that was stopped: {pieces}")
                        define = partial(
                            graph.define_pipeline, config=config, vocabulary=vocabulary
                        )
                        # By its name a job is known to be that of a version.
                        named = {"job_name": f"open-images-{config.version.lower()}"}
                        with temporary_folder():
                            run(define, flags, launch.with_defaults(beam_arguments, named), watch)
                        outcome = json.loads(workspace.read_outcome(work, object_options))
    except exclusive.BusyError as error:
        return end(report.BUSY, str(error))
    except (plan.UsageError, launch.UsageError, workspace.OutputError) as error:
        return end(2, str(error))
    except launch.NotRunError as ended:
        return end(0, text=redact(str(ended)))
    except KeyboardInterrupt:
        return interrupted()
    except LostLeaseError as error:
        return failed(str(error), "; nothing was published by this one")
    except Exception as error:
        # What a worker raises for a signal may have become another exception on its way.
        return interrupted() if program.is_interrupted() else failed(_explain(error))
    seconds = time.monotonic() - started
    text = "\n".join([*watch.told, report.render(outcome, config, seconds)])
    if outcome["version"] is None:
        causes = report.rejections(outcome, config)
        error = "; ".join(cause for cause, _ in causes) + "; nothing was published"
        return end(1, error, text, outcome=outcome, causes=causes)
    folder = f"{config.output}/versions/{outcome['version']}"
    return end(0, text=text, outcome=outcome, folder=folder)


@contextlib.contextmanager
def _not_kept_once_published(config: "BuildConfig", published: "Output") -> Iterator[None]:
    """Has no work folder kept to go on in if a signal comes after the version was published."""
    from transforms import journal
    from transforms.storage import files
    from transforms.storage.objects import StorageError

    try:
        yield
    except KeyboardInterrupt:
        with contextlib.suppress(StorageError, OSError):
            if published.latest() == config.version:
                files.vanish(os.path.join(config.work, journal.FOLDER))
        raise


def _examine(flags: argparse.Namespace, published: "Output") -> "tuple[BuildConfig, dict | None]":
    """What is to be built, and the manifest of the latest version where that is it."""
    from pipelines import fingerprint, plan

    latest, problem = fingerprint.latest_manifest(published)
    if problem:
        say(f"note: {problem}")
    config = plan.make_config(flags, manifest=latest)
    if (
        latest
        and not flags.rebuild
        and fingerprint.is_published(config.fingerprint, latest, published)
    ):
        return config, latest
    return config, None


def _is_not_of_a_worker(record: logging.LogRecord) -> bool:
    """Whether a message isn't one of those that Beam hands on, in 11 lines, from its processes."""
    return record.module != "worker_handlers"


def _explain(error: Exception) -> str:
    """The cause of a failed build in a line; for what the user can't mend, its traceback too."""
    from runners.launch import JobError
    from transforms.publishing.holder import LostLeaseError
    from transforms.storage.objects import StorageError
    from transforms.storage.stamps import ChangedError

    text = _STEP.sub("", str(error).strip())
    cause = text.splitlines()[-1] if text else repr(error)
    for known, remedy in _REMEDIES.items():
        if known in text:
            return f"{remedy} ({cause})"
    known = (StorageError, ChangedError, LostLeaseError)
    is_known = isinstance(error, known) or any(f"{kind.__module__}." in text for kind in known)
    for kind in known:  # as what a worker's process raised is told
        cause = re.sub(rf"^{re.escape(kind.__module__)}\.\w+: ", "", cause)
    if not is_known and not (isinstance(error, JobError) and text == cause):
        logging.error("the build failed", exc_info=error)
    return cause


#: What Beam adds to a message.
_STEP = re.compile(r" \[while running '[^']*'\]$")
_REMEDIES = {
    "No space left on device": "the disk is full: free some space, or name another --output",
    "Too many open files": "raise the limit of files that may be open at once (ulimit -Hn)",
    "Permission denied": "a file can't be opened: mind its permissions",
    "not read back as it was written": "check the disk, or name another --output",
}


if __name__ == "__main__":
    lean.save_imports()
    lean.keep_one_heap()
    program.run(main)
