"""Measures the memory of builds with huge pictures: 100 megapixels, or the 64 that a PNG may have.

Each build has one worker, which runs in the process of the build, so the peak printed holds the
runner too. A picture of each kind stands among normal ones; it is kept and checked, resized, and
turned losslessly and into other formats.
"""

import argparse
import io
import json
import struct
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
from PIL import Image

from transforms.dataset.keys import image_keys

#: Normal pictures, of a MiB each: as many as a build holds when it comes to the huge one.
_NORMAL = 24
_NORMAL_BYTES = 1 << 20
LIMIT_MIB = 1024
#: Of PNGs, which are written up to this size and read up to 95.
_PNG_MEGAPIXELS = 64
_TILE = 1024

#: Builds in a process of its own, which tells its exit code and the peak of its memory in KiB.
_BUILD = """
import re, sys
from runners import lean
lean.begin_imports()
lean.keep_one_heap()
from pipelines import build
code = build.main(sys.argv[1:])
peak = re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]
print("\\npeak", code, peak)
"""

TREATMENTS = {
    "kept and checked": (),
    "shortest side 256": ("--resize", "shortest", "--image_size", "256"),
    "turned, PNG": ("--apply_rotation", "--image_encoding", "png"),
    "turned, JPEG": ("--apply_rotation", "--image_encoding", "jpeg"),
    "turned, WebP": ("--apply_rotation", "--image_encoding", "webp"),
}


def texture(width: int, height: int) -> np.ndarray:
    """Smooth colours with a little noise: (height, width, 3) uint8."""
    random = np.random.default_rng(1)
    coarse = random.integers(0, 256, (9, 9, 3), dtype=np.uint8)
    tile = cv2.resize(coarse, (_TILE, _TILE), interpolation=cv2.INTER_CUBIC)
    tile = np.clip(tile + random.normal(0, 2, tile.shape), 0, 255).astype(np.uint8)
    repeats = (-(-height // _TILE), -(-width // _TILE), 1)
    return np.ascontiguousarray(np.tile(tile, repeats)[:height, :width])


def baseline(pixels: np.ndarray) -> bytes:
    """A baseline JPEG, 4:2:0."""
    return _saved(pixels, "JPEG", quality=85)


def progressive(pixels: np.ndarray) -> bytes:
    """A progressive JPEG, 4:2:0."""
    return _saved(pixels, "JPEG", quality=85, progressive=True)


def png(pixels: np.ndarray) -> bytes:
    """An RGB PNG."""
    return _saved(pixels, "PNG", compress_level=1)


def png_of_16_bits(pixels: np.ndarray) -> bytes:
    """An RGBA PNG of 16 bits."""
    wide = np.empty((*pixels.shape[:2], 4), np.uint16)
    wide[..., :3] = pixels
    wide[..., 3] = 255
    wide <<= 8
    return cv2.imencode(".png", wide, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()


def interlaced_png(pixels: np.ndarray) -> bytes:
    """An RGB PNG in the seven passes of Adam7, rows unfiltered."""
    packer = zlib.compressobj(1)
    data = b""
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2)]
    for top, left, down, across in [*passes, (1, 0, 2, 1)]:
        for row in pixels[top::down, left::across]:
            data += packer.compress(b"\0" + row.tobytes()) if row.size else b""
    height, width = pixels.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 1)
    chunks = ((b"IHDR", header), (b"IDAT", data + packer.flush()), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )


KINDS = {
    "baseline JPEG": baseline,
    "progressive JPEG": progressive,
    "PNG": png,
    "RGBA PNG of 16 bits": png_of_16_bits,
    "interlaced PNG": interlaced_png,
}


def _saved(pixels: np.ndarray, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the program.

    Returns:
        The exit code: 0 all within a GiB, 1 not so.
    """
    flags = _parser().parse_args(arguments)
    failed = False
    print("| kind | megapixels | MB stored | treatment | peak MiB | failures |")
    print("| --- | --- | --- | --- | --- | --- |", flush=True)
    with tempfile.TemporaryDirectory(dir=flags.work) as work:
        for kind in flags.kinds or KINDS:
            megapixels = flags.megapixels
            if "PNG" in kind:
                megapixels = min(megapixels, _PNG_MEGAPIXELS)
            height = int((megapixels * 1e6 * 3 / 4) ** 0.5)
            pixels = texture(int(megapixels * 1e6) // height, height)
            corpus = Path(work, kind.replace(" ", "_"))
            size = write_corpus(corpus, KINDS[kind](pixels))
            for name in flags.treatments or TREATMENTS:
                peak, failures = measure(corpus, TREATMENTS[name])
                failed |= peak > LIMIT_MIB
                figures = f"{megapixels:g}", f"{size / 1e6:.0f}", name, f"{peak:.0f}"
                cells = (kind, *figures, str(failures or "none"))
                print("|", " | ".join(cells), "|", flush=True)
    return int(failed)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--megapixels", type=float, default=100, help="default: 100")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, help="default: all")
    parser.add_argument("--treatments", nargs="+", choices=TREATMENTS, help="default: all")
    parser.add_argument("--work", help="folder for temporary files")
    return parser


def write_corpus(folder: Path, huge: bytes) -> int:
    """Writes `images/` and `train-images.csv`: normal pictures and a huge one, all to be turned.

    Returns:
        Bytes of the huge picture.
    """
    pictures = folder / "images"
    pictures.mkdir(parents=True)
    normal = baseline(texture(256, 192)).ljust(_NORMAL_BYTES, b"\0")
    image_ids = [f"{number:016x}" for number in range(_NORMAL + 1)]
    last = image_ids[np.argmax(image_keys(pa.array(image_ids))[0])]
    for image_id in image_ids:
        (pictures / f"{image_id}.jpg").write_bytes(huge if image_id == last else normal)
    rows = ["ImageID,Subset,Rotation", *(f"{image_id},train,90.0" for image_id in image_ids)]
    (folder / "train-images.csv").write_text("\n".join(rows) + "\n")
    return len(huge)


def measure(corpus: Path, flags: Sequence[str], images: str = "") -> tuple[float, dict]:
    """Builds a corpus of `write_corpus`.

    Returns:
        The peak of the process in MiB, and the failures that the build reports.
    """
    form = "parquet" if "webp" in flags else "tfrecord,parquet"
    with tempfile.TemporaryDirectory(dir=corpus.parent) as output:
        command = [sys.executable, "-c", _BUILD, "--annotations", str(corpus / "train-images.csv")]
        command += ["--images", images or str(corpus / "images"), "--output", output]
        command += ["--format", form, "--num_workers", "1", *flags]
        command += ["--max_failure_rate", "1"]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        code, kilobytes = ran.stdout.rpartition("\npeak ")[2].split() or (ran.returncode, "0")
        if code != "0":
            raise RuntimeError(ran.stdout + ran.stderr)
        (manifest,) = Path(output).glob("versions/*/manifest.json")
        failures = json.loads(manifest.read_text())["failures"]
    return int(kilobytes) / 1024, failures


if __name__ == "__main__":
    sys.exit(main())
