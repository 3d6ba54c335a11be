"""Fetching pictures over HTTP: many at once, and safe against what URLs may lead to."""

import asyncio
import base64
import hashlib
import itertools
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple
from urllib.parse import urlsplit

import pyarrow as pa

from transforms.dataset.elements import Source
from transforms.dataset.failures import PixelError, Reason
from transforms.sources import addresses
from transforms.sources.answers import Answer
from transforms.sources.budget import ByteBudget, Room, in_order
from transforms.sources.limits import HttpOptions
from transforms.sources.transfer import LargerError, PassingError, Transfer
from transforms.storage.http.handle import Refusal
from transforms.storage.http.libcurl import pycurl
from transforms.storage.retry import Attempts

#: Room that is made for a picture before its size is known: first this, then the mean of about so
#: many before it.
_FIRST_USUAL_BYTES = 256 << 10
_USUAL_OF = 32

#: Answers that are taken, if they are there, before all connections are served again.
_TAKEN_AT_ONCE = 8

#: In the path of the picture to which Flickr redirects from one that was deleted or made private.
_PLACEHOLDER = "photo_unavailable"

_ORIGINAL = ("original_url", "original_size", "original_md5")
_COLUMNS = ("image_id", "split", *_ORIGINAL, "thumbnail_300k_url")


class Request(NamedTuple):
    """One picture.

    Attributes:
        url: http or https.
        size: bytes that it must have, or None if that isn't known.
        md5: its MD5 in base64, as published, or None likewise.
    """

    url: str
    size: int | None = None
    md5: str | None = None


class HttpFetcher:
    """Fetches pictures for one thread at a time, by connections that serve until `close`.

    Args:
        options: of which the fetcher is made; they can be pickled, it can't.
        refusal: says which addresses aren't connected to, unless private hosts are allowed.
        uses_netrc: whether the passwords in this user's netrc file are for the hosts that are
            asked. A host that one of these redirects to gets none.
    """

    def __init__(
        self,
        options: HttpOptions,
        refusal: Refusal = addresses.refusal,
        uses_netrc: bool = False,
    ) -> None:
        self._options = options
        self._uses_netrc = uses_netrc
        self._refusal = None if options.allow_private_hosts else refusal
        self._usual_bytes = _FIRST_USUAL_BYTES
        self._idle: list[Transfer] = []
        self._hosts = defaultdict(partial(_Host, options.max_per_host))
        self._slots = asyncio.Semaphore(options.max_requests)
        self._multi = pycurl.AsyncCurlMulti()
        self._multi.setopt(pycurl.M_MAXCONNECTS, options.max_requests)
        # Runs in the thread that takes the answers, while that waits for the next: a thread of its
        # own would contend for the interpreter with the decoder's over each piece of each answer.
        self._loop = asyncio.SelectorEventLoop()

    def fetch(self, requests: Sequence[Request]) -> Iterator[bytes | PixelError]:
        """Fetches some pictures: for each, in the same order, its bytes or why there are none.

        While one is used, those after it are under way, as far as a `ByteBudget` allows. A picture
        for which there is no room, as it turns out, is broken off and asked for again later.

        Reasons are `missing` (404, 410, or a placeholder in its stead), `http_status` (with the
        status, or why there was no answer), `timeout`, `truncated`, `too_large`,
        `size_mismatch`, `md5_mismatch`, `not_image` (compressed for transport, which nobody asked
        for) and `blocked_address`. Whether the bytes are a picture is for others to check.
        """
        budget = ByteBudget()

        def start(number: int) -> asyncio.Task[bytes | PixelError]:
            request = requests[number]
            size = min(request.size or self._usual_bytes, self._options.max_bytes)
            return self._loop.create_task(self._answer_within(Room(budget, number, size), request))

        taken = itertools.count(1)

        def take(answer: asyncio.Task[bytes | PixelError]) -> bytes | PixelError:
            if answer.done() and next(taken) % _TAKEN_AT_ONCE:
                return answer.result()
            return self._loop.run_until_complete(answer)

        return in_order(len(requests), start, take, budget)

    def close(self) -> None:
        """Gives connections back; what is still being fetched is cancelled."""
        if not self._loop.is_closed():
            self._loop.run_until_complete(self._shut())
            self._loop.close()

    async def _shut(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self._multi.aclose()
        for transfer in self._idle:
            transfer.close()

    async def _answer_within(self, room: Room, request: Request) -> bytes | PixelError:
        """The answer to a request, which gets as much room as it turns out to need."""
        while True:
            if not (granted := room.claim()).done():
                await asyncio.wrap_future(granted)
            try:
                answer = await self._answer(request, room)
            except LargerError:
                continue
            size = len(answer) if isinstance(answer, bytes) else 0
            room.resize(size)
            if size:
                self._usual_bytes += (size - self._usual_bytes) // _USUAL_OF
            return answer

    async def _answer(self, request: Request, room: Room) -> bytes | PixelError:
        attempts = Attempts(self._options.retry)
        while True:
            try:
                data = await self._follow(request.url, attempts, room)
                return _verified(data, request)
            except PassingError as error:
                wait = attempts.wait(error.after)
                if wait is None:
                    return PixelError(error.reason, f"{error.detail} ({attempts.failed} attempts)")
            except PixelError as error:
                return error
            await asyncio.sleep(wait)

    async def _follow(self, url: str, attempts: Attempts, room: Room) -> bytes:
        url = addresses.checked_url(url)
        asked_first = _origin(url)
        for _ in range(self._options.max_redirects + 1):
            uses_netrc = self._uses_netrc and _origin(url) == asked_first
            answer = await self._ask(url, attempts, room, uses_netrc)
            if isinstance(answer, bytes):
                return answer
            url = addresses.checked_url(answer, base=url)
            if _PLACEHOLDER in urlsplit(url).path:
                raise PixelError(Reason.MISSING, f"redirected to {url}")
        limit = self._options.max_redirects
        raise PixelError(Reason.HTTP_STATUS, f"more than {limit} redirects, the last to {url}")

    async def _ask(self, url: str, attempts: Attempts, room: Room, uses_netrc: bool) -> bytes | str:
        host = self._hosts[urlsplit(url).netloc.lower()]
        async with host.slots:
            while (pause := host.paused_until - time.monotonic()) > 0:
                await asyncio.sleep(pause)
            async with self._slots:
                if not self._idle:
                    self._idle.append(Transfer(self._multi, self._options, self._refusal))
                transfer = self._idle.pop()
                try:
                    return await transfer.ask(url, attempts.seconds_left(), room, uses_netrc)
                except PassingError as error:
                    # "Too many requests" means the others too.
                    if error.after is not None and error.detail == "429":
                        wait = min(error.after, self._options.retry.longest_wait)
                        host.paused_until = time.monotonic() + wait
                    raise
                finally:
                    self._idle.append(transfer)


class _Host:
    """What requests to one host share."""

    def __init__(self, max_requests: int) -> None:
        self.slots = asyncio.Semaphore(max_requests)
        self.paused_until = 0.0


def _origin(url: str) -> tuple[str, str]:
    """What a password is for: the scheme, and the host with its port."""
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.rpartition("@")[2].lower()


def _verified(data: bytes, request: Request) -> bytes:
    if request.size is not None and len(data) != request.size:
        raise PixelError(Reason.SIZE_MISMATCH, f"{len(data)} bytes, {request.size} were published")
    if request.md5 is not None:
        md5 = base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
        if md5 != request.md5:
            raise PixelError(Reason.MD5_MISMATCH, f"{md5}, {request.md5} was published")
    return data


class HttpSource:
    """Pictures over HTTP.

    Args:
        source: `medium` is `http` (`path` a template with `{split}` and `{image_id}`), `original`
            or `thumbnail` (the published addresses; an empty thumbnail's is the original's).
        options: limits and timeouts.
    """

    def __init__(self, source: Source, options: HttpOptions) -> None:
        self._source = source
        # The hosts of published addresses are anybody's.
        self._fetcher = HttpFetcher(options, uses_netrc=source.medium == "http")

    def ask(self, images: pa.Table) -> Iterator[Iterator[Answer]]:
        rows = images.select(_COLUMNS).to_pylist()
        requests = [self._request(row) for row in rows]
        answers = self._fetcher.fetch([request for request in requests if request])
        for request, row in zip(requests, rows, strict=True):
            if request:
                answer = partial(Answer, request.url, is_thumbnail=self._has_thumbnail(row))
                yield map(answer, itertools.islice(answers, 1))
            else:
                yield iter(())

    def close(self) -> None:
        self._fetcher.close()

    def _request(self, row: dict) -> Request | None:
        """Returns where an image's picture should be; None where no address is published."""
        if self._source.medium == "http":
            return Request(self._source.path.format(split=row["split"], image_id=row["image_id"]))
        if self._has_thumbnail(row):
            return Request(row["thumbnail_300k_url"])
        return Request(*(row[name] for name in _ORIGINAL)) if row["original_url"] else None

    def _has_thumbnail(self, row: dict) -> bool:
        """Returns whether the thumbnail of an image is asked for, and not the original."""
        return self._source.medium == "thumbnail" and bool(row["thumbnail_300k_url"])
