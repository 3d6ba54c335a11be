"""The process of a build that `run_in_process` has started: `… open_images.building.child FD`."""

import contextlib
import logging
import os
import signal
import sys
import threading
import traceback
from multiprocessing.connection import Connection
from typing import Any

from open_images.progress import Observer, Progress
from runners import lean
from transforms.system import program


class _Sender(Observer):
    """Sends messages and progress of a build to the process that waits for it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()

    def send(self, what: str, content: Any) -> None:
        """Sends a message, unless nobody reads any more."""
        with self._lock, contextlib.suppress(OSError):
            self._connection.send((what, content))

    def log(self, line: str) -> None:
        self.send("log", line)

    def show(self, progress: Progress) -> None:
        self.send("show", progress)


def _end_with_reader(connection: Connection) -> None:
    """Ends the build in order once the process that waits for it has ended."""
    with contextlib.suppress(OSError, EOFError):
        connection.recv()
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> int:
    """Runs a build, and sends its result, or what it raises."""
    logging.basicConfig(level=logging.CRITICAL)
    connection = Connection(int(sys.argv[1]))
    start, flags, beam_arguments = connection.recv()
    threading.Thread(target=_end_with_reader, args=(connection,), daemon=True).start()
    sender = _Sender(connection)
    try:
        build = start(flags, beam_arguments, sender)
        try:
            with program.interruptible():
                sender.send("result", build.run())
            return 0
        except KeyboardInterrupt:
            raise build.interrupted() from None
    except Exception as error:  # a UsageError, BusyError or BuildError
        cause = error.__cause__
        trace = "".join(traceback.format_exception(cause)) if cause else ""
        sender.send("error", (error, trace))
        return 1


if __name__ == "__main__":
    program.begin("open_images.build")
    lean.begin_imports()
    lean.keep_one_heap()
    program.run(main)
