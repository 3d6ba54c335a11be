"""Runs a command as a step that says when it begins, goes on and ends.

Steps may run at once, as by `make --jobs`. What a command prints is shown when it has ended: all of
it if it failed, or else what it printed to the standard output.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import IO

_EVERY = 30


def run(name: str, command: Sequence[str], every: float = _EVERY) -> int:
    """Runs the command and returns its exit code; prints a line `every` so many seconds."""
    began = time.monotonic()
    _print(name, "begins")
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        try:
            process = subprocess.Popen(command, stdout=output, stderr=errors)
        except OSError as error:
            _print(name, f"FAILED: {error}")
            return 127
        while True:
            try:
                code = process.wait(every)
                break
            except subprocess.TimeoutExpired:
                _print(name, f"{time.monotonic() - began:.0f} s so far")
            except KeyboardInterrupt:  # which the command got, too
                return process.wait() or 130
        seconds = f"{time.monotonic() - began:.0f} s"
        if code == 0:
            _print(name, f"done in {seconds}", *_text(output).splitlines())
        else:
            failed = f"FAILED after {seconds} (exit code {code}): {' '.join(command)}"
            _print(name, *_text(output).splitlines(), *_text(errors).splitlines(), failed)
    return code


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace").strip()


def _print(name: str, *lines: str) -> None:
    print("".join(f"{name:>14}: {line}\n" for line in lines), end="", flush=True)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1], sys.argv[2:]))
