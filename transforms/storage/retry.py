"""When a request that failed is tried again."""

import random
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime


@dataclass(frozen=True)
class Retry:
    """How often a request is repeated, and how long it is waited in between.

    Attributes:
        retries: attempts after the first.
        total_seconds: for all attempts together, with the waits between them.
        first_wait: seconds; the longest wait before the first retry. It doubles with each.
        longest_wait: seconds; no wait is longer, whatever the server asks for.
    """

    retries: int
    total_seconds: float
    first_wait: float
    longest_wait: float


class Attempts:
    """The attempts at one request.

    Args:
        retry: how often, until when, and how long between them.

    Attributes:
        failed: how many have failed.
    """

    def __init__(self, retry: Retry) -> None:
        self._retry = retry
        self._deadline: float | None = None
        self.failed = 0

    def seconds_left(self) -> float:
        """Seconds until the deadline, which the first call sets."""
        if self._deadline is None:
            self._deadline = time.monotonic() + self._retry.total_seconds
        return self._deadline - time.monotonic()

    def wait(self, asked: float | None = None) -> float | None:
        """Seconds to wait after a failure before the next attempt, or None if it was the last one.

        The wait is random up to its bound (full jitter), so that requests that failed together
        don't come back together.

        Args:
            asked: seconds after which the server wants to be asked again; None if it didn't say.
        """
        self.failed += 1
        if self.failed > self._retry.retries:
            return None
        longest = self._retry.longest_wait
        wait = random.uniform(0, min(self._retry.first_wait * 2 ** (self.failed - 1), longest))
        if asked is not None:
            wait = min(asked + wait, longest)
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
