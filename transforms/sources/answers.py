"""What a source of pictures is asked and answers."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import pyarrow as pa

from transforms.dataset.failures import PixelError


class Answer(NamedTuple):
    """What a source has for an image: the picture's bytes, or why there are none.

    `source` is a file, an archive, or the picture's own URL. A thumbnail's size isn't that of the
    original picture.
    """

    source: str
    picture: bytes | memoryview | PixelError
    is_thumbnail: bool = False


class PictureSource(Protocol):
    """A source of pictures, or several that are asked together."""

    def ask(self, images: pa.Table) -> Iterator[Iterator[Answer]]:
        """Answers for each of some images, in the order in which they should be tried."""

    def close(self) -> None:
        """Gives back files and connections."""
