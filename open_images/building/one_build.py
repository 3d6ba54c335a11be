"""One build, from its flags to what it published."""

import contextlib
import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, partial
from typing import Any

from open_images.building import fingerprint, plan
from open_images.building.build_plan import BuildPlan, ExamplePlan
from open_images.building.flags import BuildFlags
from open_images.building.monitor import BuildMonitor
from open_images.building.one_run import OneRun
from open_images.errors import BuildError
from open_images.progress import Observer
from runners import launch, lean
from transforms import journal
from transforms.errors import UsageError
from transforms.releases import lease, workspace
from transforms.releases.latest import mend_card
from transforms.releases.manifest import Manifest, VersionError
from transforms.releases.outcome import OUTCOME, Outcome
from transforms.releases.output import Output
from transforms.storage import files, temporary
from transforms.storage.objects import StorageError
from transforms.storage.temporary import program_folder
from transforms.wording import counted
from transforms.work_folder import WorkFolder

#: So many classes without an image are named.
_CLASSES_NAMED = 10


@dataclasses.dataclass(frozen=True)
class BuildResult:
    """A build that ended well.

    Attributes:
        version: the name of the version that it published, or that was there already; None where
            a dry run or a template of a job was asked for.
        folder: that version's folder.
        is_unchanged: whether that version was there already: nothing was built then.
        seconds: how long the build took.
        notes: lines that were shown meanwhile.
        outcome: what became of images and rows: `images`, `failed_images`, `failures` (by reason),
            `sources`, `annotations`, `warnings`, `splits`, `taken_over` and `exif_reset`; None
            where nothing was built.
        plan: what was to be done.
    """

    version: str | None
    folder: str | None
    is_unchanged: bool = False
    seconds: float = 0.0
    notes: Sequence[str] = ()
    outcome: Outcome | None = dataclasses.field(default=None, repr=False)
    plan: BuildPlan | None = dataclasses.field(default=None, repr=False)

    @cached_property
    def manifest(self) -> Manifest | None:
        """The manifest of the version; None without one."""
        if self.version is None or self.plan is None:
            return None
        return Output(self.plan.output, self.plan.examples.object_options).manifest(self.version)


class Build(OneRun[BuildFlags, BuildResult]):
    """A build, which publishes a version unless the latest is what would be published."""

    def __init__(
        self, flags: BuildFlags, beam_arguments: Sequence[str], observer: Observer
    ) -> None:
        super().__init__(flags, beam_arguments, observer)
        self._output = Output(flags.output, self._options.hasty())
        self._config: BuildPlan | None = None
        self._lost_lease: BuildError | None = None

    def _run(self) -> BuildResult:
        try:
            return self._build()
        except workspace.OutputError as error:
            raise UsageError(str(error)) from None
        except launch.NotRunError as ended:
            self._log(str(ended))
            return self._result(None)
        except lease.LostLeaseError as error:
            # Whose observer may have interrupted the build: `interrupted` returns it, too.
            self._lost_lease = self._failed(str(error), "; nothing was published by this one")
            raise self._lost_lease from None

    def interrupted(self) -> BuildError:
        """Returns the error that tells what became of the build if it is interrupted now."""
        if self._lost_lease:
            return self._lost_lease
        is_kept = self._config is not None and os.path.isdir(self._config.work.path)
        goes_on = "; the same command goes on where it was" if is_kept else ""
        return self._failed("interrupted", f": nothing was published{goes_on}")

    def _build(self) -> BuildResult:
        flags = self._flags
        launch.check(flags, self._beam_arguments)
        if version := self._find_unchanged():
            self._clear_up()
            return self._result(version, is_unchanged=True)
        with lease.hold(flags.output, flags.wait, self._options, self._log) as held:
            # Another build may have published the same meanwhile.
            if held.waited and (version := self._find_unchanged()):
                return self._result(version, is_unchanged=True)
            outcome = self._run_pipeline(held.token)
        if outcome.version is not None:
            if lacking := note_lacking(outcome.class_images, outcome.class_names):
                self._log(lacking)
            return self._result(outcome.version, outcome=outcome)
        assert self._config is not None
        causes = _rejections(outcome, self._config)
        error = "; ".join(cause for cause, _ in causes) + "; nothing was published"
        raise self._error(error, causes=causes, outcome=outcome)

    def _clear_up(self) -> None:
        """Removes what killed builds have left, as a build does that has something to do."""
        place, options = (self._flags.output, self._flags.work_folder), self._options.hasty()
        temporary.remove_dead()
        # It may be read-only.
        with contextlib.suppress(workspace.OutputError, StorageError, OSError):
            if workspace.leftovers(*place, options):
                with workspace.workspace(*place, options=options, fingerprint=""):
                    pass
            lease.remove_abandoned(self._flags.output, options)

    def _find_unchanged(self) -> str | None:
        """Plans the build; returns the latest version if it is what would be published."""
        latest, problem = fingerprint.latest_manifest(self._output)
        if problem:
            self._log(f"note: {problem}")
        self._config = plan.make_plan(self._flags, manifest=latest)
        if not latest or self._flags.rebuild:
            return None
        if not fingerprint.is_published(self._config.fingerprint, latest, self._output):
            return None
        mend_card(self._output, latest)
        return latest.version

    def _run_pipeline(self, token: str) -> Outcome:
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
            wanted = None if launch.is_run_later(self._beam_arguments) else token
            config = self._config = dataclasses.replace(config, work=WorkFolder(work), lease=wanted)
            vocabulary = plan.read_vocabulary(
                config.examples.sources, self._options, config.examples.class_order
            )
            from open_images.building import graph  # Beam takes a second

            run_on_runner = launch.load(flags.runner)
            lean.end_imports()
            with (
                self._without_journal_once_published(config),
                BuildMonitor(config, self._note, self._observer.show) as monitor,
            ):
                if done:
                    pieces = f"{counted(done, 'piece')} {'is' if done == 1 else 'are'} done"
                    monitor.log(f"going on from a build that was stopped: {pieces}")
                define = partial(graph.define_pipeline, plan=config, vocabulary=vocabulary)
                # Whoever looks at a cluster finds the version by the job's name.
                named = {"job_name": f"open-images-{config.version.lower()}"}
                arguments = launch.with_defaults(self._beam_arguments, named)
                with program_folder():
                    run_on_runner(define, flags, arguments, monitor)
                return Outcome.decode(files.read_file(os.path.join(work, OUTCOME), self._options))

    @contextlib.contextmanager
    def _without_journal_once_published(self, config: BuildPlan) -> Iterator[None]:
        """Removes the journal if a signal comes after the version is published."""
        try:
            yield
        except KeyboardInterrupt:
            with contextlib.suppress(StorageError, OSError):
                if self._output.latest() == config.version:
                    files.vanish(os.path.join(config.work.path, journal.FOLDER))
            raise

    def _failed(self, cause: str, consequence: str = "; nothing was published") -> BuildError:
        """Returns the error of a build that failed; it says whether a version was published."""
        try:
            config = self._config
            if config and self._output.latest() == config.version:
                folder = self._output.folder(config.version)
                error = f"{cause}; {folder} was published before that"
                return self._error(error, folder=folder)
        except (StorageError, VersionError, OSError):
            consequence = "; whether anything was published can't be told"
        return self._error(cause + consequence)

    def _error(self, message: str, **details: Any) -> BuildError:
        return super()._error(message, plan=self._config, **details)

    def _result(self, version: str | None, **details: Any) -> BuildResult:
        folder = self._output.folder(version) if version else None
        account = {"seconds": self.seconds, "notes": self._notes, "plan": self._config}
        return BuildResult(version, folder, **account, **details)


def note_lacking(class_images: Mapping[str, int], names: Mapping[str, str | None]) -> str:
    """Returns a note of the selected classes that no image shows; empty where there are none.

    Args:
        class_images: how many images show each selected class, by its MID.
        names: of classes, by MID.
    """
    lacking = [names.get(label) or label for label, count in class_images.items() if not count]
    if not lacking:
        return ""
    more = len(lacking) - _CLASSES_NAMED
    some = ", ".join(lacking[:_CLASSES_NAMED]) + (f" and {more:,} more" if more > 0 else "")
    selected = len(class_images)
    return f"note: no image shows {len(lacking):,} of the {selected:,} selected classes: {some}"


def _rejections(outcome: Outcome, config: BuildPlan) -> list[tuple[str, Sequence[str]]]:
    """Returns why nothing was published and what to do: causes, each with the first failures."""
    if outcome.losses:
        return [(loss.text, loss.examples) for loss in outcome.losses]
    cause = explain_no_images(outcome.failed_images, outcome.funnel, config)
    return [(f"no images to publish: {cause}", ())]


def explain_no_images(failed: int, funnel: Mapping[str, int], config: ExamplePlan) -> str:
    """Returns why there are no examples, with the remedy.

    Args:
        failed: how many images failed.
        funnel: how many images each condition of the selection leaves.
        config: what was to be built.
    """
    selection = config.examples.selection
    emptied = next((name for name, left in funnel.items() if not left), None)
    listed = ["--image_ids"] * (config.image_keys is not None)
    # Where no row names a class, there isn't a bucket to count in.
    if emptied == "--classes" or (
        not funnel.get("") and config.steps.decides_first and selection.classes is not None
    ):
        others = ["--match_in", *["--match"] * (selection.match == "all")]
        others += ["--where"] * bool(selection.where)
        others += ["--sample_fraction"] * (selection.sample_fraction is not None)
        others += listed
        return f"none is left by --classes: name others, or mind {', '.join(others)} and --splits"
    if emptied:
        return f"none is left by {emptied}: loosen it"
    if failed:
        return f"all {counted(failed, 'image')} failed: mend the input"
    if selection.sample_fraction is not None and not funnel.get(""):
        share = f"--sample_fraction {selection.sample_fraction}"
        others = ["--splits"] * bool(config.examples.splits) + listed
        more = f", and mind {' and '.join(others)}" if others else ""
        return f"none is left by {share}: raise it, or choose another --seed{more}"
    if selection.max_per_class is not None and selection.classes is None and funnel.get(""):
        return "none shows a class, as --max_per_class needs it: mind --match_in and --where"
    if config.examples.splits:
        return f"none is of --splits {','.join(config.examples.splits)}"
    if config.image_keys is not None:
        return "the inputs have none of --image_ids: check the list"
    return "the annotations hold no row that can be read: check --annotations"
