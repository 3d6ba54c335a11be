"""`image_ids.txt.gz`: the images that a selection lists, by which it can be repeated."""

import gzip
import hashlib
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from transforms.dataset.keys import image_ids
from transforms.dataset.naming import IMAGE_IDS


def describe(keys: bytes) -> dict[str, object]:
    """Returns how a manifest describes the list of some images.

    Args:
        keys: of the images, sorted uint64 in bytes.
    """
    text = _list(keys)
    checksum = hashlib.sha256(text).hexdigest()
    return {"path": IMAGE_IDS, "images": text.count(b"\n"), "sha256": checksum}


def encode(keys: bytes) -> bytes:
    """Returns the content of the file: ImageIDs in their order, a line each, gzipped."""
    return gzip.compress(_list(keys), mtime=0)


def find_problem(data: bytes, selection: Mapping[str, Any] | None) -> str:
    """Returns what is wrong with the content of the file, if anything is.

    Args:
        data: its content.
        selection: as the manifest has it.
    """
    try:
        checksum = hashlib.sha256(gzip.decompress(data)).hexdigest()
        fits = bool(selection) and selection["image_ids"]["sha256"] == checksum
    except (KeyError, TypeError):
        fits = False
    except (OSError, EOFError, zlib.error):
        return "can't be read: broken gzip"
    return "" if fits else "isn't the list of images that the manifest describes"


def _list(keys: bytes) -> bytes:
    ids = image_ids(np.sort(np.frombuffer(keys, np.uint64))).to_pylist()
    return "".join(f"{each}\n" for each in sorted(ids)).encode()
