"""What goes wrong in workers, in a module that they can import."""

import os
import signal

import apache_beam as beam


class FailFn(beam.DoFn):
    """Fails as workers do: by an exception, or by ending at once."""

    def __init__(self, how: str) -> None:
        self._how = how

    def process(self, element: int):
        if self._how == "raise":
            raise OSError(28, "No space left on device")
        os.kill(os.getpid(), signal.SIGKILL)


def end_at_once(_: object) -> None:
    """A worker that ends before the runner has heard of it."""
    os._exit(3)
