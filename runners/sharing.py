"""Elements go to the worker that is free, where Beam's FnApiRunner deals them out beforehand.

It gives each worker a bundle of its own, and all wait for the slowest: cores of one machine differ
by a tenth and more, and so do elements. Here each worker is sent the elements of all, and a
worker takes the next one that nobody has taken.
"""

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

#: What data of shared elements begin with; then come the path of their tickets, and a newline.
#: Other data begin with a time, and Beam has none as early as this.
_MARK = b"\x00shared elements\n"
#: Above, elements aren't small: each worker would have to read those of all.
_MOST_BYTES = 4 << 20
_NUMBER_BYTES = 8


@contextlib.contextmanager
def offered() -> Iterator[None]:
    """Has this process, the driver, send all elements to all workers, which `take` them."""
    from apache_beam.runners.portability.fn_api_runner import fn_runner

    runner: Any = fn_runner
    single: Any = runner.BundleManager
    parallel: Any = runner.ParallelBundleManager
    with tempfile.TemporaryDirectory(prefix="elements-") as folder:

        class OneWorkers(single):
            def process_bundle(self, inputs: Mapping[str, Any], *others: Any) -> Any:
                try:
                    return super().process_bundle(inputs, *others)
                except BaseException:
                    # The build has failed: no worker need take the rest of the work.
                    for elements in inputs.values():
                        if isinstance(elements, _Offer):
                            elements.withdraw()
                    raise

        class AllWorkers(parallel):
            def process_bundle(self, inputs: Mapping[str, Any], *others: Any) -> Any:
                offers = {name: _Shared(buffer, folder) for name, buffer in inputs.items()}
                return super().process_bundle(offers, *others)

        runner.BundleManager, runner.ParallelBundleManager = OneWorkers, AllWorkers
        try:
            yield
        finally:
            runner.BundleManager, runner.ParallelBundleManager = single, parallel


class _Offer(list[bytes]):
    """What a worker is sent: all elements, and where it is told which one is next."""

    def __init__(self, elements: bytes, folder: str) -> None:
        descriptor, self._tickets = tempfile.mkstemp(dir=folder)
        os.write(descriptor, bytes(_NUMBER_BYTES))
        os.close(descriptor)
        super().__init__([b"%b%b\n%b" % (_MARK, os.fsencode(self._tickets), elements)])

    def withdraw(self) -> None:
        """Nobody is to take any more."""
        Path(self._tickets).unlink(missing_ok=True)


class _Shared(NamedTuple):
    """A buffer of Beam's whose elements are offered, where there are few bytes of them."""

    buffer: Any
    folder: str

    def partition(self, workers: int) -> Sequence[list[bytes]]:
        """What each worker is sent."""
        parts = self.buffer.partition(workers)
        pieces = [piece for part in parts for piece in part]
        if not 0 < sum(map(len, pieces)) <= _MOST_BYTES:
            return parts
        return [_Offer(b"".join(pieces), self.folder)] * workers


@contextlib.contextmanager
def taken() -> Iterator[None]:
    """Has this process, a worker, take elements one by one where it is sent those of all."""
    from apache_beam.coders.coder_impl import create_InputStream
    from apache_beam.runners.worker import bundle_processor

    operation: Any = bundle_processor.DataInputOperation
    usual = operation.process_encoded

    def process_encoded(self: Any, data: bytes) -> None:
        if not data.startswith(_MARK):
            usual(self, data)
            return
        path, data = data[len(_MARK) :].split(b"\n", 1)
        stream = create_InputStream(data)
        number, free = 0, _next_ticket(path)
        while free is not None and stream.size() > 0:
            start = len(data) - stream.size()
            self.windowed_coder_impl.decode_from_stream(stream, True)
            if number == free:
                usual(self, data[start : len(data) - stream.size()])
                free = _next_ticket(path)
            number += 1

    operation.process_encoded = process_encoded
    try:
        yield
    finally:
        operation.process_encoded = usual


def _next_ticket(path: bytes) -> int | None:
    """The number of the next element that nobody has taken; None when they are withdrawn."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return None
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX)
        ticket = int.from_bytes(os.pread(descriptor, _NUMBER_BYTES, 0), "little")
        os.pwrite(descriptor, (ticket + 1).to_bytes(_NUMBER_BYTES, "little"), 0)
        return ticket
    finally:
        os.close(descriptor)  # which ends the lock
