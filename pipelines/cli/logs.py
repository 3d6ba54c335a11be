"""What programs that run a pipeline log: errors that nothing else says."""

import logging


def configure() -> None:
    """Logs errors to stderr, but for those of Beam and of workers, which are also raised here."""
    logging.basicConfig(level=logging.ERROR)
    logging.getLogger("apache_beam").setLevel(logging.CRITICAL)
    for handler in logging.getLogger().handlers:
        handler.addFilter(_is_not_of_a_worker)


def _is_not_of_a_worker(record: logging.LogRecord) -> bool:
    """Returns False for messages of worker processes that Beam logs again, in 11 lines."""
    return record.module != "worker_handlers"
