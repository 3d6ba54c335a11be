"""Objects of S3 and Google Cloud Storage: asked for by URI, with errors that say what to do."""

import contextlib
import functools
import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import obstore
from obstore.exceptions import BaseError
from obstore.store import ObjectStore

from transforms.redaction import redact
from transforms.storage.stamps import ChangedError, number_of
from transforms.storage.stores import ObjectOptions, open_bucket

if TYPE_CHECKING:
    from obstore import ObjectMeta

_URI = re.compile(r"(?P<scheme>s3|gs)://(?P<bucket>[^/]+)(?:/(?P<key>.*))?", re.DOTALL)
_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w+)</Code>")
_DENIED = ("401", "403")
_OUT_OF_RANGE = "416"
#: What obstore raises; its writers wrap everything in OSErrors.
_ERRORS = (BaseError, OSError, ValueError)

#: Bytes that one request asks for, or sends: few enough for its time limit on a slow line.
REQUEST_BYTES = 8 << 20
#: Requests that one upload has under way.
UPLOADS = 4
_PAGE = 1000

_LOGIN = {
    "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    "gs": "set GOOGLE_APPLICATION_CREDENTIALS, or run 'gcloud auth application-default login'",
}
_Result = TypeVar("_Result")


class StorageError(Exception):
    """An object store couldn't do what it was asked to; the message is one line with the remedy.

    Not an OSError, which readers of archives take for damage of the archive.
    """

    def __init__(self, message: str) -> None:
        super().__init__(redact(message))


class AbsentError(StorageError):
    """There is no such object."""


class OutOfRangeError(StorageError):
    """The object ends before the range that was asked for."""


class DeniedError(StorageError):
    """The credentials, or their want, don't allow it."""


class Status(NamedTuple):
    """An object or file.

    Attributes:
        path: where it is.
        size: in bytes.
        version: what changes when it is written anew: an ETag, or a file's `stamp_of`.
        modified: when it was written, in seconds by the clock of where it is.
    """

    path: str
    size: int
    version: str | None
    modified: float

    @property
    def stamp(self) -> str:
        """The version as listings and answers agree on it, whose quotes may differ; or empty."""
        return (self.version or "").removeprefix("W/").strip('"')


def is_remote(path: str) -> bool:
    """Returns whether a path is the URI of an object store."""
    return path.startswith(("s3://", "gs://"))


def normal(uri: str) -> str:
    """Returns a URI without needless slashes, as listings have it."""
    return "{}://{}/{}".format(*split_uri(uri)).rstrip("/")


def split_uri(uri: str) -> tuple[str, str, str]:
    """Scheme, bucket and key of a URI.

    >>> split_uri("s3://bucket/a/b/")
    ('s3', 'bucket', 'a/b')

    Raises:
        StorageError: it is none.
    """
    match = _URI.fullmatch(uri)
    if not match:
        raise StorageError(f"{uri} is not of the form s3://bucket/path or gs://bucket/path")
    return match["scheme"], match["bucket"], (match["key"] or "").strip("/")


class Bucket:
    """A bucket, and the ways to ask it: with the environment's credentials, then without."""

    def __init__(self, scheme: str, name: str, options: ObjectOptions) -> None:
        """Looks for credentials; nothing is asked of the bucket yet."""
        self.uri = f"{scheme}://{name}"
        self._scheme = scheme
        self._endpoint = options.s3_endpoint_url if scheme == "s3" else None
        try:
            self._stores = open_bucket(scheme, name, options)
        except ValueError as error:
            raise StorageError(str(error)) from None
        self._anonymous = all(store.config.get("skip_signature") for store in self._stores)

    def write(self, key: str, action: Callable[[ObjectStore], _Result]) -> _Result:
        """Changes something in a bucket, with credentials where there are some; errors as `ask`."""
        if self._anonymous and self._scheme == "gs":
            raise self._nobody(self.uri)  # where obstore would seek a token for some time
        with self.explained(key):
            return action(self._stores[0])

    def ask(self, key: str, action: Callable[[ObjectStore], _Result]) -> _Result:
        """Asks a bucket for something, with credentials or, where they are denied, without.

        Raises:
            AbsentError: there is no such object, or no such bucket.
            StorageError: it can't be done.
        """
        denial: Exception | None = None
        for store in self._stores:
            try:
                return action(store)
            except _ERRORS as error:
                if http_status(error) not in _DENIED:
                    raise self._explain(error, key) from None
                denial = denial or error
        raise self._explain(denial or ValueError("there is no way to ask"), key) from None

    def list(self, prefix: str) -> Iterator[Status]:
        """Yields all objects below a prefix, in the order of their keys."""

        def begin(store: ObjectStore) -> tuple[Any, Sequence]:
            stream = obstore.list(store, prefix or None, chunk_size=_PAGE)
            return stream, next(stream, ())

        stream, page = self.ask(prefix, begin)
        while page:
            for entry in page:
                yield _to_status(self.uri, entry)
            with self.explained(prefix):
                page = next(stream, ())

    @contextlib.contextmanager
    def explained(self, key: str) -> Iterator[None]:
        """Turns obstore's errors into a StorageError."""
        try:
            yield
        except _ERRORS as error:
            raise self._explain(error, key) from None

    def _nobody(self, place: str) -> DeniedError:
        return DeniedError(
            f"{place} is not open to all, and there are no credentials: {_LOGIN[self._scheme]}"
        )

    def _explain(self, error: Exception, key: str) -> StorageError:
        """What an error of obstore means to users."""
        text = str(error)
        code, status = _CODE.search(text), http_status(error)
        place = f"{self.uri}/{key}" if key else self.uri
        server = self._endpoint or "the network"
        if code and code[1] == "NoSuchBucket":
            return AbsentError(f"there is no bucket {self.uri}: check its name")
        if isinstance(error, FileNotFoundError):
            return AbsentError(f"{place}: no such object: check the path")
        if "token request" in text:
            return DeniedError(f"{place}: the credentials give no token: {_LOGIN[self._scheme]}")
        if status in _DENIED:
            if self._anonymous:
                return self._nobody(place)
            said = f" ({code[1]})" if code else ""
            return DeniedError(f"{place} is denied to these credentials{said}: check their rights")
        if "kind: Connect" in text:
            return StorageError(f"{place}: no connection: check {server}")
        if "kind: Timeout" in text:
            return StorageError(f"{place}: no answer in time: check {server}")
        if "LOCATION" in text or "missing from response" in text:
            return StorageError(f"{place}: no answer of an object store: check {server}")
        if status == _OUT_OF_RANGE:
            return OutOfRangeError(f"{place}: HTTP {status}")
        if status:
            return StorageError(f"{place}: HTTP {status}{f' ({code[1]})' if code else ''}")
        return StorageError(f"{place}: {first_line(error)}")


def _to_status(bucket: str, meta: "ObjectMeta") -> Status:
    path = f"{bucket}/{meta['path']}"
    return Status(path, meta["size"], meta["e_tag"], meta["last_modified"].timestamp())


def http_status(error: Exception) -> str:
    """Returns the status that a server answered by, as an error of obstore tells; or empty."""
    match = _STATUS.search(str(error))
    return match[1] if match else ""


def first_line(error: Exception) -> str:
    """Returns what an error of obstore comes down to."""
    return str(error).partition("\n")[0].rpartition(" - ")[2]


#: Opens a bucket, once a process.
_open = functools.cache(Bucket)


def locate(uri: str, options: ObjectOptions) -> tuple[Bucket, str]:
    """Returns the bucket of a URI, and the key in it."""
    scheme, name, key = split_uri(uri)
    return _open(scheme, name, options), key


def read_range(
    uri: str, start: int, length: int, options: ObjectOptions, number: int | None = None
) -> bytes:
    """Bytes of an object; fewer where it ends before.

    Args:
        uri: the object.
        start: of the range.
        length: likewise.
        options: how to connect.
        number: `number_of` the stamp that the object had; None if that doesn't matter.

    Raises:
        AbsentError: There is no such object.
        ChangedError: It has another stamp now, or is gone.
        StorageError: It can't be read.
    """
    bucket, key = locate(uri, options)
    if not length:
        return b""

    def get(store: ObjectStore) -> tuple[bytes, str]:
        answer = obstore.get(store, key, options={"range": (start, start + length)})
        return bytes(answer.bytes()), _to_status(bucket.uri, answer.meta).stamp

    try:
        data, stamp = bucket.ask(key, get)
    except (AbsentError, OutOfRangeError) as error:
        # It became shorter, unless the archive is wrong about where its members are.
        is_there = isinstance(error, OutOfRangeError)
        if number is None or (is_there and number_of(status(uri, options).stamp) == number):
            raise
        raise ChangedError.of(uri) from None
    if number is not None and number_of(stamp) != number:
        raise ChangedError.of(uri)
    return data


def status(uri: str, options: ObjectOptions) -> Status:
    """Size and version of an object.

    Raises:
        AbsentError: there is no such object.
    """
    bucket, key = locate(uri, options)
    if not key:
        raise AbsentError(f"{uri} is a bucket, not an object")
    return _to_status(bucket.uri, bucket.ask(key, lambda store: obstore.head(store, key)))


def upload(uri: str, content: bytes | Path, options: ObjectOptions) -> None:
    """Writes an object, which appears whole or not at all; a large file piece by piece."""
    bucket, key = locate(uri, options)
    put = functools.partial(
        obstore.put, path=key, file=content, chunk_size=REQUEST_BYTES, max_concurrency=UPLOADS
    )
    bucket.write(key, put)


def copy(uri: str, target: str, options: ObjectOptions) -> None:
    """Copies an object within its store, without its bytes coming here.

    Raises:
        StorageError: it isn't there, lies in another bucket, or is too large for one request.
    """
    bucket, key = locate(uri, options)
    place, new = locate(target, options)
    if place is not bucket:
        raise StorageError(f"{uri}: in another bucket than {target}")
    bucket.write(key, lambda store: obstore.copy(store, key, new))


def delete(uri: str, options: ObjectOptions) -> None:
    """Deletes an object.

    Raises:
        AbsentError: there is none, where the store says so.
    """
    bucket, key = locate(uri, options)
    bucket.write(key, lambda store: obstore.delete(store, key))


def delete_below(uri: str, options: ObjectOptions, page: int = _PAGE) -> None:
    """Deletes all objects below a prefix; one that goes by itself meanwhile doesn't matter.

    Args:
        uri: the prefix, without its slash.
        options: how to connect.
        page: objects that are deleted by one request.
    """
    bucket, prefix = locate(uri, options)
    found = bucket.list(prefix)
    while paths := [split_uri(entry.path)[2] for entry in itertools.islice(found, page)]:
        with contextlib.suppress(AbsentError):
            bucket.write(prefix, functools.partial(obstore.delete, paths=paths))


def children(uri: str, options: ObjectOptions) -> list[str]:
    """Names of the objects and prefixes just below a prefix; those of prefixes end in `/`."""
    bucket, prefix = locate(uri, options)
    found = bucket.ask(prefix, lambda store: obstore.list_with_delimiter(store, prefix or None))
    paths = [entry["path"] for entry in found["objects"]]
    paths += [f"{path}/" for path in found["common_prefixes"]]
    return sorted(path[len(prefix) :].lstrip("/") for path in paths)
