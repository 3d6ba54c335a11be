"""Pictures from an HTTP server, made small: this project, img2dataset and a bare loop."""

import statistics
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow.csv
import simplejpeg

from benchmarks.pixels import loop
from benchmarks.pixels.corpus import SPLIT, Corpus
from benchmarks.pixels.server import serve
from benchmarks.pixels.turns import Program, Result, run_in_turns, table
from benchmarks.report import judged, say

IMG2DATASET = "img2dataset==1.47.0"
_SHARDS = 6

#: Without the SHA-256 and the EXIF of each picture, which img2dataset writes by default.
_BARE = ("--extract_exif", "False", "--compute_hash", "None")


@dataclass(frozen=True)
class Small:
    """What a dataset of small pictures holds.

    Attributes:
        sizes: ImageID to width and height, of the encoded picture itself.
        boxes: how many.
        edges: the sum of all their coordinates.
        kilobytes: mean size of a picture.
    """

    sizes: dict[str, tuple[int, int]]
    boxes: int
    edges: float
    kilobytes: float

    def check(self, other: "Small", images: int) -> str:
        """Says what is equal.

        Raises:
            AssertionError: something isn't.
        """
        assert len(self.sizes) == images, f"{len(self.sizes)} images"
        assert self.sizes == other.sizes, "sizes of pictures differ"
        assert self.boxes == other.boxes, f"{self.boxes} and {other.boxes} boxes"
        assert abs(self.edges - other.edges) < 1e-5 * self.edges, "boxes differ"
        return (
            f"  equal: {images:,} images, the width and height of each, {self.boxes:,} boxes; "
            f"{self.kilobytes:.1f} and {other.kilobytes:.1f} kB a picture"
        )


def compare_http(
    large: Corpus, small: Corpus, work: Path, peers: Path, workers: int, repeats: int
) -> None:
    """Runs and prints the comparison.

    Args:
        large: the pictures.
        small: a few of the same, for start-up.
        work: for what is written.
        peers: the folder of environments.
        workers: processes.
        repeats: runs of each.
    """
    peer = _install_img2dataset(peers)
    with serve(large.images) as server:
        programs = [
            Program(
                "this project",
                lambda corpus, output: _build(server.url, corpus, output, workers),
                lambda output: _read(output, "versions/*/parquet/*.parquet", "image.bytes"),
            ),
        ]
        programs += [
            Program(
                f"{IMG2DATASET.replace('==', ' ')}, {name}",
                lambda corpus, output, flags=flags: [
                    *_img2dataset(peer, server.url, corpus, output, workers),
                    *flags,
                ],
                lambda output: _read(output, "*.parquet", "jpg"),
            )
            for name, flags in (("as usual", ()), ("bare", _BARE))
        ]
        before = server.cpu_seconds
        ours, *theirs = results = run_in_turns(programs, large, small, work, repeats)
        requests = repeats * len(programs) * (len(large.pictures) + len(small.pictures))
        server_cost = (server.cpu_seconds - before) / requests
    print(table(f"HTTP to {loop.SIZE} pixels in Parquet, {workers} processes each", results))
    for other in theirs:
        print(ours.contents.check(other.contents, len(large.pictures)))
    print(f"  the server took {server_cost * 1e6:.0f} µs of a core for a request")
    for other in theirs:
        print(judged(f"images/s, this project / {other.name}", ours.rate / other.rate, 2.5))
        print(judged("the same beyond start-up", ours.rate_beyond / other.rate_beyond, 2.5))
        print(judged("the same by CPU for an image", other.cpu_each / ours.cpu_each, 2.5))
    _compare_loop(ours, large, workers, repeats)


def _compare_loop(ours: Result, large: Corpus, workers: int, repeats: int) -> None:
    """Compares a whole build from HTTP with a bare loop, core by core."""
    for loops, where in ((1, "alone on one core"), (workers, f"in {workers} processes at once")):
        runs = []
        for number in range(repeats):
            say(f"the bare loop {where}, run {number + 1} of {repeats}")
            runs.append(loop.measure(large.images / SPLIT, loops))
        rate = statistics.median(run.rate for run in runs) / loops
        cpu_each = statistics.median(run.cpu_each for run in runs)
        cost = f"{rate:.0f} images/s a core, {cpu_each * 1e3:.2f} CPU ms each"
        print(f"  bare loop from memory, {where}: {cost}")
        print(judged("this project a core / this", ours.rate / workers / rate, 0.8))
        print(judged("the same beyond start-up", ours.rate_beyond / workers / rate, 0.8))
        print(judged("the same by CPU for an image", cpu_each / ours.cpu_each, 0.8))


def _build(url: str, corpus: Corpus, output: Path, workers: int) -> list[str]:
    return [
        *(sys.executable, "-m", "pipelines.build", "--annotations", str(corpus.annotations)),
        *("--images", f"{url}/{{split}}/{{image_id}}.jpg", "--allow_private_hosts"),
        *("--resize", "shortest", "--image_size", str(loop.SIZE), "--quality", str(loop.QUALITY)),
        *("--format", "parquet", "--num_workers", str(workers), "--output", str(output)),
    ]


def _img2dataset(peer: Path, url: str, corpus: Corpus, output: Path, workers: int) -> list[str]:
    """With its defaults but for the quality; no look for updates, the boxes joined beforehand."""
    images = output.with_name(f"{output.name}-urls.parquet")
    _write_urls(url, corpus, images)
    shard = -(-len(corpus.pictures) // _SHARDS)
    return [
        *("env", "NO_ALBUMENTATIONS_UPDATE=1", str(peer / "bin" / "img2dataset")),
        *("--url_list", str(images), "--input_format", "parquet", "--url_col", "url"),
        *("--save_additional_columns", '["image_id","bboxes"]'),
        *("--output_folder", str(output), "--output_format", "parquet"),
        *("--processes_count", str(workers), "--thread_count", "32"),
        *("--resize_mode", "keep_ratio", "--image_size", str(loop.SIZE)),
        *("--encode_quality", str(loop.QUALITY), "--number_sample_per_shard", str(shard)),
    ]


def _install_img2dataset(peers: Path) -> Path:
    """An environment of its own, made once."""
    folder = peers / "img2dataset"
    if not (folder / "bin" / "img2dataset").exists():
        say(f"installing {IMG2DATASET}")
        venv.create(folder, clear=True, with_pip=True)
        command = (folder / "bin" / "pip", "install", "--quiet", IMG2DATASET)
        subprocess.run(command, check=True, stdout=sys.stderr)
    return folder


def _write_urls(url: str, corpus: Corpus, path: Path) -> None:
    """What img2dataset reads: an address and a list of boxes for each picture."""
    boxes = pyarrow.csv.read_csv(corpus.annotations / f"{SPLIT}-annotations-bbox.csv")
    images = pyarrow.csv.read_csv(corpus.annotations / f"{SPLIT}-images-with-rotation.csv")
    with duckdb.connect() as connection:
        connection.register("boxes", boxes)
        connection.register("images", images)
        joined = connection.sql(
            f"""
            SELECT ImageID AS image_id, '{url}/{SPLIT}/' || ImageID || '.jpg' AS url,
                list({{label: LabelName, source: Source, confidence: Confidence,
                    xmin: XMin, xmax: XMax, ymin: YMin, ymax: YMax, is_occluded: IsOccluded,
                    is_truncated: IsTruncated, is_group_of: IsGroupOf,
                    is_depiction: IsDepiction, is_inside: IsInside}})
                    FILTER (LabelName IS NOT NULL) AS bboxes
            FROM images LEFT JOIN boxes USING (ImageID) GROUP BY ALL ORDER BY image_id
            """
        )
        joined.write_parquet(str(path))


def _read(output: Path, examples: str, picture: str) -> Small:
    """Reads the Parquet files of a glob, in which `picture` names the encoded pictures."""
    files = [str(path) for path in sorted(output.glob(examples))]
    sizes, total = {}, 0
    with duckdb.connect() as connection:
        data = "read_parquet($files, hive_partitioning = false)"
        pictures = connection.execute(f"SELECT image_id, {picture} FROM {data}", {"files": files})
        while rows := pictures.fetchmany(500):
            for image_id, encoded in rows:
                height, width, *_ = simplejpeg.decode_jpeg_header(encoded)
                sizes[image_id] = (width, height)
                total += len(encoded)
        boxes = f"SELECT unnest(bboxes) AS box FROM {data}"
        query = f"SELECT count(*), sum(box.xmin + box.xmax + box.ymin + box.ymax) FROM ({boxes})"
        ((count, edges),) = connection.execute(query, {"files": files}).fetchall()
    return Small(sizes, count, edges, total / len(sizes) / 1000)
