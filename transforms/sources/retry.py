"""When a request that failed is tried again."""

import random
import time
from email.utils import parsedate_to_datetime

from transforms.dataset.failures import PixelError, Reason


class PassingError(PixelError):
    """A failure that may pass.

    Attributes:
        after: seconds after which the server wants to be asked again; None if it didn't say.
    """

    def __init__(self, reason: Reason, detail: str, after: float | None = None) -> None:
        super().__init__(reason, detail)
        self.after = after


class Attempts:
    """The attempts at one picture: how many, until when, and how long between them.

    Args:
        retries: attempts after the first.
        total_seconds: for everything together, from the first use of `seconds_left`.
        first_wait: seconds; the longest wait before the first retry. It doubles with each.
        longest_wait: seconds; no wait is longer, whatever the server asks for.

    Attributes:
        failed: how many have failed.
    """

    def __init__(
        self, retries: int, total_seconds: float, first_wait: float, longest_wait: float
    ) -> None:
        self._retries = retries
        self._total_seconds = total_seconds
        self._first_wait = first_wait
        self._longest_wait = longest_wait
        self._deadline: float | None = None
        self.failed = 0

    def seconds_left(self) -> float:
        """Seconds until the deadline, which the first call sets."""
        if self._deadline is None:
            self._deadline = time.monotonic() + self._total_seconds
        return self._deadline - time.monotonic()

    def wait(self, error: PassingError) -> float | None:
        """Seconds to wait after a failure before the next attempt, or None if it was the last one.

        The wait is random up to its bound (full jitter), so that requests that failed together
        don't come back together.
        """
        self.failed += 1
        if self.failed > self._retries:
            return None
        bound = min(self._first_wait * 2 ** (self.failed - 1), self._longest_wait)
        wait = random.uniform(0, bound)
        if error.after is not None:
            wait = min(error.after + wait, self._longest_wait)
        return wait if wait < self.seconds_left() else None


def seconds_asked(retry_after: str) -> float | None:
    """Seconds that a Retry-After header asks for, which holds them or a date; None if neither."""
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None
