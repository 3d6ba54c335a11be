"""What a worker is asked to try, and tells."""

import functools
import json
import os
import shutil
import socket
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import apache_beam as beam
import obstore
from apache_beam.metrics import Metrics

from runners.checks import software
from transforms.storage import files, objects
from transforms.storage.objects import is_remote
from transforms.storage.stores import ObjectOptions

#: Of the counters by whose names workers tell what they found: the one way back to the driver that
#: every runner has.
NAMESPACE = "doctor"
_PAUSE_SECONDS = 0.05


@dataclass(frozen=True)
class Errand:
    """What each worker is to try.

    Attributes:
        name: of this run of the doctor.
        versions: of the driver's software.
        folder: the work folder, which holds a file `token` with `name` in it; None for no test.
        inputs: paths that must be there.
        free_space: bytes that the folder for temporary files must have.
        s3_endpoint_url: as in `ObjectOptions`.
    """

    name: str
    versions: Mapping[str, str]
    folder: str | None
    inputs: Sequence[str]
    free_space: int = 0
    s3_endpoint_url: str | None = None


@dataclass(frozen=True)
class Report:
    """What a worker process found.

    Attributes:
        host: its machine.
        process: its id there.
        differing: versions that are not the driver's, by name.
        missing: inputs that it doesn't see, with why where that is known.
        trouble: why the work folder is of no use to it; empty if all is well.
        short: how little space there is for temporary files; empty if there is enough.
    """

    host: str
    process: int
    differing: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    trouble: str = ""
    short: str = ""


class ReportFn(beam.DoFn):
    """Counts reports; slowly, so that every worker gets a share of the elements."""

    def __init__(self, errand: Errand) -> None:
        self._errand = errand

    def process(self, _: int) -> Iterator[Any]:
        """Runs the errand, once a process."""
        time.sleep(_PAUSE_SECONDS)
        Metrics.counter(NAMESPACE, _report(json.dumps(asdict(self._errand)))).inc()
        return iter(())


@functools.cache
def _report(errand: str) -> str:
    return json.dumps(asdict(run(Errand(**json.loads(errand)))), sort_keys=True)


def run(errand: Errand) -> Report:
    """Runs an errand in this process."""
    options = ObjectOptions(s3_endpoint_url=errand.s3_endpoint_url).hasty()
    here = software.describe()
    temporary = tempfile.gettempdir()
    free = shutil.disk_usage(temporary).free
    return Report(
        host=socket.gethostname(),
        process=os.getpid(),
        differing={
            name: here.get(name, "missing")
            for name, version in errand.versions.items()
            if here.get(name) != version
        },
        missing=dict(_missing(errand.inputs, options)),
        trouble=_try_folder(errand, options) if errand.folder else "",
        short=f"{free / (1 << 30):.1f} GiB free in {temporary}" if free < errand.free_space else "",
    )


def _missing(inputs: Sequence[str], options: ObjectOptions) -> Iterator[tuple[str, str]]:
    for path in inputs:
        try:
            if not files.expand(path, options):
                yield path, "not there"
        except (OSError, objects.StorageError) as error:
            yield path, str(error)


def _try_folder(errand: Errand, options: ObjectOptions) -> str:
    """Reads what the driver wrote, and leaves a file for the driver to read."""
    folder = str(errand.folder)
    try:
        if is_remote(folder):
            try_store(folder, options)
        if files.read_file(f"{folder}/token", options) != errand.name.encode():
            return "it holds another file than the driver wrote"
        mine = f"{folder}/tokens/{uuid.uuid4().hex}"
        files.write_file(mine, errand.name.encode(), f"{folder}/tokens", options)
    except (OSError, objects.StorageError) as error:
        return getattr(error, "strerror", None) or str(error)
    return ""


def try_store(folder: str, options: ObjectOptions) -> None:
    """Puts, lists, copies, reads and deletes an object: all that a build does.

    Raises:
        StorageError: one of these can't be done.
    """
    attempt = f"{folder}/{uuid.uuid4().hex}"
    bucket, key = objects.locate(attempt, options)
    files.write_file(f"{attempt}/put", b"doctor", "", options)
    try:
        bucket.ask(key, lambda store: obstore.copy(store, f"{key}/put", f"{key}/copied"))
        names = [os.path.basename(path) for path in files.list_files(attempt, options)]
        if names != ["copied", "put"]:
            raise objects.StorageError(f"{attempt} lists {names}, not what was written there")
        if files.read_file(f"{attempt}/copied", options) != b"doctor":
            raise objects.StorageError(f"{attempt}/copied isn't what was written")
    finally:
        objects.delete_below(attempt, options)
    if files.list_files(attempt, options):
        raise objects.StorageError(f"{attempt} is still listed after it was deleted")
