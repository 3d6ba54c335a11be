"""Figures of the last build in Prometheus' text format, for node_exporter's textfile collector.

Format: https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
"""

import contextlib
import errno
import os
import time
import uuid
from collections.abc import Iterator, Mapping

from pipelines.cli.report import Ending
from transforms.releases.manifest import VersionError, bytes_by_format
from transforms.releases.output import Output
from transforms.storage.objects import StorageError
from transforms.storage.regular import describe_other
from transforms.storage.stores import ObjectOptions
from transforms.wording import LINE_LENGTH, clean

_Samples = Mapping[tuple[tuple[str, str], ...], float]


def complaint(path: str) -> str | None:
    """Why no file can be written there, with the remedy; None if one can."""
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
    path = os.path.realpath(path)
    if os.path.exists(path) and not os.path.isfile(path):  # it may have been put there meanwhile
        raise FileExistsError(errno.EEXIST, "it is no file", path)
    # The collector reads what ends in .prom: not this.
    attempt = f"{path}.{uuid.uuid4().hex}"
    try:
        with open(attempt, "w", encoding="utf-8") as file:
            options = ObjectOptions(s3_endpoint_url=s3_endpoint_url)
            file.write(render(ending, Output(output, options), time.time()))
        os.replace(attempt, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.remove(attempt)


def render(ending: Ending, output: Output, now: float) -> str:
    """The content of the file; `now` is in seconds since 1970."""
    lines: list[str] = []
    for name, text, samples in (*_of_build(ending, now), *_of_version(output)):
        lines += [f"# HELP open_images_{name} {text}", f"# TYPE open_images_{name} gauge"]
        for labels, value in samples.items():
            inner = ",".join(f'{label}="{_escaped(content)}"' for label, content in labels)
            lines.append(f"open_images_{name}{f'{{{inner}}}' if inner else ''} {value!r}")
    return "\n".join(lines) + "\n"


def _of_build(ending: Ending, now: float) -> Iterator[tuple[str, str, _Samples]]:
    outcome = ending.outcome
    yield "build_success", "Whether the last build published.", _one(int(ending.code == 0))
    yield "build_exit_code", "Exit code of the last build.", _one(ending.code)
    yield "build_end_timestamp_seconds", "When the last build ended.", _one(now)
    yield "build_duration_seconds", "How long the last build took.", _one(ending.seconds)
    if outcome is not None:
        yield "build_images", "Images that the last build was to have.", _one(outcome.images)
        yield (
            "build_failed_images",
            "Images that the last build left out.",
            _one(outcome.failed_images),
        )
        yield (
            "build_failures",
            "Rows of failures of the last build.",
            {(("reason", reason),): count for reason, count in outcome.failures.items()},
        )
        yield (
            "build_losses",
            "Sources of which the last build lost more than its limits allow.",
            _one(len(outcome.losses)),
        )
        yield "build_warnings", "Warnings of the last build.", _one(len(outcome.warnings))
        for name, text in (
            ("rows", "Rows of the last build's sources"),
            ("repeats", "Rows of the last build's sources that another file has, too"),
            ("orphans", "Rows of the last build's sources that belong to no image"),
            ("bad_rows", "Rows of the last build's sources that were left out as bad"),
        ):
            counts: _Samples = {
                (("kind", source.kind), ("path", source.path)): getattr(source, name)
                for source in outcome.sources
            }
            yield f"build_source_{name}", f"{text}.", counts


def _of_version(output: Output) -> Iterator[tuple[str, str, _Samples]]:
    """What is published, also where the last build failed; nothing where nothing is."""
    try:
        name = output.latest()
        if name is None:
            return
        manifest, date = output.manifest(name), output.date(name).timestamp()
    except (StorageError, VersionError, OSError):
        return
    yield "version_info", "The version that readers see.", {(("version", name),): 1}
    yield "version_timestamp_seconds", "When the build of that version began.", _one(date)
    yield (
        "version_examples",
        "Examples of that version.",
        {(("split", name),): split.num_examples for name, split in manifest.splits.items()},
    )
    yield (
        "version_bytes",
        "Bytes of that version's shards.",
        {(("format", form),): size for form, size in bytes_by_format(manifest.splits).items()},
    )


def _one(value: float) -> _Samples:
    return {(): value}


def _escaped(text: str) -> str:
    return clean(text, LINE_LENGTH).replace("\\", "\\\\").replace('"', '\\"')
