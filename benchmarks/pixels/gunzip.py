"""Reading a `.tar.gz`: this project's unpacking and listing, and the decompressor alone.

`python -m benchmarks.pixels.gunzip WAY FILE FEW FOLDER` prints the seconds that one way takes, its
seconds of a core, and the bytes and members found; all without the start of Python, and without
what a first time costs: it does the same with FEW before.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from isal import igzip

from benchmarks.measure import Measurement, run
from benchmarks.pixels.corpus import Corpus
from benchmarks.report import judged, median, mib, say
from runners.lean import keep_one_heap
from transforms.sources.listing import PICTURES, list_members
from transforms.sources.unpack import unpack

_BUFFER = 256 << 10


def compare_gunzip(large: Corpus, small: Corpus, work: Path, repeats: int) -> None:
    """Runs and prints the comparison.

    Args:
        large: of which the compressed tar is read.
        small: one to warm up with.
        work: for what is written.
        repeats: runs of each.
    """
    runs: dict[str, list[Measurement]] = {way: [] for way in WAYS}
    for number in range(repeats):
        for way in WAYS:
            say(f".tar.gz, {way}, run {number + 1} of {repeats}")
            with tempfile.TemporaryDirectory(prefix="output-", dir=work) as folder:
                os.sync()
                log = Path(folder) / "log"
                command = (sys.executable, "-m", "benchmarks.pixels.gunzip", way)
                measured = run((*command, str(large.tar_gz), str(small.tar_gz), folder), log)
                seconds, cpu_seconds, size, members = log.read_text().split()
            assert int(size) == large.tar.stat().st_size, f"{way}: {size} bytes"
            assert way != "unpack and list" or int(members) == len(large.pictures), members
            within = Measurement(float(seconds), float(cpu_seconds), measured.peak_bytes)
            runs[way].append(within)
    size = large.tar.stat().st_size
    print(f"\nReading a .tar.gz of {mib(large.tar_gz.stat().st_size)} MiB, {mib(size)} unpacked")
    headings = ("seconds", "CPU s", "MiB/s", "peak MiB")
    print(f"  {'':30}" + "".join(f"{word:>12}" for word in headings))
    medians = {way: median(measured) for way, measured in runs.items()}
    for way, took in medians.items():
        rate = size / 2**20 / took.seconds
        cells = f"{took.seconds:12.2f}{took.cpu_seconds:12.2f}{rate:12,.0f}"
        print(f"  {way:30}{cells}{mib(took.peak_bytes):>12}")
    print(f"  equal: {size:,} bytes; {len(large.pictures):,} members listed")
    ours = medians["unpack and list"]
    for way in ("inflate", "inflate to a file"):
        ratio = medians[way].seconds / ours.seconds
        print(judged(f"throughput, unpack and list / {way}", ratio, 0.8))
        ratio = medians[way].cpu_seconds / ours.cpu_seconds
        print(judged("the same by CPU seconds", ratio, 0.8))


def _inflate(path: str, folder: str) -> tuple[int, int]:
    """The decompressor in a bare loop."""
    del folder
    size, buffer = 0, bytearray(_BUFFER)
    with igzip.GzipFile(path) as stream:
        while count := stream.readinto(buffer):
            size += count
    return size, 0


def _inflate_to_file(path: str, folder: str) -> tuple[int, int]:
    buffer = memoryview(bytearray(_BUFFER))
    with igzip.GzipFile(path) as stream, open(os.path.join(folder, "inflated"), "wb", 0) as file:
        while count := stream.readinto(buffer):
            file.write(buffer[:count])
        return file.tell(), 0


def _unpack_and_list(path: str, folder: str) -> tuple[int, int]:
    """What a build does with it."""
    unpacked, damage = unpack(path, folder)
    if damage:
        raise damage
    members = sum(len(listing.table) for listing in list_members(unpacked, PICTURES))
    return os.path.getsize(unpacked), members


WAYS: dict[str, Callable[[str, str], tuple[int, int]]] = {
    "inflate": _inflate,
    "inflate to a file": _inflate_to_file,
    "unpack and list": _unpack_and_list,
}


def _main(way: str, path: str, few: str, folder: str) -> None:
    keep_one_heap()  # as workers do
    with open(path, "rb", buffering=0) as file:  # into the page cache
        while file.read(_BUFFER):
            pass
    WAYS[way](few, folder)
    started, used = time.perf_counter(), time.process_time()
    size, members = WAYS[way](path, folder)
    print(time.perf_counter() - started, time.process_time() - used, size, members)


if __name__ == "__main__":
    _main(*sys.argv[1:])
