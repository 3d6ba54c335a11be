"""The checks of the doctor, in order."""

import contextlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence

from apache_beam.options.pipeline_options import PipelineOptions, PortableOptions

from open_images.building import plan
from open_images.building.flags import DoctorFlags
from open_images.building.paths import PICTURE_KINDS
from open_images.building.selection_files import with_selection_file
from runners import launch
from runners.checks import dataflow, flink, machine
from runners.checks.finding import Finding, fix, note, ok, skip
from runners.checks.workers import check_workers
from transforms.errors import UsageError
from transforms.kinds.names import KINDS
from transforms.releases import workspace
from transforms.storage.kind_path import split_kind
from transforms.storage.objects import StorageError, is_remote
from transforms.storage.stamps import ChangedError
from transforms.storage.stores import ObjectOptions

#: What no job can run without.
_VITAL = ("Java", "job server", "Flink", "slots", "Prism", "work folder")


def examine(flags: DoctorFlags, beam_arguments: Sequence[str]) -> Iterator[Finding]:
    """Yields the findings of all checks.

    Args:
        flags: of the doctor.
        beam_arguments: for Beam.
    """
    yield from machine.check_python()
    if flags.annotations:
        yield from _check_inputs(flags)
    if flags.runner == "dataflow":
        yield from dataflow.check_dataflow(flags, beam_arguments)
        return
    yield from machine.check_ports(beam_arguments)
    with contextlib.ExitStack() as stack:
        folder = None
        vital = []
        for finding in _check_runner(flags, beam_arguments):
            yield finding
            vital.append(finding)
        if not flags.output:
            yield skip("work folder: give --output")
        else:
            try:
                folder = stack.enter_context(_work_folder(flags))
            except workspace.OutputError as error:
                vital.append(fix(f"work folder: {error}"))
                yield vital[-1]
        if folder and not is_remote(folder):
            yield machine.check_space(folder.partition("/.work/")[0], flags.free_space)
        if any(finding.mark == "fix" and finding.subject in _VITAL for finding in vital):
            yield skip("workers: no job can run before that is mended")
            return
        inputs = tuple(_inputs(flags))
        yield from check_workers(
            flags, beam_arguments, folder, inputs, flags.time_limit, flags.free_space
        )


def _check_runner(flags: DoctorFlags, beam_arguments: Sequence[str]) -> Iterator[Finding]:
    """Checks the runner on this machine, and its cluster."""
    if flags.runner == "flink":
        if not PipelineOptions(list(beam_arguments)).view_as(PortableOptions).job_endpoint:
            yield machine.check_java()
        yield from flink.check_flink(flags, beam_arguments)
        return
    try:
        launch.check(flags, beam_arguments)
    except UsageError as error:
        yield fix(f"{flags.runner.title()}: {error}")


@contextlib.contextmanager
def _work_folder(flags: DoctorFlags) -> Iterator[str]:
    """Yields the folder that a build would work in, for as long as it is open."""
    is_new = not is_remote(flags.output) and not os.path.exists(flags.output)
    try:
        with workspace.workspace(
            flags.output,
            flags.work_folder,
            flags.exchange == "files",
            ObjectOptions(s3_endpoint_url=flags.s3_endpoint_url),
        ) as (folder, _):
            yield folder
    finally:
        if is_new:
            with contextlib.suppress(OSError):
                os.rmdir(flags.output)


def _check_inputs(flags: DoctorFlags) -> Iterator[Finding]:
    """Checks the inputs as a build does before it begins."""
    options = ObjectOptions(s3_endpoint_url=flags.s3_endpoint_url).hasty()
    try:
        plan.check_image_flags(flags)
        flags = with_selection_file(flags, options)
        annotations, pixels, notices = plan.find_inputs(flags, options)
        plan.choose_sources(flags, [*annotations, *pixels], options)
        plan.read_vocabulary(annotations, options)
    except (UsageError, StorageError, ChangedError) as error:
        yield fix(f"inputs: {error}")
        return
    kinds = Counter(source.kind for source in annotations)
    found = [f"{count} of {kind}" for kind, count in sorted(kinds.items())]
    members = Counter(source.kind for source in pixels)
    found += [
        f"{members[kind]} with {word}"
        for kind, word in (
            ("pictures", "pictures"),
            ("mask_files", "masks"),
            ("voice_files", "recordings"),
        )
        if members[kind]
    ]
    yield ok(f"inputs: as a build would read them: {', '.join(found)}")
    for notice in notices:
        yield note(f"inputs: {notice.path}: {notice.text}")


def _inputs(flags: DoctorFlags) -> Iterator[str]:
    """Yields the paths of inputs, without their kinds; not what is asked for picture by picture."""
    for argument in (*flags.annotations, *flags.images, *flags.masks, *flags.voices):
        _, path = split_kind(argument, (*KINDS, *PICTURE_KINDS))
        if path not in ("none", "original", "thumbnail") and not path.startswith("http"):
            yield path.partition("{")[0]
