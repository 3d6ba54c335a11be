"""Elements of an exchange, and the protocol of its transports."""

import abc
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:  # it takes a second or two, and some programs need no pipeline
    import apache_beam as beam


class KeyedBatch(NamedTuple):
    """Rows that go to buckets by their keys.

    Attributes:
        origin: number of the source of the rows, such as a file.
        order: the place of the batch among those of its origin.
        rows: a column `key` (uint64, spread evenly, such as a hash) and any others; every batch of
            an origin has the same ones.
    """

    origin: int
    order: int
    rows: pa.RecordBatch


class BucketBatches(abc.ABC):
    """The batches of one bucket, in order of their tags: each is there when it is asked for.

    They may be iterated more than once.
    """

    @abc.abstractmethod
    def __iter__(self) -> Iterator[KeyedBatch]:
        """Yields them."""

    @abc.abstractmethod
    def of(self, origins: Collection[int]) -> Self:
        """Returns the batches of some origins; those of others aren't read."""


class Transport(Protocol):
    """A way to bring batches to their buckets, by fragments of a type of its own."""

    def partition(self, outputs: Iterable[Any], num_buckets: int) -> Iterator[Any]:
        """Yields fragments in place of keyed batches.

        Args:
            outputs: outputs of a DoFn: keyed batches in order of their tags, `(origin, order)`;
                others pass as they are.
            num_buckets: number of buckets.
        """

    def gather(
        self, fragments: "Sequence[beam.PCollection]", num_buckets: int
    ) -> "beam.PCollection[tuple[int, BucketBatches]]":
        """Returns `(bucket, batches)` of the fragments of all PCollections."""


def bucket_of(keys: np.ndarray, num_buckets: int) -> np.ndarray:
    """Returns the bucket of each key: equal ranges of keys, in key order.

    Args:
        keys: (n,) uint64.
        num_buckets: number of buckets, at most 65,536.

    Returns:
        (n,) uint16.

    >>> bucket_of(np.array([0, 1 << 62, 1 << 63], np.uint64), 4).tolist()
    [0, 1, 2]
    """
    buckets = ((keys >> np.uint64(32)) * np.uint64(num_buckets)) >> np.uint64(32)
    return buckets.astype(np.uint16)
