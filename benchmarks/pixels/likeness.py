"""How close resized photographs come to full decode and averaging over areas.

They are compared before they are encoded: at quality 90 the very picture compared with is only 33
to 40 dB from itself once encoded, which would hide what resizing costs.
"""

import math
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import simplejpeg

from benchmarks.pixels.loop import SIZE
from benchmarks.pixels.photographs import LONGEST, read_photographs
from benchmarks.report import judged
from transforms.examples.imaging.decode import choose_reduction, decode_pixels
from transforms.examples.imaging.header import check_picture
from transforms.examples.imaging.resize import resize_pixels, target_size

_TARGET = 38
_QUALITY = 90


def compare_likeness(photographs: Path) -> None:
    """Prints PSNR on the natural photographs.

    Each enlarged or reduced to 1024 pixels and then to a shorter side of 256, as pictures of Open
    Images are; and as it is, to the same fraction: enlarged ones are smoother than photographs.

    Args:
        photographs: the folder of `install_photographs`.
    """
    print(f"\nPSNR in dB against full decode and averaging over areas, JPEGs of quality {_QUALITY}")
    print(f"  {'':20}{'at 1024 pixels':>30}{'in its own size':>30}")
    print(f"  {'':20}" + f"{'this project':>15}{'bare loop':>15}" * 2)
    columns: list[list[float]] = []
    for name, pixels in read_photographs(photographs):
        height, width = pixels.shape[:2]
        scale = LONGEST / max(height, width)
        interpolation = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
        resized = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=interpolation)
        size = round(SIZE / scale)
        figures = [
            _psnr(encoded, side, way)
            for encoded, side in ((_jpeg(resized), SIZE), (_jpeg(pixels), size))
            for way in (_ours, _bare)
        ]
        print(f"  {name:20}" + "".join(f"{figure:15.1f}" for figure in figures))
        columns.append(figures)
    for name, summary in (("mean", np.mean), ("minimum", np.min)):
        print(f"  {name:20}" + "".join(f"{figure:15.1f}" for figure in summary(columns, axis=0)))
    ours = np.array(columns)[:, [0, 2]]
    for where, column in zip(("at 1024 pixels", "in its own size"), ours.T, strict=True):
        print(judged(f"mean {where}", float(column.mean()), _TARGET, " dB"))
        print(judged(f"minimum {where}", float(column.min()), _TARGET, " dB"))


def _jpeg(pixels: np.ndarray) -> bytes:
    return simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), _QUALITY, "RGB", "420")


def _psnr(data: bytes, size: int, shrink: Callable[[bytes, int, int], np.ndarray]) -> float:
    header = check_picture(data)
    width, height = target_size(header.width, header.height, "shortest", size, False)
    whole = simplejpeg.decode_jpeg(data, "RGB")
    wanted = cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA)
    difference = wanted.astype(float) - shrink(data, width, height)
    return 10 * math.log10(255**2 / np.mean(difference**2))


def _ours(data: bytes, width: int, height: int) -> np.ndarray:
    header = check_picture(data)
    reduction = choose_reduction(header, width, height)
    pixels = decode_pixels(data, header, reduction)
    extent = (header.width / reduction, header.height / reduction)
    return resize_pixels(pixels, width, height, extent)


def _bare(data: bytes, width: int, height: int) -> np.ndarray:
    """What `loop.shrink` does before it encodes."""
    pixels = simplejpeg.decode_jpeg(data, "RGB", min_height=height, min_width=width)
    return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR)
