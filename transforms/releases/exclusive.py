"""One build at a time on an output: a lease, held from a build's first file to its end.

On a file system it is a lock, which goes with its process, on a file whose time of change is a sign
of life: where machines don't see each other's locks, and for a build that is stopped or hangs. In
an object store it is an object that is written only as it was seen, and renewed; its age is told by
the store's clock. A lease that wasn't renewed for too long is taken over. Whoever had it may live
on, but can't publish (`transforms/releases/version.py`).
"""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from transforms.releases import workspace
from transforms.releases.holder import Holder, LostLeaseError, holder_of, lost
from transforms.releases.output_lease import OutputLease, lease_on
from transforms.storage.objects import StorageError
from transforms.storage.stores import ObjectOptions
from transforms.system.program import Cleanup, undisturbed

_POLL_SECONDS = 1.0
_JOIN_SECONDS = 1.0


class BusyError(Exception):
    """Another build holds the output; the message is one line that names it."""


class Held(NamedTuple):
    """A lease that is held.

    Attributes:
        token: of its holder.
        waited: whether another build had it at first.
    """

    token: str
    waited: bool


@contextlib.contextmanager
def held(
    output: str, wait: float, options: ObjectOptions, tell: Callable[[str], None]
) -> Iterator[Held]:
    """Holds the lease on an output.

    Once it is lost, this process gets a SIGTERM.

    Args:
        output: a folder, which is made, or a URI.
        wait: for how many seconds to wait while another build has it.
        options: how object stores are reached.
        tell: shows a line, which says what is waited for.

    Raises:
        BusyError: another build has it.
        LostLeaseError: in place of whatever went wrong, if the lease was lost meanwhile.
        OutputError: the output can't be used.
    """
    workspace.prepare(output, options)
    holder = Holder.this_process()
    own = lease_on(output, holder, options)
    ended = threading.Event()
    thread = threading.Thread(target=_keep, args=(own, ended), daemon=True)
    release = Cleanup(own.release)
    try:
        try:
            waited = _acquire(own, output, wait, tell)
        except (StorageError, OSError) as error:
            raise workspace.unusable(output, error) from None
        thread.start()
        try:
            yield Held(holder.token, waited)
        except BaseException as error:
            if loss := _loss(output, holder, options.hasty()):
                raise LostLeaseError(loss) from error
            raise
    finally:
        with undisturbed():
            ended.set()
            if thread.is_alive():
                thread.join(_JOIN_SECONDS)  # it may be waiting for a store
            release()


def is_left(output: str, options: ObjectOptions) -> bool:
    """Whether there is the lease of a build that lives no more, which `clear_away` would remove.

    Raises:
        OSError: the output can't be read.
        StorageError: the object store can't be read.
    """
    if holder_of(output, options) is None:
        return False
    own = lease_on(output, Holder.this_process(), options)
    found = own.look()
    if found is None:
        return True
    if found.silent <= own.expiry:
        return False
    time.sleep(own.watched)
    again = own.look()
    return again is not None and again.mark == found.mark


def clear_away(output: str, options: ObjectOptions) -> bool:
    """Removes the lease of a build that lives no more; whether there was one.

    Raises:
        OutputError: the output can't be used.
        StorageError: the object store can't be read.
    """
    if holder_of(output, options) is None:
        return False
    with contextlib.suppress(BusyError), held(output, 0, options, lambda _: None):
        return True
    return False


def _loss(output: str, holder: Holder, options: ObjectOptions) -> str | None:
    """A line if another build has taken over, else None, also where that can't be told."""
    with contextlib.suppress(StorageError, OSError):
        now = holder_of(output, options)
        return None if now and now.token == holder.token else lost(output, now)
    return None


def _acquire(own: OutputLease, output: str, wait: float, tell: Callable[[str], None]) -> bool:
    """Takes the lease; whether another build had it."""
    deadline = time.monotonic() + wait
    seen: object = None
    since, told = 0.0, False
    while found := own.take():
        now = time.monotonic()
        if found.mark != seen:
            seen, since = found.mark, now
        who = f" ({found.holder})" if found.holder else ""
        if found.silent > own.expiry:
            if now - since >= own.watched:
                tell(f"taking over from a build that gives no sign of life{who}")
                told = True
                own.oust(found)
                continue
        elif now >= deadline:
            raise BusyError(
                f"another build is at work on {output}{who}: let it end, or wait for it by --wait "
                f"SECONDS; should it be dead, its turn is over {_after(own.expiry - found.silent)}"
            )
        if not told:
            told = True
            tell(f"waiting for another build{who}")
        time.sleep(_POLL_SECONDS)
    return told


def _after(seconds: float) -> str:
    return f"within {max(seconds, 1):.0f} s"


def _keep(own: OutputLease, ended: threading.Event) -> None:
    while not ended.wait(own.renewal):
        with contextlib.suppress(StorageError, OSError):  # it may succeed the next time
            if not own.renew():
                os.kill(os.getpid(), signal.SIGTERM)
                return
