"""Fetching pictures over HTTP: many at once, and safe against what URLs may lead to."""

import asyncio
import base64
import hashlib
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from typing import NamedTuple
from urllib.parse import urlsplit

import pycurl

from transforms.failures import PixelError, Reason
from transforms.pixels import addresses
from transforms.pixels.limits import HttpOptions
from transforms.pixels.retry import Attempts, PassingError
from transforms.pixels.transfer import Redirect, Refusal, Transfer

USER_AGENT = "open-images-beam (dataset builder)"

#: In the path of the picture to which Flickr redirects from one that was deleted or made private.
_PLACEHOLDER = "photo_unavailable"


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
    """Fetches pictures in a thread of its own, whose connections serve until `close`.

    Args:
        options: of which the fetcher is made; they can be pickled, it can't.
        refusal: says which addresses aren't connected to, unless private hosts are allowed.
    """

    def __init__(self, options: HttpOptions, refusal: Refusal = addresses.refusal) -> None:
        self._options = options
        self._refusal = None if options.allow_private_hosts else refusal
        self._idle: list[Transfer] = []
        self._hosts: dict[str, _Host] = {}
        self._slots = asyncio.Semaphore(options.max_requests)
        self._multi = pycurl.AsyncCurlMulti()
        self._multi.setopt(pycurl.M_MAXCONNECTS, options.max_requests)
        self._loop = asyncio.SelectorEventLoop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="http", daemon=True)
        self._thread.start()

    def submit(self, requests: Sequence[Request]) -> Future[list[bytes | PixelError]]:
        """Begins to fetch some pictures; its result is that of `fetch`."""
        return asyncio.run_coroutine_threadsafe(self._fetch(requests), self._loop)

    def fetch(self, requests: Sequence[Request]) -> list[bytes | PixelError]:
        """Fetches some pictures: for each, in the same order, its bytes or why there are none.

        Reasons are `missing` (404, 410, or a placeholder in its stead), `http_status` (with the
        status, or why there was no answer), `timeout`, `truncated`, `too_large`,
        `size_mismatch`, `md5_mismatch`, `not_image` (compressed for transport, which nobody asked
        for) and `blocked_address`. Whether the bytes are a picture is for others to check.
        """
        return self.submit(requests).result()

    def close(self) -> None:
        """Gives connections back; what is still being fetched is cancelled."""
        if self._loop.is_closed():
            return
        asyncio.run_coroutine_threadsafe(self._shut(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _shut(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self._multi.aclose()
        for transfer in self._idle:
            transfer.close()

    async def _fetch(self, requests: Sequence[Request]) -> list[bytes | PixelError]:
        return await asyncio.gather(*[self._answer(request) for request in requests])

    async def _answer(self, request: Request) -> bytes | PixelError:
        options = self._options
        attempts = Attempts(
            options.retries, options.total_seconds, options.first_wait, options.longest_wait
        )
        while True:
            try:
                return _verified(await self._follow(request.url, attempts), request)
            except PassingError as error:
                wait = attempts.wait(error)
                if wait is None:
                    detail = f"{error.detail} ({attempts.failed} attempts)"
                    return PixelError(error.reason, detail)
            except PixelError as error:
                return error
            await asyncio.sleep(wait)

    async def _follow(self, url: str, attempts: Attempts) -> bytes:
        url = addresses.checked_url(url)
        for _ in range(self._options.max_redirects + 1):
            answer = await self._ask(url, attempts)
            if isinstance(answer, bytes):
                return answer
            url = addresses.checked_url(answer.url, base=url)
            if _PLACEHOLDER in urlsplit(url).path:
                raise PixelError(Reason.MISSING, f"redirected to {url}")
        limit = self._options.max_redirects
        raise PixelError(Reason.HTTP_STATUS, f"more than {limit} redirects, the last to {url}")

    async def _ask(self, url: str, attempts: Attempts) -> bytes | Redirect:
        name = urlsplit(url).netloc.lower()
        host = self._hosts.get(name)
        if host is None:
            host = self._hosts[name] = _Host(self._options.max_per_host)
        async with host.slots:
            while (pause := host.paused_until - time.monotonic()) > 0:
                await asyncio.sleep(pause)
            async with self._slots:
                try:
                    return await self._transfer(url, attempts.seconds_left())
                except PassingError as error:
                    # "Too many requests" means the others too.
                    if error.after is not None and error.detail == "429":
                        wait = min(error.after, self._options.longest_wait)
                        host.paused_until = time.monotonic() + wait
                    raise

    async def _transfer(self, url: str, seconds: float) -> bytes | Redirect:
        options = self._options
        transfer = self._idle.pop() if self._idle else None
        if transfer is None:
            transfer = Transfer(
                options.connect_seconds,
                options.read_seconds,
                options.max_bytes,
                self._refusal,
                USER_AGENT,
            )
        try:
            return await transfer.ask(self._multi, url, seconds)
        finally:
            self._idle.append(transfer)


class _Host:
    """What requests to one host share."""

    def __init__(self, max_requests: int) -> None:
        self.slots = asyncio.Semaphore(max_requests)
        self.paused_until = 0.0


def _verified(data: bytes, request: Request) -> bytes:
    if request.size is not None and len(data) != request.size:
        raise PixelError(Reason.SIZE_MISMATCH, f"{len(data)} bytes, {request.size} were published")
    if request.md5 is not None:
        md5 = base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
        if md5 != request.md5:
            raise PixelError(Reason.MD5_MISMATCH, f"{md5}, {request.md5} was published")
    return data
