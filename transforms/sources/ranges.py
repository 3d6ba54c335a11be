"""Fetching ranges of objects, many at once."""

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

from transforms.dataset.failures import PixelError, Reason
from transforms.storage.objects import AbsentError, StorageError, read_range
from transforms.storage.stores import ObjectOptions


class Range(NamedTuple):
    """Bytes of an object, and `number_of` the stamp that it must have, if any."""

    uri: str
    offset: int
    length: int
    number: int | None = None


#: Ranges that are fetched, or wait to be taken, at a time, and their bytes together.
_AHEAD = 64
_AHEAD_BYTES = 32 << 20


class RangeFetcher:
    """Fetches ranges, those that are expected ahead of time.

    Its threads start when they are needed, and don't survive a fork.
    """

    def __init__(self, options: ObjectOptions) -> None:
        """Fetches nothing yet."""
        self._options = options
        self._threads: ThreadPoolExecutor | None = None
        self._expected: Iterator[Range] = iter(())
        self._coming: OrderedDict[Range, Future[bytes]] = OrderedDict()

    def expect(self, ranges: Iterable[Range]) -> None:
        """Says which ranges will be fetched next, in order, and no others any more."""
        self._drop(len(self._coming))
        self._expected = iter(ranges)
        self._top_up()

    def fetch(self, wanted: Range) -> bytes:
        """Returns bytes of an object; fewer where it ends before.

        Raises:
            ChangedError: It has another stamp, or is gone.
            PixelError: MISSING where there is no such object, HTTP_STATUS where it can't be had.
        """
        coming = self._coming.get(wanted)
        if coming is None:
            return self._fetch(wanted)
        # Those before it were left out.
        self._drop([*self._coming].index(wanted))
        del self._coming[wanted]
        self._top_up()
        return coming.result()

    def close(self) -> None:
        """Ends the threads; it may be used again."""
        self.expect(())
        if self._threads:
            self._threads.shutdown(cancel_futures=True)
            self._threads = None

    def _drop(self, count: int) -> None:
        for _ in range(count):
            self._coming.popitem(last=False)[1].cancel()

    def _top_up(self) -> None:
        ahead = sum(each.length for each in self._coming)
        while len(self._coming) < _AHEAD and ahead < _AHEAD_BYTES:
            following = next(self._expected, None)
            if following is None:
                return
            if following not in self._coming:
                if self._threads is None:
                    self._threads = ThreadPoolExecutor(self._options.max_concurrent, "ranges")
                self._coming[following] = self._threads.submit(self._fetch, following)
                ahead += following.length

    def _fetch(self, wanted: Range) -> bytes:
        uri, offset, length, number = wanted
        try:
            return read_range(uri, offset, length, self._options, number)
        except AbsentError as error:
            raise PixelError(Reason.MISSING, str(error)) from None
        except StorageError as error:
            raise PixelError(Reason.HTTP_STATUS, str(error)) from None
