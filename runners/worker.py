"""A worker process of the direct runner: Beam's own, made to keep quiet and to end with its parent.

Beam's logs its life at length to the terminal, and a driver that is killed leaves its workers to
run on.
"""

import logging
import os
import sys
import threading
import time

_POLL_SECONDS = 0.5


def _end_with(parent: int) -> None:
    """Ends this process once its parent has: an orphan is handed to another."""
    while os.getppid() == parent:
        time.sleep(_POLL_SECONDS)
    os._exit(1)


def main() -> None:
    """Runs the worker until the runner, whose process id it is given, has no more for it to do."""
    threading.Thread(target=_end_with, args=(int(sys.argv[1]),), daemon=True).start()
    # A root logger without a handler would be given one that writes to stderr. Records still go to
    # the runner, which shows errors.
    logging.getLogger().addHandler(logging.NullHandler())
    from apache_beam.runners.worker import sdk_worker_main

    sdk_worker_main.main(sys.argv)
    # Beam leaves threads behind, which can abort an interpreter that shuts down in order.
    os._exit(0)


if __name__ == "__main__":
    main()
