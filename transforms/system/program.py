"""How a program begins and ends: after a signal always, and soon. Light to import.

The first SIGINT, SIGTERM or SIGHUP raises KeyboardInterrupt wherever the program is, so that it
ends in order. That isn't enough: the exception may come where a library drops it, and what is
waited for afterwards may never come. So a thread reads the number of each signal from a pipe: where
the program hasn't ended in time, the thread runs the cleanups and ends the process.
"""

import contextlib
import io
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import NoReturn, TextIO

from transforms.system.descriptors import raise_limit

#: Seconds that a program has to end in order after a signal, and after another one.
PATIENCE, HASTE = 9.0, 1.0
#: Seconds for the cleanups when these are over, and for the last line: more than the 3 s in which a
#: job that is being submitted appears on a cluster and can be cancelled.
_CLEANUP_SECONDS = 5.0
#: Exit code after a signal.
INTERRUPTED = 1
_WORD = "interrupted"
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
#: What the kernel takes from a pipe at once.
_LINE_BYTES = 4096


class _Program:
    """The program that this process runs.

    Attributes:
        name: empty where the process is another's, such as a test's.
        is_begun: whether there is something to end in order; else a signal ends it at once.
        is_interrupted: whether a signal has come.
        is_raised: whether KeyboardInterrupt was raised for one.
        busy: how many `undisturbed` contexts there are.
        cleanups: those that haven't run.
        last_words: returns the error to print if it doesn't end in order.
    """

    def __init__(self) -> None:
        self.name = ""
        self.is_begun = False
        self.is_interrupted = False
        self.is_raised = False
        self.busy = 0
        self.cleanups: list[Cleanup] = []
        self.last_words: Callable[[], str] = lambda: _WORD


_program = _Program()


class Cleanup:
    """Calls a function before the process ends: when it is called itself, or else at the end.

    Args:
        function: no signal interrupts it.
    """

    def __init__(self, function: Callable[[], None]) -> None:
        self._function = function
        self.is_called = False
        _program.cleanups.append(self)

    def __call__(self) -> None:
        """Calls the function, unless it was called."""
        self.is_called = True
        with undisturbed():
            if self in _program.cleanups:
                self._function()
                _program.cleanups.remove(self)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Postpones KeyboardInterrupt until the context ends."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _program.busy += 1
    try:
        yield
    finally:
        _program.busy -= 1
        _raise_if_interrupted()


@contextlib.contextmanager
def interruptible(last_words: Callable[[], str] = lambda: _WORD) -> Iterator[None]:
    """Lets the first signal raise KeyboardInterrupt; in a program, later ones don't.

    In another thread than the main one, signals are left to those who run that.

    Args:
        last_words: returns the error to print if the program doesn't end in order.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    _handle_signals()
    if not _program.name:
        _program.is_interrupted = _program.is_raised = False
    _program.is_begun = True
    _program.last_words = last_words
    try:
        _raise_if_interrupted()
        yield
    finally:
        _program.is_raised = True
        if not _program.name:
            for number, handler in before.items():
                signal.signal(number, handler)


def begin(name: str, last_words: str = _WORD) -> None:
    """Begins a program: called first, since a signal may come while the rest is imported.

    Args:
        name: how it is called.
        last_words: the error to print if a signal comes before it is `interruptible`.
    """
    _program.name = name
    # What a process that ends at once has of semaphores is removed for it, with a warning.
    sys.warnoptions.append("ignore:resource_tracker:UserWarning")
    _program.last_words = lambda: last_words
    _open_streams()  # else what is opened here would come in the place of one that is closed
    _handle_signals()
    _watch_signals()
    raise_limit()


def run(main: Callable[[], int]) -> NoReturn:
    """Runs a program that has begun, and ends this process with its exit code."""
    code = _call(main)
    _program.is_raised = True
    for cleanup in _program.cleanups[::-1]:
        with contextlib.suppress(Exception):  # the process ends, whatever comes of it
            cleanup()
    code = _call(sys.stdout.flush) or code
    # At once: Python would take all modules apart, and wait for threads that may never end.
    os._exit(code)


def is_interrupted() -> bool:
    """Returns whether a signal has come."""
    return _program.is_interrupted


def _call(main: Callable[[], int | None]) -> int:
    """Calls a program; returns its exit code, also after an exception."""
    try:
        return main() or 0
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except KeyboardInterrupt:
        _print_error(_WORD)
        return INTERRUPTED
    except BrokenPipeError:  # whoever reads has seen enough
        return 1
    except OSError as error:
        from transforms.wording import printable

        where = f"{error.filename}: " if error.filename else ""
        _print_error(printable(f"{where}{error.strerror or error}"))
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
    return 1


def _open_streams() -> None:
    """Opens stdin, stdout and stderr where they are closed: else files would take their places.

    Writing to such a stdout still is an error. What can't be written to stderr is lost.
    """
    modes = (os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)
    for descriptor, mode in enumerate(modes):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, mode)  # which takes the lowest number that is free
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", closefd=False)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files may not be text
    sys.stdout = _Stdout(sys.stdout)
    sys.stderr = _Lossy(sys.stderr)


class _Stream(io.TextIOBase):
    """Another stream, whose errors are handled."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)

    def isatty(self) -> bool:
        """Returns whether it is a terminal."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """Its descriptor."""
        return self._stream.fileno()

    def write(self, text: str, /) -> int:
        """Writes text."""
        with self._handled_errors():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flushes what was written."""
        with self._handled_errors():
            self._stream.flush()

    def _handled_errors(self) -> contextlib.AbstractContextManager[None]:
        raise NotImplementedError


class _Stdout(_Stream):
    """A stream whose errors name it. After one, what is written is lost."""

    @contextlib.contextmanager
    def _handled_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._stream = open(os.devnull, "w")  # noqa: SIM115 - until the end
            raise OSError(error.errno, error.strerror, "stdout") from None


class _Lossy(_Stream):
    """A stream that loses what can't be written, as to a full disk."""

    def _handled_errors(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.suppress(OSError)


def _handle_signals() -> None:
    for number in _SIGNALS:
        # One that is started by nohup outlives its terminal.
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _on_signal)


def _on_signal(*_: object) -> None:
    _program.is_interrupted = True
    if _program.name:
        # Threads would report workers that are being ended.
        threading.excepthook = lambda _: None
        import logging

        logging.disable()
    _raise_if_interrupted()


def _raise_if_interrupted() -> None:
    if not _program.is_begun or _program.busy or _program.is_raised:
        return
    if _program.is_interrupted:
        _program.is_raised = True
        raise KeyboardInterrupt


def _watch_signals() -> None:
    """Starts a thread that ends the process if it doesn't end within some time of a signal."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(reader,), daemon=True).start()


def _watch(reader: int) -> None:
    deadline = None
    while deadline is None or time.monotonic() < deadline:
        wait = None if deadline is None else max(deadline - time.monotonic(), 0)
        if not select.select([reader], [], [], wait)[0]:
            continue
        if any(number in _SIGNALS for number in os.read(reader, 64)):
            now = time.monotonic()
            if not _program.is_begun:
                break
            deadline = now + PATIENCE if deadline is None else min(deadline, now + HASTE)
    words = [_WORD]
    _call_within(_CLEANUP_SECONDS, *_program.cleanups, lambda: words.append(_program.last_words()))
    _print_error(words[-1])
    os._exit(INTERRUPTED)


def _call_within(seconds: float, *functions: Callable[[], object]) -> None:
    """Calls functions at the same time, each in a thread that is left behind if it takes longer."""
    threads = [threading.Thread(target=function, daemon=True) for function in functions]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(deadline - time.monotonic(), 0))


def _print_error(message: str) -> None:
    """Writes a line to stderr unless that would block, as to a pipe that nobody reads."""
    line = f"{_program.name}: error: {message}\n".encode(errors="backslashreplace")
    with contextlib.suppress(OSError, ValueError):
        if select.select([], [2], [], 0)[1]:
            os.write(2, line[:_LINE_BYTES])
