"""Segmentation masks: their rows, PNGs and zip archives."""

import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from open_images.synthesis.boxes import Box
from open_images.synthesis.regions import pick
from open_images.synthesis.text import Row, short
from open_images.synthesis.vocabulary import mid_of

# Of the PNG to the picture: few have its size. Much smaller ones would lose a balloon's string.
_SCALES = (0.8, 1.0, 1.25, 1.6, 2.0, 2.5)
_COVERED = 100  # of 255: from where on a pixel of the PNG belongs to the mask


def box_id(rng: np.random.Generator) -> str:
    """Eight hex digits; now and then ones that look like a number, such as 05580497 or 1234e567."""
    chance = rng.random()
    if chance < 0.12:
        return f"0{int(rng.integers(10**7)):07d}"
    if chance < 0.18:
        return f"{int(rng.integers(10**4)):04d}e{int(rng.integers(10**3)):03d}"
    return f"{int(rng.integers(2**32)):08x}"


def mask_of(image_id: str, box: Box, rng: np.random.Generator) -> tuple[Row, bytes]:
    """A box's mask.

    Args:
      image_id: of the picture.
      box: from which the annotator drew the mask.
      rng: for clicks, size and id.

    Returns:
      The row of the masks file, and the PNG: 1-bit, covering the whole picture.
    """
    mid, number = mid_of(box.region.name), box_id(rng)
    path = f"{image_id}_{mid.replace('/', '')}_{number}.png"
    iou = "" if rng.random() < 0.15 else f"{rng.uniform(0.5, 0.99):.5f}"
    coordinates = tuple(map(short, box.bounds))
    clicks = ";".join(_clicks(box.region.mask, rng))
    row = (path, image_id, mid, number, *coordinates, iou, clicks)
    return row, png(box.region.mask, float(rng.choice(_SCALES)))


def _clicks(mask: np.ndarray, rng: np.random.Generator) -> list[str]:
    """`X Y T`: where an annotator corrected the mask, T telling object (1) from background (0)."""
    clicks = []
    for _ in range(int(rng.integers(2, 8))):
        kind = int(rng.random() < 0.6)
        at = pick(mask if kind else ~mask, rng)
        if at is not None:
            clicks.append(f"{at[0]:.5f} {at[1]:.5f} {kind}")
    return clicks


def png(mask: np.ndarray, scale: float) -> bytes:
    """Encodes a mask as 1-bit PNG.

    Args:
      mask: bool (height, width).
      scale: of the PNG's sides to the mask's.

    Returns:
      The file's bytes.
    """
    image = Image.fromarray(mask.astype(np.uint8) * 255)
    if scale != 1.0:
        size = round(mask.shape[1] * scale), round(mask.shape[0] * scale)
        image = image.resize(size, Image.Resampling.BILINEAR)
    out = BytesIO()
    Image.fromarray(np.asarray(image) >= _COVERED).save(out, "PNG")
    return out.getvalue()


class MaskArchives:
    """The zips of mask PNGs: one for each split and first character of the ImageID."""

    def __init__(self, folder: Path) -> None:
        """Will write `{split}-masks-{0..f}.zip` into `folder`, those with members only."""
        self._folder = folder
        self._archives: dict[str, zipfile.ZipFile] = {}

    def add(self, split: str, name: str, data: bytes) -> None:
        """Adds a PNG under its MaskPath."""
        stem = f"{split}-masks-{name[0]}"
        if stem not in self._archives:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._archives[stem] = zipfile.ZipFile(self._folder / f"{stem}.zip", "w")
        # A ZipInfo by itself carries the fixed date 1980-01-01.
        self._archives[stem].writestr(zipfile.ZipInfo(name), data)

    def close(self) -> None:
        """Ends all archives."""
        for archive in self._archives.values():
            archive.close()
