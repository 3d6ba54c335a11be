"""What is known of a bucket that is being built, to be compared with the version before and kept
for the next one."""

from collections.abc import Iterable

import numpy as np
import pyarrow as pa

from transforms.config import BuildConfig
from transforms.dataset.elements import in_one_piece
from transforms.dataset.keys import find, image_keys
from transforms.reuse.digest import digest_of
from transforms.reuse.identity import UNKNOWN, mask_identities, picture_identities
from transforms.reuse.recording import ROW


class SplitLineage:
    """The images of a bucket and split.

    Attributes:
        rows: (n,) of `ROW`, by key.
    """

    def __init__(self, images: pa.Table, config: BuildConfig) -> None:
        """Takes n rows of `join.Joined.table`, all of one split."""
        keys, _ = image_keys(in_one_piece(images["image_id"]))
        pictures = picture_identities(images, config.sources, config.image_spec.apply_rotation)
        self.rows = np.empty(len(images), ROW)
        self.rows["key"] = keys
        self.rows["picture"] = pictures
        self.rows["masks"] = UNKNOWN
        if any(source.kind == "mask_files" for source in config.sources):
            self.rows["masks"] = mask_identities(images, config.sources, pictures)
        self._written = np.zeros(len(images), bool)

    def places(self, image_ids: pa.ChunkedArray) -> np.ndarray:
        """Where some of the images are among all of them."""
        keys, _ = image_keys(in_one_piece(image_ids))
        return find(self.rows["key"], keys)[0]

    def add(self, image_ids: pa.ChunkedArray, failed: Iterable[str | None]) -> None:
        """Takes note of images that were written, and of those among them of which masks failed."""
        self._written[self.places(image_ids)] = True
        again = [image_id for image_id in failed if image_id is not None]
        if again:
            places = self.places(pa.chunked_array([again], pa.string()))
            self.rows["masks"][places] = UNKNOWN

    def written(self) -> np.ndarray:
        """The rows of the images that were written."""
        return self.rows[self._written]


def digest_bucket(joined: pa.Table, splits: Iterable[SplitLineage], others: Iterable[bytes]) -> str:
    """The digest of all that a bucket's examples come from, beside flags and code.

    Args:
        joined: the table of `join.Joined`.
        splits: its images.
        others: what else counts.
    """
    return digest_of(joined, [*(split.rows.view(np.uint8) for split in splits), *others])
