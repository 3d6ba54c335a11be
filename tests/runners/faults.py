"""What goes wrong in workers, in a module that they can import."""

import os
import signal
import time
from pathlib import Path

import apache_beam as beam


class FailFn(beam.DoFn):
    """Fails as workers do: by an exception, or by ending at once."""

    def __init__(self, how: str) -> None:
        self._how = how

    def process(self, element: int):
        if self._how == "raise":
            raise OSError(28, "No space left on device")
        os.kill(os.getpid(), signal.SIGKILL)


class FailFirstFn(FailFn):
    """Fails at the element that is there first, and takes its time to note any other."""

    def __init__(self, folder: Path, how: str) -> None:
        super().__init__(how)
        self._folder = folder

    def process(self, element: int):
        try:
            (self._folder / "failed").touch(exist_ok=False)
        except FileExistsError:
            time.sleep(0.05)
            (self._folder / str(element)).write_text(f"{element}\n")
            return ()
        return super().process(element)


def read_notes(folder: Path) -> list[str]:
    """All elements noted."""
    return [line for notes in folder.iterdir() for line in notes.read_text().splitlines()]
