"""The bare loop: `python -m benchmarks.pixels.loop FOLDER FIRST STEP`.

Decodes, resizes to a shorter side of 256 and encodes every `STEP`th picture from memory on one core
and checks nothing. Says when it has read them, waits for a line, and prints seconds, seconds of a
core, and pictures.
"""

import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import cv2
import simplejpeg

SIZE, QUALITY = 256, 90


def shrink(data: bytes) -> bytes:
    """A JPEG as small JPEG, by the fastest way that is simple.

    Decoding is scaled to the next eighth above the size wanted; from there on bilinear, which takes
    half of the time of averaging over areas.
    """
    height, width = map(int, simplejpeg.decode_jpeg_header(data)[:2])
    scale = SIZE / min(height, width)
    height, width = round(height * scale), round(width * scale)
    pixels = simplejpeg.decode_jpeg(data, "RGB", min_height=height, min_width=width)
    if pixels.shape[:2] != (height, width):
        pixels = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR)
    return simplejpeg.encode_jpeg(pixels, QUALITY, "RGB", "420")


class Loops(NamedTuple):
    """What some loops at once took.

    Attributes:
        rate: images a second of all together.
        cpu_each: seconds of a core for an image.
    """

    rate: float
    cpu_each: float


def measure(folder: Path, processes: int) -> Loops:
    """Runs so many loops at once, which share the pictures of a folder."""
    command = (sys.executable, "-m", "benchmarks.pixels.loop", str(folder))
    loops = [
        subprocess.Popen(
            (*command, str(first), str(processes)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for first in range(processes)
    ]
    for loop in loops:
        assert loop.stdout is not None
        loop.stdout.readline()
    outputs = []
    for loop in loops:
        assert loop.stdin is not None
        loop.stdin.write("\n")
        loop.stdin.flush()
    for loop in loops:
        outputs.append([float(word) for word in loop.communicate()[0].split()])
    seconds, cpu_seconds, counts = zip(*outputs, strict=True)
    return Loops(sum(counts) / max(seconds), sum(cpu_seconds) / sum(counts))


def _main(folder: Path, first: int, step: int) -> None:
    cv2.setNumThreads(1)
    pictures = [path.read_bytes() for path in sorted(folder.iterdir())[first::step]]
    print("ready", flush=True)
    sys.stdin.readline()
    started, used = time.perf_counter(), time.process_time()
    for data in pictures:
        shrink(data)
    print(time.perf_counter() - started, time.process_time() - used, len(pictures))


if __name__ == "__main__":
    _main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
