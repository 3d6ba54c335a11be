"""What runners share that are reached through Beam's job API."""

import contextlib
import logging
import threading
from collections.abc import Iterator

import grpc

#: A thread of Beam's that reads a job's messages until the job server ends them, or itself.
_READER = "wait_until_finish_read"
_READER_SECONDS = 2


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps Beam from logging, and its threads from printing, what it also raises.

    The job server should have ended before this does: then no thread is left that reads from it.
    """

    def keep(record: logging.LogRecord) -> bool:
        return record.module != "portable_runner"

    def hook(arguments: threading.ExceptHookArgs) -> None:
        if not isinstance(arguments.exc_value, grpc.RpcError):
            before(arguments)

    before = threading.excepthook
    threading.excepthook = hook
    logging.getLogger().addFilter(keep)
    try:
        yield
    finally:
        for thread in threading.enumerate():
            if thread.name == _READER:
                thread.join(_READER_SECONDS)
        logging.getLogger().removeFilter(keep)
        if threading.excepthook is hook:  # a signal may have silenced it since
            threading.excepthook = before
