"""The pictures of the benchmark, their boxes, and what they are packed in."""

import functools
import gzip
import shutil
import tempfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from benchmarks.pixels.photographs import (
    LARGEST,
    LONGEST,
    SMALLEST,
    install_photographs,
    make_picture,
)
from open_images.synthesis import layout
from open_images.synthesis.archives import Archives
from open_images.synthesis.definitions import boxable_mids, write_definitions
from open_images.synthesis.identity import image_id
from transforms.kinds import published
from transforms.system.processes import in_order

#: All pictures are of one split.
SPLIT = "validation"
_BOXES = 8  # of a picture in the mean
_CORNERS = (0, 0.5, 0, 0.5)  # XMin, XMax, YMin, YMax


@dataclass(frozen=True)
class Corpus:
    """Pictures with boxes in the formats that Open Images publishes.

    Attributes:
        folder: what holds all of it.
    """

    folder: Path

    @property
    def annotations(self) -> Path:
        """The folder of tables."""
        return self.folder / "annotations"

    @property
    def images(self) -> Path:
        """The folder of `{split}/{ImageID}.jpg`."""
        return self.folder / "images"

    @property
    def tar(self) -> Path:
        """The same pictures in a tar."""
        return self.folder / "tar" / f"{SPLIT}.tar"

    @property
    def tar_gz(self) -> Path:
        """That tar, compressed."""
        return self.folder / f"{SPLIT}.tar.gz"

    @functools.cached_property
    def pictures(self) -> list[Path]:
        """The files of all pictures, by name."""
        return sorted((self.images / SPLIT).iterdir())

    def describe(self) -> str:
        """What there is.

        Raises:
            AssertionError: a picture has less than `SMALLEST` or more than `LARGEST` bytes.
        """
        sizes = [path.stat().st_size for path in self.pictures]
        assert SMALLEST <= min(sizes) <= max(sizes) <= LARGEST, (min(sizes), max(sizes))
        return (
            f"{len(sizes):,} JPEGs of {LONGEST} pixels, {min(sizes) / 1e3:.0f} to "
            f"{max(sizes) / 1e3:.0f} kB, {sum(sizes) / len(sizes) / 1e3:.0f} in the mean"
        )


def make_corpus(work: Path, photographs: Path, images: int, workers: int) -> Corpus:
    """Makes a corpus, unless it's there already.

    Args:
        work: the folder that it goes to.
        photographs: the folder of `install_photographs`.
        images: how many.
        workers: processes; they don't change the bytes.
    """
    corpus = Corpus(work / f"pictures-{images}")
    if corpus.folder.exists():
        return corpus
    install_photographs(photographs)
    with tempfile.TemporaryDirectory(prefix="making-", dir=work) as making:
        made = Corpus(Path(making) / "corpus")
        _write_annotations(made, images)
        make = functools.partial(make_picture, photographs)
        drawn = in_order(make, range(images), workers)
        with (
            closing(Archives(made.images, "folder")) as folder,
            closing(Archives(made.tar.parent, "tar")) as tar,
        ):
            for number, data in enumerate(tqdm(drawn, total=images, unit="image", disable=None)):
                for store in (folder, tar):
                    store.add(SPLIT, f"{SPLIT}/{image_id(0, number)}.jpg", data)
        with made.tar.open("rb") as tar, gzip.open(made.tar_gz, "wb", compresslevel=6) as packed:
            shutil.copyfileobj(tar, packed, 1 << 20)
        made.folder.rename(corpus.folder)
    return corpus


def _write_annotations(corpus: Corpus, images: int) -> None:
    write_definitions(corpus.annotations, "v7")
    rng = np.random.default_rng(0)
    mids = boxable_mids()
    tables = {table: [published.header_of("v7", table, SPLIT)] for table in ("images", "boxes")}
    for number in range(images):
        name = image_id(0, number)
        address = "https://farm1.staticflickr.example/photo.jpg"
        tables["images"].append(
            f"{name},{SPLIT},{address},{address},https://creativecommons.org/licenses/by/2.0/,"
            f"https://www.flickr.example/people/someone/,Someone,Title {number},,,,0.0"
        )
        for _ in range(rng.poisson(_BOXES)):
            edges = ",".join(f"{edge:.3f}" for edge in rng.integers(0, 500, 4) / 1000 + _CORNERS)
            tables["boxes"].append(
                f"{name},xclick,{mids[rng.integers(len(mids))]},1,{edges},0,1,0,0,0"
            )
    for table, lines in tables.items():
        (name,) = layout.files_of("v7", table, SPLIT)
        (corpus.annotations / name).write_text("\n".join(lines) + "\n")
