"""What runners share that are reached through Beam's job API."""

import contextlib
import logging
import threading
from collections.abc import Iterator

import grpc


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps Beam from logging, and its threads from printing, what it also raises."""

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
        logging.getLogger().removeFilter(keep)
        threading.excepthook = before
