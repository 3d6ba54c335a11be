"""Figures of the last build for Prometheus, by node_exporter's textfile collector."""

import contextlib
import errno
import os
import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from pipelines.cli.ending import Ending
from transforms.releases.manifest import VersionError, bytes_by_format
from transforms.releases.output import Output
from transforms.storage.objects import StorageError
from transforms.storage.regular import describe_other
from transforms.storage.stores import ObjectOptions
from transforms.wording import LINE_LENGTH, clean


class _Figure(NamedTuple):
    """A gauge: its name, what it tells, its labels, and its value for each of their values."""

    name: str
    text: str
    labels: tuple[str, ...]
    values: Mapping[Any, float]


def complaint(path: str) -> str | None:
    """Returns why no file can be written there, with the remedy; None if one can."""
    folder = os.path.dirname(os.path.realpath(path))
    what = ""
    try:
        with contextlib.suppress(FileNotFoundError):
            what = describe_other(os.stat(path).st_mode)
    except OSError as error:
        what = error.strerror or ""
    if what or not os.path.isdir(folder) or os.path.isdir(path) or not os.access(folder, os.W_OK):
        why = f": {what}" if what else ""
        return f"--metrics_file {path} can't be written{why}: name a file in a folder that is there"
    return None


def write(path: str, ending: Ending, output: str, s3_endpoint_url: str | None) -> None:
    """Writes the figures of a build that ended, and of the version that readers see now.

    A reader sees the old file or the new one.

    Args:
        path: the file; of a link, the file that it leads to.
        ending: of the build.
        output: that it was for.
        s3_endpoint_url: of a store like S3.

    Raises:
        OSError: It can't be written, or isn't to be replaced by a file.
    """
    from prometheus_client import CollectorRegistry, Gauge, write_to_textfile  # takes a while

    published = Output(output, ObjectOptions(s3_endpoint_url=s3_endpoint_url))
    path = os.path.realpath(path)
    if os.path.exists(path) and not os.path.isfile(path):  # it may have been put there meanwhile
        raise FileExistsError(errno.EEXIST, "it is no file", path)
    registry = CollectorRegistry()
    for name, text, labels, values in (*_of_build(ending, time.time()), *_of_version(published)):
        gauge = Gauge(f"open_images_{name}", text, labels, registry=registry)
        for of, value in values.items():
            one = gauge.labels(*(clean(label, LINE_LENGTH) for label in of)) if labels else gauge
            one.set(value)
    write_to_textfile(path, registry)


def _of_build(ending: Ending, now: float) -> Iterator[_Figure]:
    outcome = ending.outcome
    yield _one("build_success", "Whether the last build published.", int(ending.code == 0))
    yield _one("build_exit_code", "Exit code of the last build.", ending.code)
    yield _one("build_end_timestamp_seconds", "When the last build ended.", now)
    yield _one("build_duration_seconds", "How long the last build took.", ending.seconds)
    if outcome is None:
        return
    yield _one("build_images", "Images that the last build was to have.", outcome.images)
    yield _one("build_failed_images", "Images that the last build left out.", outcome.failed_images)
    yield _Figure(
        "build_failures",
        "Rows of failures of the last build.",
        ("reason",),
        {(reason,): count for reason, count in outcome.failures.items()},
    )
    yield _one(
        "build_losses",
        "Sources of which the last build lost more than its limits allow.",
        len(outcome.losses),
    )
    yield _one("build_warnings", "Warnings of the last build.", len(outcome.warnings))
    for name, text in (
        ("rows", "Rows of the last build's sources"),
        ("repeats", "Rows of the last build's sources that another file has, too"),
        ("orphans", "Rows of the last build's sources that belong to no image"),
        ("bad_rows", "Rows of the last build's sources that were left out as bad"),
    ):
        counts = {(each.kind, each.path): getattr(each, name) for each in outcome.sources}
        yield _Figure(f"build_source_{name}", f"{text}.", ("kind", "path"), counts)


def _of_version(output: Output) -> Iterator[_Figure]:
    """Yields the figures of the published version, also where the last build failed."""
    try:
        name = output.latest()
        if name is None:
            return
        manifest, date = output.manifest(name), output.date(name).timestamp()
    except (StorageError, VersionError, OSError):
        return
    examples = {(split,): of.num_examples for split, of in manifest.splits.items()}
    sizes = {(form,): size for form, size in bytes_by_format(manifest.splits).items()}
    yield _Figure("version_info", "The version that readers see.", ("version",), {(name,): 1})
    yield _one("version_timestamp_seconds", "When the build of that version began.", date)
    yield _Figure("version_examples", "Examples of that version.", ("split",), examples)
    yield _Figure("version_bytes", "Bytes of that version's shards.", ("format",), sizes)


def _one(name: str, text: str, value: float) -> _Figure:
    return _Figure(name, text, (), {(): value})
