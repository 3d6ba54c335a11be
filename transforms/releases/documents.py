"""JSON documents as they are published, and the checksums in a manifest.

A manifest has the checksums of all other files of its version. Its own is its last member, and is
of all bytes before the line that holds it: `head -n -2 manifest.json | sha256sum` prints it.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from transforms.wording import clean_values

_END = b"\n}\n"
_LAST_LINE = re.compile(rb' "sha256": "([0-9a-f]{64})"' + re.escape(_END))
_LAST_LINE_BYTES = len(b' "sha256": ""') + 64 + len(_END)


def to_json(value: object) -> bytes:
    """Returns a document as it is published, without control characters in its texts."""
    return (json.dumps(clean_values(value), indent=1, ensure_ascii=False) + "\n").encode()


def describe_file(path: str, data: bytes) -> dict[str, Any]:
    """Returns what a manifest says of a file: its path, bytes and SHA-256."""
    return {"path": path, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def seal_manifest(document: Mapping[str, Any]) -> bytes:
    """Returns the content of a manifest, with its own checksum last."""
    body = to_json(document).removesuffix(_END) + b",\n"
    return body + b' "sha256": "%b"' % hashlib.sha256(body).hexdigest().encode() + _END


def is_sound(manifest: bytes) -> bool:
    """Returns whether a manifest ends with the checksum of what precedes it."""
    body, last_line = manifest[:-_LAST_LINE_BYTES], manifest[-_LAST_LINE_BYTES:]
    match = _LAST_LINE.fullmatch(last_line)
    return bool(match) and match[1].decode() == hashlib.sha256(body).hexdigest()
