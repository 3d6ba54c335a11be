"""Pictures by an image list, from a template of URLs into a folder."""

import os
import re
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from downloading.client import Client, DownloadError, MissingError, PassingError
from downloading.meter import Meter

#: The public bucket.
PUBLIC_URL = "https://open-images-dataset.s3.amazonaws.com/{split}/{image_id}.jpg"

SPLITS = ("train", "validation", "test", "challenge2018")

_LINE = re.compile(rf"({'|'.join(SPLITS)})/([0-9a-f]{{16}})")
_LARGEST = 256 << 20
_START_OF_JPEG = b"\xff\xd8"
_FAILURES_SHOWN = 5
_FAILURES_BEFORE_GIVING_UP = 100


class ListError(ValueError):
    """An image list is wrong; the message names the line."""


class Picture(NamedTuple):
    """A line of an image list."""

    split: str
    image_id: str

    def __str__(self) -> str:
        return f"{self.split}/{self.image_id}"


def read_list(path: Path, splits: Iterable[str] = SPLITS) -> list[Picture]:
    """Reads an image list: `$SPLIT/$IMAGE_ID` a line; blank lines and repeated ones are skipped.

    Args:
        path: the file.
        splits: which to keep.

    Raises:
        ListError: A line is of another form, or there is none.
    """
    wanted, pictures = set(splits), {}
    with open(path, encoding="utf-8", errors="backslashreplace") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            found = _LINE.fullmatch(line.strip())
            if not found:
                raise ListError(
                    f"--image_list: {path}, line {number}: {line.strip()[:80]!r} is not "
                    f"SPLIT/IMAGE_ID: a split of {', '.join(SPLITS)} and 16 lowercase hex digits"
                )
            if found[1] in wanted:
                pictures[Picture(found[1], found[2])] = None
    if not pictures:
        raise ListError(f"--image_list: {path} holds no images of {', '.join(sorted(wanted))}")
    return list(pictures)


def check_template(template: str) -> None:
    """Checks a template of URLs.

    Raises:
        ValueError: It has no `{image_id}`, or other fields than that and `{split}`.
    """
    fields = re.findall(r"\{[^}]*\}?|\}", template)
    if "{image_id}" not in fields or not set(fields) <= {"{split}", "{image_id}"}:
        raise ValueError(f"{template!r} must hold {{image_id}}, may {{split}}, and no other braces")


class Pictures:
    """Downloads pictures, and keeps account of them."""

    def __init__(
        self, output: Path, template: str, allowed_failures: float, client: Client, meter: Meter
    ) -> None:
        """Prepares for pictures that go to `images/` below `output`.

        When `allowed_failures` and no few pictures have failed for other reasons than that they are
        missing, the server is given up.
        """
        self._output, self._template, self._client = output, template, client
        self._meter = meter
        self._giving_up = max(allowed_failures, _FAILURES_BEFORE_GIVING_UP)
        self._lock = threading.Lock()
        self.missing: list[Picture] = []
        self.present = self.fetched = self.failed = 0

    def fetch(self, picture: Picture) -> None:
        """Downloads a picture, unless it is there."""
        path = self._output / "images" / picture.split / f"{picture.image_id}.jpg"
        if path.exists():
            with self._lock:
                self.present += 1
        else:
            self._fetch_to(picture, path)
        self._meter.add(1)

    def write_missing(self) -> Path:
        """Writes the list of the pictures that the server doesn't have, sorted; none, no file."""
        path = self._output / "missing.txt"
        if self.missing:
            part = path.with_name("missing.txt.part")
            part.write_text("".join(f"{picture}\n" for picture in sorted(self.missing)))
            os.replace(part, path)
        else:
            path.unlink(missing_ok=True)
        return path

    def _fetch_to(self, picture: Picture, path: Path) -> None:
        url = self._template.replace("{split}", picture.split)
        url = url.replace("{image_id}", picture.image_id)
        try:
            data = self._client.persevere(lambda: self._get(url), lambda: 0)
        except MissingError as error:
            if error.status == 403:
                self._fail(picture, error)
                return
            with self._lock:
                self.missing.append(picture)
        except DownloadError as error:
            self._fail(picture, error)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_name(path.name + ".part")
            part.write_bytes(data)
            os.replace(part, path)
            with self._lock:
                self.fetched += 1

    def _fail(self, picture: Picture, error: DownloadError) -> None:
        with self._lock:
            self.failed += 1
            failed = self.failed
        if failed <= _FAILURES_SHOWN:
            self._meter.say(f"{picture}: {error}")
        if failed > self._giving_up:
            raise DownloadError(f"{failed} pictures failed, the last with: {error}")

    def _get(self, url: str) -> bytes:
        with self._client.get(url) as answer:
            data = bytearray()
            for chunk in answer.chunks():
                data += chunk
                if len(data) > _LARGEST:
                    raise DownloadError(f"{url} is larger than {_LARGEST} bytes")
        if answer.total is not None and len(data) < answer.total:
            raise PassingError(f"the connection ended after {len(data)} of {answer.total} bytes")
        if not data.startswith(_START_OF_JPEG):
            raise DownloadError(f"{url} is no JPEG")
        return bytes(data)
