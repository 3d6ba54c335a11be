"""Runs a command as a step that says when it begins, goes on and ends, and shows a failure's output.

Steps that run at once, as by `make --jobs`, then don't mix what their commands print.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

_EVERY = 20


def run(name: str, command: Sequence[str], every: float = _EVERY) -> int:
    """Runs the command and returns its exit code; prints a line `every` so many seconds."""
    began = time.monotonic()
    _say(name, "begins")
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        except OSError as error:
            _say(name, f"FAILED: {error}")
            return 127
        while True:
            try:
                code = process.wait(every)
                break
            except subprocess.TimeoutExpired:
                _say(name, f"{time.monotonic() - began:.0f} s so far")
            except KeyboardInterrupt:  # which the command got, too
                return process.wait() or 130
        seconds = f"{time.monotonic() - began:.0f} s"
        output.seek(0)
        text = output.read().decode(errors="replace").strip()
    if code == 0:
        _say(name, f"done in {seconds}", *text.splitlines())
    else:
        _say(name, f"FAILED after {seconds} (exit code {code}): {' '.join(command)}")
        print(text, flush=True)
    return code


def _say(name: str, *lines: str) -> None:
    print("".join(f"{name:>14}: {line}\n" for line in lines), end="", flush=True)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1], sys.argv[2:]))
