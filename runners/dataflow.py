"""Running on Google Cloud Dataflow.

Workers see only what is in object stores, so all paths are checked first: without credentials, or
with a path that isn't one, each question to Google costs half a minute of retries.
"""

import importlib.util
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

import apache_beam as beam
from apache_beam.metrics.metric import MetricResults
from apache_beam.options.pipeline_options import (
    GoogleCloudOptions,
    PipelineOptions,
    SetupOptions,
    TestOptions,
    WorkerOptions,
)

from runners.launch import Define, Job, JobError, Monitor, NotRunError, RunnerFlags, with_defaults
from transforms.errors import UsageError
from transforms.storage.kind_path import split_kind

#: What workers install the project from; there is none beside an installed package.
SETUP_FILE = Path(__file__).parents[1] / "setup.py"

_BUCKET = re.compile(r"gs://[a-z0-9][-_a-z0-9.]+[a-z0-9](/.*)?")
_PROJECT = re.compile(r"[a-z][-a-z0-9:.]+[a-z0-9]")
_WEB = ("http://", "https://")
_PUBLISHED = ("none", "original", "thumbnail")


def check(flags: RunnerFlags, beam_arguments: Sequence[str]) -> None:
    """Checks all that can be told from the command line alone.

    Raises:
        UsageError: The first thing that is wrong, with its remedy.
    """
    for mistake in mistakes(flags, beam_arguments):
        raise UsageError(mistake)


def mistakes(flags: RunnerFlags, beam_arguments: Sequence[str]) -> Iterator[str]:
    """Says what is wrong with a command line, a line each; asks nothing of any server.

    Args:
        flags: ours; inputs and output may be missing.
        beam_arguments: for Beam.
    """
    if not _installed():
        yield "--runner dataflow: Google's libraries are missing: pip install 'apache-beam[gcp]'"
    options = PipelineOptions(beam_arguments)
    cloud = options.view_as(GoogleCloudOptions)
    setup = options.view_as(SetupOptions)
    image = options.view_as(WorkerOptions).sdk_container_image
    if flags.output and not _BUCKET.fullmatch(flags.output):
        yield (
            f"--output {flags.output}: Dataflow's workers can't write there: name a folder of a "
            "bucket, such as gs://BUCKET/dataset"
        )
    for flag, paths in (
        ("annotations", flags.annotations),
        ("images", flags.images),
        ("masks", flags.masks),
        ("voices", flags.voices),
    ):
        for path in paths or ():
            yield from _check_input(flag, path)
    if flags.work_folder:
        yield f"--work_folder {flags.work_folder}: Dataflow's workers share no folder: leave it out"
    if flags.exchange == "files":
        yield "--exchange files: Dataflow's workers share no folder: leave it out"
    if not cloud.project or not _PROJECT.fullmatch(cloud.project):
        given = f" {cloud.project}" if cloud.project else ""
        yield f"--project{given}: name the Google Cloud project by its id, such as my-project-1"
    if not cloud.region and not os.environ.get("CLOUDSDK_COMPUTE_REGION"):
        yield "--region: say where the workers are to run, near the bucket, such as us-central1"
    for flag in ("temp_location", "staging_location", "template_location"):
        path = getattr(cloud, flag)
        if path is None and (flag != "temp_location" or cloud.staging_location):
            continue
        match = _BUCKET.fullmatch(path or "")
        if not match or not match[1]:
            given = f" {path}" if path else ""
            yield f"--{flag}{given}: name a folder of a bucket, such as gs://BUCKET/temp"
    if not (image or setup.setup_file or setup.extra_packages or SETUP_FILE.exists()):
        yield (
            "--sdk_container_image: name an image that holds this project, since there is no "
            "setup.py here to install it from; or give --setup_file"
        )
    if setup.setup_file and not os.path.isfile(setup.setup_file):
        yield f"--setup_file {setup.setup_file}: no such file: check the path"


def _installed() -> bool:
    try:
        return importlib.util.find_spec("google.cloud.dataflow") is not None
    except ModuleNotFoundError:
        return False


def _check_input(flag: str, argument: str) -> Iterator[str]:
    """Says what is wrong with one `[KIND=]PATH`."""
    _, path = split_kind(argument)
    if flag == "images" and (path in _PUBLISHED or path.startswith(_WEB)):
        return
    if not path.startswith(("gs://", "s3://")):
        yield (
            f"--{flag} {argument}: Dataflow's workers can't see this machine: copy it by "
            f"'gcloud storage cp -r {path} gs://BUCKET/' and name that"
        )
    elif path.startswith("gs://") and not _BUCKET.fullmatch(path):
        yield f"--{flag} {argument}: that is no bucket: gs://BUCKET/FOLDER, in small letters"


def run(
    define: Define, flags: RunnerFlags, beam_arguments: Sequence[str], monitor: Monitor
) -> MetricResults:
    """Submits a pipeline and waits for its end: see `launch.Run`.

    Raises:
        NotRunError: A dry run, or a template, was asked for.
    """
    from apache_beam.runners.dataflow.dataflow_runner import (
        DataflowPipelineResult,
        DataflowRunner,
        DataflowRuntimeException,
    )

    options = PipelineOptions(with_defaults(beam_arguments, _defaults(flags, beam_arguments)))
    cloud = options.view_as(GoogleCloudOptions)
    try:
        root = beam.Pipeline(runner=DataflowRunner(), options=options)
    except ValueError as error:  # what Beam itself finds wrong with its flags
        raise UsageError(" ".join(str(error).split())) from None
    define(root)
    result = cast("DataflowPipelineResult", root.run())
    if options.view_as(TestOptions).dry_run:
        raise NotRunError("dry run: the pipeline is sound; nothing was submitted")
    if not result.has_job:
        raise NotRunError(
            f"template written to {cloud.template_location}: it runs this very build, once"
        )
    job_id = result.job_id()
    console = f"https://console.cloud.google.com/dataflow/jobs/{cloud.region}/{job_id}"
    job = Job("Dataflow", job_id, f"{console}?project={cloud.project}")
    try:
        monitor.submitted(job)
        result.wait_until_finish()
        return cast("MetricResults", result.metrics())
    except DataflowRuntimeException as error:
        said = str(error).strip().removesuffix("Error:\nNone")
        raise JobError(f"{said}\n{job}: {said.splitlines()[-1]}") from None
    except AssertionError:  # from Beam, whose polling has given up
        raise JobError(f"lost touch with {job}, which may still run") from None
    except KeyboardInterrupt:
        try:
            result.cancel()
        except Exception as error:
            monitor.log(f"{job} may still run ({error}): cancel it in the console")
        raise


def _defaults(flags: RunnerFlags, beam_arguments: Sequence[str]) -> dict[str, object]:
    given = PipelineOptions(beam_arguments)
    setup = given.view_as(SetupOptions)
    packed = setup.extra_packages or given.view_as(WorkerOptions).sdk_container_image
    return {
        "setup_file": None if packed else SETUP_FILE,
        "region": os.environ.get("CLOUDSDK_COMPUTE_REGION"),
        # Nothing of the main program is needed, and pickling it fails where it holds a lock.
        "no_save_main_session": True,
        "num_workers": flags.num_workers,
        "max_num_workers": flags.num_workers,
    }
