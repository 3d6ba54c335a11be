"""Pictures that are asked for by name: over HTTP, from published addresses, from object stores."""

from collections.abc import Iterator

import pyarrow as pa

from transforms.dataset.elements import Source
from transforms.dataset.failures import PixelError
from transforms.sources.answers import Answer
from transforms.sources.http import HttpFetcher, Request
from transforms.sources.limits import HttpOptions
from transforms.sources.objects import ObjectFetcher
from transforms.storage.stores import ObjectOptions

_ORIGINAL = ("original_url", "original_size", "original_md5")
_COLUMNS = ("image_id", "split", *_ORIGINAL, "thumbnail_300k_url")


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
            is_thumbnail = self._has_thumbnail(row)
            yield self._take(request.url, answers, is_thumbnail) if request else iter(())

    def _take(
        self, url: str, answers: Iterator[bytes | PixelError], is_thumbnail: bool
    ) -> Iterator[Answer]:
        yield Answer(url, next(answers), is_thumbnail)

    def close(self) -> None:
        self._fetcher.close()

    def _request(self, row: dict) -> Request | None:
        """Where an image's picture should be; None where no address is published."""
        if self._source.medium == "http":
            return Request(self._source.path.format(split=row["split"], image_id=row["image_id"]))
        if self._has_thumbnail(row):
            return Request(row["thumbnail_300k_url"])
        return Request(*(row[name] for name in _ORIGINAL)) if row["original_url"] else None

    def _has_thumbnail(self, row: dict) -> bool:
        """Whether the thumbnail of an image is asked for, and not the original."""
        return self._source.medium == "thumbnail" and bool(row["thumbnail_300k_url"])


class ObjectSource:
    """Pictures in a bucket of S3 or Google Cloud Storage.

    Args:
        source: `path` is `s3://bucket/prefix`, `gs://bucket/prefix`, or such a template.
        options: endpoint, limits and timeouts.
    """

    def __init__(self, source: Source, options: ObjectOptions) -> None:
        self._fetcher = ObjectFetcher(source.path, options)

    def ask(self, images: pa.Table) -> Iterator[Iterator[Answer]]:
        rows = zip(images["split"].to_pylist(), images["image_id"].to_pylist(), strict=True)
        keys = [self._fetcher.candidates(split, image_id) for split, image_id in rows]
        for (key, *_), answer in zip(keys, self._fetcher.fetch(keys), strict=True):
            yield iter([Answer(self._fetcher.uri(key), answer)])

    def close(self) -> None:
        self._fetcher.close()
