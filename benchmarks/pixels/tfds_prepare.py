"""The same dataset by TFDS: `python -m benchmarks.pixels.tfds_prepare CORPUS OUTPUT PROCESSES`.

A GeneratorBasedBuilder encodes, shuffles and writes a dataset in one process. For more there are
two ways: Beam, and a configuration for each part of the pictures, prepared by as many processes as
`tfds build --num-processes` has. This is the second. With Beam each worker has to load TensorFlow:
2,000 pictures took 35 s as shards of a ShardBasedBuilder and 56 s as a collection of a
GeneratorBasedBuilder, where one process took 17 s.
"""

import multiprocessing
import sys

import tensorflow_datasets as tfds

from benchmarks.pixels.tfds_builder import PicturesWithBoxes


def prepare(corpus: str, output: str, part: int, parts: int) -> None:
    """Writes every `parts`th picture of a corpus as TFDS does."""
    config = tfds.download.DownloadConfig(try_download_gcs=False)
    builder = PicturesWithBoxes(corpus, part, parts, output)
    builder.download_and_prepare(download_config=config)


if __name__ == "__main__":
    corpus, output, processes = sys.argv[1], sys.argv[2], int(sys.argv[3])
    jobs = [(corpus, output, part, processes) for part in range(processes)]
    with multiprocessing.Pool(processes) as pool:
        pool.starmap(prepare, jobs, chunksize=1)
