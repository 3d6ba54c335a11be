"""Keeps the secrets of a command line out of the process title, logs and tracebacks.

Light to import, since it comes first.
"""

import logging
import sys
import traceback
from types import TracebackType

from transforms.redaction import find_secrets, redact
from transforms.wording import clean_lines

_ARG_START = 48  # of `man proc_pid_stat`, counted from 1; the end follows
_AFTER_NAME = 3


def keep_secrets() -> None:
    """Takes the secrets of URLs out of this process's title, and out of what it logs and raises.

    On Linux the title of a process is its command line in memory: `ps` shows it to everybody.
    """
    hide_command_line()
    formatter = RedactingFormatter(logging.BASIC_FORMAT)
    for handler in logging.getLogger().handlers:
        handler.setFormatter(formatter)
    sys.excepthook = print_exception


def hide_command_line() -> None:
    """Overwrites the secrets in the arguments that `/proc` shows of this process."""
    try:
        with open("/proc/self/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        start, end = (int(fields[at - _AFTER_NAME]) for at in (_ARG_START, _ARG_START + 1))
        with open("/proc/self/cmdline", "rb") as file:
            shown = file.read()
        hidden = b"\0".join(map(mask, shown.split(b"\0")))
        if hidden == shown or len(shown) != end - start:
            return
        with open("/proc/self/mem", "r+b", buffering=0) as memory:
            memory.seek(start)
            if memory.read(end - start) == shown:
                memory.seek(start)
                memory.write(hidden)
    except (OSError, ValueError, IndexError):
        return  # a system that shows nothing of this kind, or lets nobody write there


def mask(argument: bytes) -> bytes:
    """Returns as many bytes, with a star for each one of a secret."""
    text = argument.decode("latin-1")
    for start, stop in find_secrets(text):
        text = text[:start] + "*" * (stop - start) + text[stop:]
    return text.encode("latin-1")


class RedactingFormatter(logging.Formatter):
    """Formats records without the secrets of URLs in them."""

    def format(self, record: logging.LogRecord) -> str:
        """Returns the lines of a record."""
        return clean_lines(redact(super().format(record)))


def print_exception(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Prints an exception as Python does, without the secrets of URLs in it."""
    sys.stderr.write(clean_lines(redact("".join(traceback.format_exception(kind, error, trace)))))
