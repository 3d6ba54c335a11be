"""Answers that come in order while later ones are under way, within a limit of memory."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import TypeVar

_T = TypeVar("_T")
_Coming = TypeVar("_Coming", Future, asyncio.Task)

#: Answers that are under way, or there before their turn, and their bytes.
ANSWERS_AHEAD = 128
BYTES_AHEAD = 64 << 20

#: What is claimed and held at once.
_GRANTED: Future[None] = Future()
_GRANTED.set_result(None)


class ByteBudget:
    """The bytes of answers that are in memory before they are taken.

    Answers are taken one after the other, by number. That whose turn it is gets what it claims at
    once, whatever the others hold: so none can wait for ever.

    Args:
        total: bytes, unless the one whose turn it is alone needs more.
    """

    def __init__(self, total: int = BYTES_AHEAD) -> None:
        self._free = total
        self._turn = 0
        self._closed = False
        self._held: dict[int, int] = {}
        self._waiting: dict[int, tuple[int, Future[None]]] = {}
        self._lock = threading.Lock()

    def claim(self, number: int, size: int) -> Future[None]:
        """Claims all that an answer needs, instead of what it held before.

        Returns:
            What is done once the answer holds that many bytes. Until then it holds none.
        """
        with self._lock:
            self._free += self._held.pop(number, 0)
            if not (self._waiting or self._closed) and self._fits(number, size):  # nearly always
                self._hold(number, size)
                return _GRANTED
            granted: Future[None] = Future()
            if self._closed:
                granted.cancel()
            else:
                self._waiting[number] = size, granted
                self._grant()
        return granted

    def try_claim(self, number: int, size: int) -> bool:
        """Claims like `claim`, if that needs no waiting; else the answer holds nothing."""
        granted = self.claim(number, size)
        if granted.done():
            return not granted.cancelled()
        with self._lock:
            self._waiting.pop(number, None)
        return granted.done()

    def begin(self, number: int) -> None:
        """Begins the turn of an answer; what the one before held is free again."""
        with self._lock:
            self._turn = number
            self._free += self._held.pop(number - 1, 0)
            self._grant()

    def close(self) -> None:
        """Grants nothing more: cancels whoever waits."""
        with self._lock:
            self._closed = True
            for _, granted in self._waiting.values():
                granted.cancel()
            self._waiting.clear()

    def _grant(self) -> None:
        """Grants the claims that fit, in the order of their turns."""
        for number in sorted(self._waiting):
            size, granted = self._waiting[number]
            if self._fits(number, size):
                del self._waiting[number]
                self._hold(number, size)
                # Not where whoever claimed was cancelled meanwhile.
                if granted.set_running_or_notify_cancel():
                    granted.set_result(None)

    def _fits(self, number: int, size: int) -> bool:
        return number <= self._turn or size <= self._free

    def _hold(self, number: int, size: int) -> None:
        self._held[number] = size
        self._free -= size


class Room:
    """The share of one answer in a budget.

    Args:
        budget: it is part of.
        number: of the answer.
        size: bytes, as far as is known before.
    """

    def __init__(self, budget: ByteBudget, number: int, size: int) -> None:
        self._budget = budget
        self._number = number
        self.size = size

    def claim(self) -> Future[None]:
        """Returns a future that is done once there is room for `size` bytes."""
        return self._budget.claim(self._number, self.size)

    def resize(self, size: int) -> bool:
        """Claims another size instead; returns False where there is no room at once."""
        self.size = size
        return self._budget.try_claim(self._number, size)


def in_order(
    count: int, start: Callable[[int], _Coming], take: Callable[[_Coming], _T], budget: ByteBudget
) -> Iterator[_T]:
    """Answers in order, each as soon as it is there, while others after it are under way.

    Args:
        count: of answers.
        start: begins to fetch one, given its number.
        take: waits for one that was begun.
        budget: of which `start` claims what an answer takes.
    """
    coming: deque[_Coming] = deque()
    started = 0
    try:
        for number in range(count):
            budget.begin(number)
            while started < min(number + ANSWERS_AHEAD, count):
                coming.append(start(started))
                started += 1
            yield take(coming.popleft())
    finally:
        for late in coming:
            late.cancel()
        budget.close()
