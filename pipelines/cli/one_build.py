"""One build, from its flags to how it ended."""

import argparse
import contextlib
import dataclasses
import logging
import os
import re
import time
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

from open_images.building import fingerprint, plan
from open_images.building.build_plan import BuildPlan
from pipelines.cli import dataset_card, report
from pipelines.cli.arguments import print_line
from pipelines.cli.report import Ending
from pipelines.cli.watch import Watch
from runners import launch, lean
from runners.temporary import temporary_folder
from transforms import journal
from transforms.errors import UsageError
from transforms.redaction import redact
from transforms.releases import lease, workspace
from transforms.releases.lease import LostLeaseError
from transforms.releases.manifest import Manifest, VersionError
from transforms.releases.outcome import OUTCOME, Outcome
from transforms.releases.output import Output
from transforms.storage import files, temporary
from transforms.storage.objects import StorageError
from transforms.storage.stamps import ChangedError
from transforms.storage.stores import ObjectOptions
from transforms.system import program
from transforms.wording import counted
from transforms.work_folder import WorkFolder

#: Errors whose message is one line for the user.
_ONE_LINE = (StorageError, ChangedError, LostLeaseError)
#: What Beam adds to a message.
_STEP = re.compile(r" \[while running '[^']*'\]$")
_REMEDIES = {
    "No space left on device": "the disk is full: free some space, or name another --output",
    "Too many open files": "raise the limit of files that may be open at once (ulimit -Hn)",
    "Permission denied": "a file can't be opened: mind its permissions",
    "not read back as it was written": "check the disk, or name another --output",
}


def run(flags: argparse.Namespace, beam_arguments: list[str]) -> Ending:
    """Builds; whatever goes wrong is in what it returns."""
    return _Build(flags, beam_arguments).run()


class _Result(NamedTuple):
    """The outcome of a pipeline that has run, and the notes that it showed.

    Attributes:
        outcome: what became of its images.
        notes: lines that were shown meanwhile.
    """

    outcome: Outcome
    notes: list[str]


class _Build:
    def __init__(self, flags: argparse.Namespace, beam_arguments: list[str]) -> None:
        self._flags = flags
        self._beam_arguments = beam_arguments
        self._started = time.monotonic()
        self._options = ObjectOptions(s3_endpoint_url=flags.s3_endpoint_url)
        self._output = Output(flags.output, self._options.hasty())
        self._config: BuildPlan | None = None

    def run(self) -> Ending:
        try:
            with program.interruptible(lambda: self._interrupted().error or ""):
                built = self._build()
        except lease.BusyError as error:
            return self._make_ending(report.BUSY, str(error))
        except (UsageError, workspace.OutputError) as error:
            return self._make_ending(2, str(error))
        except launch.NotRunError as ended:
            return self._make_ending(0, text=redact(str(ended)))
        except KeyboardInterrupt:
            return self._interrupted()
        except Exception as error:
            # After a second signal the work folder is removed while this thread still works in it;
            # and what a worker raises for a signal may become another exception on its way.
            if program.is_interrupted():
                return self._interrupted()
            if isinstance(error, LostLeaseError):
                return self._failed(str(error), "; nothing was published by this one")
            return self._failed(explain(error))
        return self._judge(built) if isinstance(built, _Result) else built

    def _build(self) -> Ending | _Result:
        flags = self._flags
        launch.check(flags, self._beam_arguments)
        if manifest := self._examine():
            self._clear_up()
            return self._unchanged(manifest)
        with lease.hold(flags.output, flags.wait, self._options, print_line) as held:
            # Another build may have published the same meanwhile.
            if held.waited and (manifest := self._examine()):
                return self._unchanged(manifest)
            return self._run_pipeline(held.token)

    def _clear_up(self) -> None:
        """Removes what killed builds have left, as a build does that has something to do."""
        flags, options = self._flags, self._options.hasty()
        temporary.remove_dead()
        with contextlib.suppress(
            workspace.OutputError, StorageError, OSError
        ):  # it may be read-only
            if workspace.leftovers(flags.output, flags.work_folder, options):
                with workspace.workspace(
                    flags.output, flags.work_folder, options=options, fingerprint=""
                ):
                    pass
            lease.remove_abandoned(flags.output, options)

    def _examine(self) -> Manifest | None:
        """Plans the build; returns the manifest of the latest version if it is the same."""
        latest, problem = fingerprint.latest_manifest(self._output)
        if problem:
            print_line(f"note: {problem}")
        self._config = plan.make_plan(self._flags, manifest=latest)
        if not latest or self._flags.rebuild:
            return None
        is_same = fingerprint.is_published(self._config.fingerprint, latest, self._output)
        return latest if is_same else None

    def _run_pipeline(self, token: str) -> _Result:
        """Runs the pipeline in a work folder, by the token of the lease that is held."""
        flags, config = self._flags, self._config
        assert config is not None
        with workspace.workspace(
            flags.output,
            flags.work_folder,
            flags.exchange == "files",
            self._options,
            "" if flags.rebuild else config.fingerprint,
            token,
            for_group=flags.runner == "flink",
        ) as (work, done):
            needed = None if launch.is_run_later(self._beam_arguments) else token
            config = self._config = dataclasses.replace(config, work=WorkFolder(work), lease=needed)
            vocabulary = plan.read_vocabulary(config.examples.sources, self._options)
            from open_images.building import graph  # Beam takes a second

            run_on_runner = launch.load(flags.runner)
            lean.collect_again()
            with self._forgotten_once_published(config), Watch(config) as watch:
                if done:
                    pieces = f"{counted(done, 'piece')} {'is' if done == 1 else 'are'} done"
                    watch.tell(f"going on from a build that was stopped: {pieces}")
                define = partial(graph.define_pipeline, plan=config, vocabulary=vocabulary)
                # Whoever looks at a cluster finds the version by the job's name.
                named = {"job_name": f"open-images-{config.version.lower()}"}
                arguments = launch.with_defaults(self._beam_arguments, named)
                with temporary_folder():
                    run_on_runner(define, flags, arguments, watch)
                outcome = Outcome.decode(
                    files.read_file(os.path.join(work, OUTCOME), self._options)
                )
        return _Result(outcome, watch.told)

    @contextlib.contextmanager
    def _forgotten_once_published(self, config: BuildPlan) -> Iterator[None]:
        """Removes the journal if a signal comes after the version is published."""
        try:
            yield
        except KeyboardInterrupt:
            with contextlib.suppress(StorageError, OSError):
                if self._output.latest() == config.version:
                    files.vanish(os.path.join(config.work.path, journal.FOLDER))
            raise

    def _judge(self, result: _Result) -> Ending:
        """Returns how a build ended whose pipeline has run to its end."""
        config, outcome = self._config, result.outcome
        assert config is not None
        text = "\n".join([*result.notes, report.render(outcome, config, self._seconds())])
        if outcome.version is None:
            causes = report.rejections(outcome, config)
            error = "; ".join(cause for cause, _ in causes) + "; nothing was published"
            return self._make_ending(1, error, text, outcome=outcome, causes=causes)
        folder = f"{config.output}/versions/{outcome.version}"
        return self._make_ending(0, text=text, outcome=outcome, folder=folder)

    def _unchanged(self, manifest: Manifest) -> Ending:
        dataset_card.mend(self._output, manifest)
        folder = self._output.folder(manifest.version)
        return self._make_ending(0, text=report.unchanged(folder), folder=folder, unchanged=True)

    def _interrupted(self) -> Ending:
        is_kept = self._config is not None and os.path.isdir(self._config.work.path)
        goes_on = "; the same command goes on where it was" if is_kept else ""
        return self._failed("interrupted", f": nothing was published{goes_on}")

    def _failed(self, cause: str, consequence: str = "; nothing was published") -> Ending:
        """Returns what went wrong, and what readers see: they may have been led there before."""
        try:
            config = self._config
            if config and self._output.latest() == config.version:
                folder = self._output.folder(config.version)
                error = f"{cause}; {folder} was published before that"
                return self._make_ending(1, error, folder=folder)
        except (StorageError, VersionError, OSError):
            consequence = "; whether anything was published can't be told"
        return self._make_ending(1, cause + consequence)

    def _make_ending(
        self, code: int, error: str | None = None, text: str = "", **built: Any
    ) -> Ending:
        return Ending(code, self._seconds(), error and redact(error), text, **built)

    def _seconds(self) -> float:
        return time.monotonic() - self._started


def explain(error: Exception) -> str:
    """Returns the cause of a failed build in a line.

    Where the user can't mend it, the traceback is logged.
    """
    text = _STEP.sub("", str(error).strip())
    cause = text.splitlines()[-1] if text else repr(error)
    for words, remedy in _REMEDIES.items():
        if words in text:
            return f"{remedy} ({cause})"
    has_line = isinstance(error, _ONE_LINE)
    for kind in _ONE_LINE:  # which a worker's traceback names with its module
        has_line |= f"{kind.__module__}." in text
        cause = re.sub(rf"^{re.escape(kind.__module__)}\.\w+: ", "", cause)
    if not has_line and not (isinstance(error, launch.JobError) and text == cause):
        logging.error("the build failed", exc_info=error)
    return cause
