"""Google Cloud, as far as it can be looked at before a job is submitted."""

import subprocess
import sys
from collections.abc import Iterator, Sequence

from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions

from runners import dataflow
from runners.checks.finding import Finding, fix, ok
from runners.checks.worker import try_store
from runners.launch import RunnerFlags
from transforms.storage.objects import StorageError
from transforms.storage.stores import ObjectOptions

_CREDENTIALS_SECONDS = 10
#: Google's library asks a metadata server again and again, where there is none.
_CREDENTIALS = """
import google.auth
credentials, project = google.auth.default(
    scopes=["https://www.googleapis.com/auth/cloud-platform"]
)
print(getattr(credentials, "service_account_email", "a user"), project)
"""


def check_dataflow(flags: RunnerFlags, beam_arguments: Sequence[str]) -> Iterator[Finding]:
    """Flags and paths, credentials, and buckets."""
    mistakes = list(dataflow.mistakes(flags, beam_arguments))
    for line in mistakes:
        yield fix(line)
    if mistakes:
        return
    yield ok("flags: paths, project, region and packaging")
    cloud = PipelineOptions(list(beam_arguments)).view_as(GoogleCloudOptions)
    if cloud.no_auth:
        yield ok("credentials: none wanted (--no_auth)")
    else:
        finding = check_credentials()
        yield finding
        if finding.mark != "ok":
            return
    options = ObjectOptions(s3_endpoint_url=flags.s3_endpoint_url).hasty()
    places = [flags.output, cloud.temp_location or cloud.staging_location]
    for place in dict.fromkeys(place.rstrip("/") for place in places if place):
        yield _check_bucket(place, options)


def check_credentials(seconds: float = _CREDENTIALS_SECONDS) -> Finding:
    """Checks whether Google's libraries find credentials, in a short time.

    Args:
        seconds: for which they may look.
    """
    remedy = (
        "run 'gcloud auth application-default login', or set GOOGLE_APPLICATION_CREDENTIALS to the "
        "key file of a service account"
    )
    try:
        done = subprocess.run(
            [sys.executable, "-c", _CREDENTIALS],
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return fix(f"credentials: none found within {seconds:g} s: {remedy}")
    if done.returncode != 0:
        said = done.stderr.strip().splitlines()[-1].rpartition("Error: ")[2].partition(". ")[0]
        return fix(f"credentials: {said}: {remedy}")
    return ok(f"credentials: {done.stdout.strip()}")


def _check_bucket(place: str, options: ObjectOptions) -> Finding:
    try:
        try_store(f"{place}/.work/doctor", options)
    except StorageError as error:
        return fix(f"bucket: {error}")
    return ok(f"bucket: put, list, copy, read and delete below {place}")
