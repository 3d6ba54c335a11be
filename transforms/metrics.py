"""Beam's metrics of a build, under names that don't change: engines show them while a job runs.

They are for watching. A retried bundle may count twice; the manifest has the true numbers.
"""

from collections.abc import Iterable

from apache_beam.metrics import Metrics

NAMESPACE = "open_images"

#: Bytes of annotation files that were parsed.
BYTES_READ = Metrics.counter(NAMESPACE, "bytes_read")
#: Images that were written.
IMAGES = Metrics.counter(NAMESPACE, "images")
#: Rows of the failures table.
FAILURES = Metrics.counter(NAMESPACE, "failures")
#: Bytes of each picture as written.
PICTURE_BYTES = Metrics.distribution(NAMESPACE, "picture_bytes")
#: Microseconds for which a worker waited for each picture.
FETCH_MICROS = Metrics.distribution(NAMESPACE, "fetch_micros")
#: Microseconds that checking, decoding and processing each picture took.
DECODE_MICROS = Metrics.distribution(NAMESPACE, "decode_micros")


def add_pictures(sizes: Iterable[int], fetch: Iterable[float], decode: Iterable[float]) -> None:
    """Adds to the distributions of pictures: their bytes, and seconds."""
    for size in sizes:
        PICTURE_BYTES.update(size)
    for seconds in fetch:
        FETCH_MICROS.update(round(seconds * 1e6))
    for seconds in decode:
        DECODE_MICROS.update(round(seconds * 1e6))
