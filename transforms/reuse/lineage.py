"""What a version keeps of a bucket's images, to be compared by the next build."""

from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa

from transforms.dataset.elements import Source, in_one_piece
from transforms.dataset.failures import Failure
from transforms.dataset.keys import find, image_keys
from transforms.reuse.digest import digest_of
from transforms.reuse.identity import UNKNOWN, mask_identities, picture_identities
from transforms.reuse.recording import ROW


def lineage_of(images: pa.Table, sources: Sequence[Source], turned: bool) -> np.ndarray:
    """Returns (n,) of `ROW`, by key, of images of one split.

    Args:
        images: n rows of `join.Joined.table`.
        sources: all sources, by index.
        turned: whether pictures are turned by their published rotation.
    """
    keys, _ = image_keys(in_one_piece(images["image_id"]))
    pictures = picture_identities(images, sources, turned)
    rows = np.empty(len(images), ROW)
    rows["key"] = keys
    rows["picture"] = pictures
    rows["masks"] = UNKNOWN
    if any(source.kind == "mask_files" for source in sources):
        rows["masks"] = mask_identities(images, sources, pictures)
    return rows


def written_rows(
    rows: np.ndarray, image_ids: Sequence[pa.Array], failures: Iterable[Failure]
) -> np.ndarray:
    """Returns the rows of the images that were written.

    Args:
        rows: as of `lineage_of`.
        image_ids: of the images that were written.
        failures: of their pictures and masks: masks of these images are to be tried again.
    """
    is_written = np.zeros(len(rows), bool)
    is_written[places_of(rows, pa.chunked_array(image_ids, pa.string()))] = True
    again = [failure.image_id for failure in failures if failure.image_id is not None]
    rows = rows.copy()
    rows["masks"][places_of(rows, pa.chunked_array([again], pa.string()))] = UNKNOWN
    return rows[is_written]


def places_of(rows: np.ndarray, image_ids: pa.ChunkedArray) -> np.ndarray:
    """Returns where images are among `rows`, (n,) of `ROW`."""
    keys, _ = image_keys(in_one_piece(image_ids))
    return find(rows["key"], keys)[0]


def digest_bucket(joined: pa.Table, splits: Iterable[np.ndarray], others: Iterable[bytes]) -> str:
    """Returns the digest of all that a bucket's examples come from, beside flags and code.

    Args:
        joined: the table of `join.Joined`.
        splits: its images, each split's as of `lineage_of`.
        others: what else counts.
    """
    return digest_of(joined, [*(rows.view(np.uint8) for rows in splits), *others])
