"""What the workers say, and whether the driver sees what they did."""

import os
import time
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from apache_beam.options.pipeline_options import PipelineOptions, PortableOptions

from runners.checks import software
from runners.checks.finding import Finding, fix, ok
from runners.checks.probe import HangError, ProbeError, probe
from runners.checks.worker import Errand, Report
from runners.launch import RunnerFlags
from transforms.storage import files
from transforms.storage.objects import is_remote
from transforms.storage.stores import ObjectOptions

_HANGS = {
    "EXTERNAL": (
        "is the worker pool of --environment_config up, reached from each task manager, and is a "
        "Python with Beam {beam} the first 'python' in its PATH?"
    ),
    "DOCKER": "does docker run where the tasks run, with the image of --environment_config?",
    "": "see the task managers' logs for what a worker says when it starts",
}
_MENDS = {
    "No module named": "install this project where workers run: 'pip install .' in their image",
    "No such file or directory": "is that program where the tasks run?",
    "Permission denied": "mind the permissions where the tasks run",
}


def check_workers(
    flags: RunnerFlags,
    beam_arguments: Sequence[str],
    folder: str | None,
    inputs: tuple[str, ...],
    time_limit: float,
    free_space: int,
) -> Iterator[Finding]:
    """Starts workers by a tiny job, and lets them try what a build needs.

    Args:
        flags: ours.
        beam_arguments: for Beam.
        folder: the work folder, if there is one to try.
        inputs: paths that every worker must see.
        time_limit: seconds for the job.
        free_space: bytes that must be free for temporary files of workers.
    """
    options = ObjectOptions(s3_endpoint_url=flags.s3_endpoint_url).hasty()
    name = uuid.uuid4().hex
    errand = Errand(name, software.describe(), folder, inputs, free_space, flags.s3_endpoint_url)
    if folder:
        if not is_remote(folder):
            os.makedirs(f"{folder}/tokens")
        files.write_file(f"{folder}/token", name.encode(), folder, options)
    started = time.monotonic()
    try:
        reports = probe(flags, beam_arguments, errand, time_limit)
    except HangError as error:
        yield fix(f"workers: {error}: {_hang(beam_arguments)}")
        return
    except ProbeError as error:
        remedy = next((mend for known, mend in _MENDS.items() if known in str(error)), None)
        yield fix(f"workers: {error}" + (f": {remedy}" if remedy else ""))
        return
    seconds = time.monotonic() - started
    hosts = sorted({report.host for report in reports})
    yield ok(f"workers: {len(reports)} on {', '.join(hosts)} answered in {seconds:.0f} s")
    yield from judge(reports, errand)
    if folder:
        yield from check_tokens(folder, reports, options)


def _hang(beam_arguments: Sequence[str]) -> str:
    kind = PipelineOptions(list(beam_arguments)).view_as(PortableOptions).environment_type or ""
    text = _HANGS.get(kind.upper(), _HANGS[""])
    return text.format(beam=software.describe()["apache-beam"])


def judge(reports: Sequence[Report], errand: Errand) -> Iterator[Finding]:
    """What the reports of workers mean, a finding a subject or more.

    Args:
        reports: of the workers.
        errand: that they were given.
    """
    differing, missing, troubled = defaultdict(set), defaultdict(set), defaultdict(set)
    for report in reports:
        for name, version in report.differing.items():
            differing[name, version].add(report.host)
        for path, why in report.missing.items():
            missing[path, why].add(report.host)
        if report.trouble:
            troubled[report.trouble].add(report.host)
    for (name, version), hosts in differing.items():
        yield fix(
            f"versions: {name} is {version} on {_join(hosts)}, {errand.versions[name]} here: "
            "install the same in both"
        )
    if not differing:
        yield ok("versions: of Python, Beam, libraries and this project the same on all workers")
    for (path, why), hosts in missing.items():
        yield fix(
            f"inputs: {path} on {_join(hosts)}: {why}: mount it there at the same path, or put it "
            "into an object store"
        )
    if errand.inputs and not missing:
        yield ok("inputs: seen by all workers")
    short = {(report.short, report.host) for report in reports if report.short}
    for space, host in sorted(short):
        yield fix(f"space: {space} on {host}: free some, or set TMPDIR of the workers elsewhere")
    for trouble, hosts in troubled.items():
        yield fix(
            f"work folder: {_shown(str(errand.folder))} on {_join(hosts)}: {trouble}: mount one "
            "folder on all machines at the same path and name it (--output, or --work_folder), or "
            "use an object store and --exchange engine"
        )


def check_tokens(
    folder: str, reports: Sequence[Report], options: ObjectOptions
) -> Iterator[Finding]:
    """Checks whether the driver sees a file of every worker that could write one."""
    written = sum(not report.trouble for report in reports)
    seen = len(files.list_files(f"{folder}/tokens", options))
    if seen < written:
        yield fix(
            f"work folder: {written - seen} of {written} workers wrote to {_shown(folder)} what "
            "isn't seen here: mount one folder on all machines at the same path"
        )
    elif written == len(reports):
        kind = "put, list, copy, read and delete in" if is_remote(folder) else "written and read in"
        yield ok(f"work folder: {kind} {_shown(folder)} by {written} workers, and seen here")


def _shown(folder: str) -> str:
    """Returns the folder that the user knows, above that of this run."""
    return folder.partition("/.work/")[0]


def _join(hosts: Iterable[str]) -> str:
    return ", ".join(sorted(hosts))
