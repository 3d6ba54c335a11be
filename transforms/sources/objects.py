"""Fetching pictures from buckets: `s3://bucket/prefix` and `gs://bucket/prefix`."""

import contextlib
import io
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

import obstore
import pyarrow as pa
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import ObjectStore

from transforms.dataset.failures import PixelError, Reason
from transforms.sources.answers import Answer
from transforms.sources.budget import ByteBudget, Room, in_order
from transforms.storage.objects import first_line, http_status
from transforms.storage.stores import ObjectOptions, open_bucket

if TYPE_CHECKING:
    from obstore import GetResult

_URI = re.compile(r"(?P<scheme>s3|gs)://(?P<bucket>[^/{}]+)(?:/(?P<path>.*))?", re.DOTALL)
_PLACEHOLDER = re.compile(r"{[^{}]*}")
_DENIED = (PermissionDeniedError, UnauthenticatedError)
#: What kinds of transport errors mean; obstore tells them in its messages alone.
_BROKEN = {
    "kind: Timeout": (Reason.TIMEOUT, "no whole answer in time"),
    "kind: Connect": (Reason.HTTP_STATUS, "no sound answer: no connection"),
    "kind: Interrupted": (Reason.TRUNCATED, "the answer broke off"),
    "NoContentRange": (Reason.TRUNCATED, "the answer broke off, and the server resumes none"),
}


class ObjectFetcher:
    """Fetches pictures of one bucket, many at once.

    To be made in the process that uses it, since its threads don't survive a fork. Each object is
    asked for with the environment's credentials, where it has some, and without where denied.
    """

    def __init__(self, uri: str, options: ObjectOptions | None = None) -> None:
        """Opens the bucket.

        Args:
            uri: `s3://bucket/prefix` or `gs://bucket/prefix`; or a template, which holds
                `{image_id}` and mostly `{split}` too and names the one place of each picture.
            options: limits and the endpoint.

        Raises:
            ValueError: the URI is none, or the environment's credentials can't be used.
        """
        match = _URI.fullmatch(uri)
        if not match:
            raise ValueError(f"{uri} is not of the form s3://bucket/prefix or gs://bucket/prefix")
        self._options = options or ObjectOptions()
        self._bucket = f"{match['scheme']}://{match['bucket']}"
        path = (match["path"] or "").strip("/")
        prefix = f"{path}/" if path else ""
        layouts = (f"{prefix}{{split}}/{{image_id}}.jpg", f"{prefix}{{image_id}}.jpg")
        self._templates = (path,) if _is_template(uri, path) else layouts
        self._stores = open_bucket(match["scheme"], match["bucket"], self._options)
        self._threads = ThreadPoolExecutor(self._options.max_concurrent, "objects")

    def ask(self, images: pa.Table) -> Iterator[Iterator[Answer]]:
        """Answers for each of some images, as a `PictureSource`."""
        rows = zip(images["split"].to_pylist(), images["image_id"].to_pylist(), strict=True)
        keys = [self.candidates(split, image_id) for split, image_id in rows]
        answers = self.fetch(keys)
        for key, *_ in keys:
            yield map(partial(Answer, f"{self._bucket}/{key}"), islice(answers, 1))

    def candidates(self, split: str, image_id: str) -> tuple[str, ...]:
        """Returns the keys at which an image's picture may be, in the order to try them."""
        return tuple(
            template.replace("{split}", split).replace("{image_id}", image_id)
            for template in self._templates
        )

    def fetch(self, keys: Sequence[str | Sequence[str]]) -> Iterator[bytes | PixelError]:
        """Fetches pictures; while one is used, those after it, as far as a `ByteBudget` allows.

        Args:
            keys: for each of n pictures its key in the bucket, or several to try in order.

        Yields:
            For each of the n pictures, in the same order, its bytes or why there are none:
            `missing` if no key has an object, `too_large`, `timeout`, `truncated` if the answer
            broke off, `http_status` if the server refuses or can't be reached, `unsafe_path` for
            a key that can't be asked for.
        """
        budget = ByteBudget()

        def start(number: int) -> Future[bytes | PixelError]:
            return self._threads.submit(self._first_found, keys[number], Room(budget, number, 0))

        return in_order(len(keys), start, Future.result, budget)

    def close(self) -> None:
        """Ends the threads; what is under way is waited for."""
        self._threads.shutdown(cancel_futures=True)

    def _first_found(self, keys: str | Sequence[str], room: Room) -> bytes | PixelError:
        keys = [keys] if isinstance(keys, str) else keys
        denial = None
        for key in keys:
            try:
                return self._get(key, room)
            except FileNotFoundError as error:
                if "NoSuchBucket" in str(error):
                    return PixelError(Reason.MISSING, f"there is no bucket {self._bucket}")
            except _DENIED as error:
                # Goes on: in buckets that can't be listed, what is absent is denied as well.
                detail = f"HTTP {http_status(error)}: {self._bucket} denies access"
                denial = denial or PixelError(Reason.HTTP_STATUS, detail)
            except PixelError as error:
                return error
            except (BaseError, ValueError) as error:
                return _explain(error)
        return denial or PixelError(Reason.MISSING, f"{self._bucket} has no {', '.join(keys)}")

    def _get(self, key: str, room: Room) -> bytes:
        *first, last = self._stores
        for store in first:
            with contextlib.suppress(*_DENIED):
                return self._download(store, key, room)
        return self._download(last, key, room)

    def _download(self, store: ObjectStore, key: str, room: Room) -> bytes:
        answer = self._head_of(store, key)
        while not room.resize(answer.meta["size"]):
            del answer  # and with it the connection, which would wait for nobody knows how long
            room.claim().result()
            answer = self._head_of(store, key)
        data = io.BytesIO()
        data.writelines(answer)
        return data.getvalue()

    def _head_of(self, store: ObjectStore, key: str) -> "GetResult":
        """Returns the beginning of an answer, whose body has yet to come."""
        answer = obstore.get(store, key)
        size, limit = answer.meta["size"], self._options.max_bytes
        if size > limit:
            raise PixelError(Reason.TOO_LARGE, f"{size} bytes; the limit is {limit}")
        return answer


def _is_template(uri: str, path: str) -> bool:
    """Returns whether a path has placeholders.

    Raises:
        ValueError: it has others than `{split}` and `{image_id}`, or not the latter.
    """
    names = set(_PLACEHOLDER.findall(path))
    if unknown := names - {"{split}", "{image_id}"}:
        raise ValueError(f"{uri}: {min(unknown)} is neither {{split}} nor {{image_id}}")
    if names and "{image_id}" not in names:
        raise ValueError(f"{uri} names one place for all pictures; {{image_id}} is missing")
    return bool(names)


def _explain(error: Exception) -> PixelError:
    """Returns the failure for an error of obstore; without times, so that runs agree."""
    text = str(error)
    if isinstance(error, ValueError):
        return PixelError(Reason.UNSAFE_PATH, text)
    if status := http_status(error):
        return PixelError(Reason.HTTP_STATUS, f"HTTP {status}")
    for words, (reason, detail) in _BROKEN.items():
        if words in text:
            return PixelError(reason, detail)
    return PixelError(Reason.HTTP_STATUS, f"no sound answer: {first_line(error)}")
