"""The fingerprint of a build: two builds with the same publish the same bytes."""

import hashlib
import json
import os
from collections.abc import Iterable

from transforms.dataset.elements import Source
from transforms.redaction import redact_url

#: Raised with each change of the code after which the same inputs and flags give other bytes in the
#: same columns, so that the next build doesn't take the version before for its own.
#: `tests/releases/test_golden.py` notices such a change.
OUTPUT_REVISION = 2


def fingerprint(sources: Iterable[Source], settings_fingerprint: str, buckets: int) -> str:
    """Returns the SHA-256 of inputs and settings; it doesn't depend on the inputs' folders.

    Args:
        sources: the inputs, with their digests.
        settings_fingerprint: of flags, columns and output revision; see
            `open_images.building.fingerprint`.
        buckets: how many buckets the images are cut into.
    """
    inputs = [
        # A source that is asked picture by picture has nothing but its address.
        (source.kind, os.path.basename(redact_url(source.path)), source.size, source.digest)
        if source.digest
        else (source.kind, source.path, source.size, source.stamp)
        for source in sources
    ]
    content = {"inputs": inputs, "layout": {"buckets": buckets}, "settings": settings_fingerprint}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
