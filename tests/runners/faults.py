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


class NoteFn(beam.DoFn):
    """Notes each element in a file of its worker's; one that says so waits for all the others."""

    def __init__(self, folder: Path, others: int) -> None:
        self._folder = folder
        self._others = others

    def process(self, element: str):
        with (self._folder / str(os.getpid())).open("a") as notes:
            notes.write(f"{element}\n")
        if element == "wait":
            end = time.monotonic() + 60
            while len(read_notes(self._folder)) <= self._others:
                assert time.monotonic() < end, "the other worker doesn't take them all"
                time.sleep(0.01)
        yield element


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


def end_at_once(_: object) -> None:
    """A worker that ends before the runner has heard of it."""
    os._exit(3)
