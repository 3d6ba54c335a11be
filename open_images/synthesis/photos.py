"""The image table: what a photo site publishes of each photo, all of it invented.

URLs have Flickr's form under the reserved domain `.example`, so that nothing can be fetched by
mistake. Original size and MD5 describe an original that doesn't exist.
"""

import base64

import numpy as np

from open_images.synthesis.text import Row

HOST = "staticflickr.example"
LICENSE = "https://creativecommons.org/licenses/by/2.0/"

AUTHORS = (
    "Synthetic Sam",
    'Ann "Lens" Example',
    "Doe, Jane",
    "Пример Тест",
    "例 太郎",
    "مثال",
    "Zoë Beispiel",
    "snap😀shot",
    "1234567",
)
TITLES = (
    "IMG_0042",
    "A day out, with friends",
    'The "best" picture',
    "two lines:\nhere is the second",
    "Утро в деревне",
    "夏の海, 2010",
    "صورة",
    "party 🎉🎈",
    "",
    "...und 'Schluss'",
    "0042",
    "x" * 120,
)
# What a table of 20 images holds; the rest of it is upright.
ROTATIONS = {3: "90.0", 5: "180.0", 9: "270.0", 11: "", 14: "nan", 17: "90.0"}
NO_THUMBNAIL_EVERY = 40


def rotation_of(index: int) -> str:
    """Returns the published text of an image's rotation; empty and `nan` mean unknown."""
    return ROTATIONS.get(index % 20, "0.0")


def photo_row(image_id: str, split: str, index: int, release: str, rng: np.random.Generator) -> Row:
    """Returns a row of the image table: 12 fields, for V3 11.

    Args:
      image_id: of the picture.
      split: its `Subset`.
      index: number of the image in the corpus; the quirks go round by it.
      release: `v3` has no rotation.
      rng: for numbers and the hash.
    """
    number, author = int(rng.integers(10**9, 10**10)), int(rng.integers(1000))
    secret = int(rng.integers(2**32))
    farm = f"https://farm{1 + index % 9}.{HOST}/{4000 + index % 4000}/{number}_{secret:08x}"
    site = f"synthetic-{author:03d}"
    thumbnail = "" if index % NO_THUMBNAIL_EVERY == 13 else f"{farm}_z.jpg"
    row = (
        image_id,
        split,
        f"{farm}_o.jpg",
        f"https://www.flickr.example/photos/{site}/{number}",
        LICENSE,
        f"https://www.flickr.example/people/{site}/",
        AUTHORS[author % len(AUTHORS)],
        TITLES[index % len(TITLES)],
        str(int(rng.integers(100_000, 6_000_000))),
        base64.b64encode(rng.bytes(16)).decode(),
        thumbnail,
    )
    return row if release == "v3" else (*row, rotation_of(index))
