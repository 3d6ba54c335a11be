"""Compares encoders of annotation-only examples, one core: this project and tf.train.Example.

Both take the same rows of a build's Parquet, get them from Arrow to serialised messages in memory,
and must give the same examples. `tf.train.Example` is filled from Python lists feature by feature,
as TFDS's and most other writers do it; reading the Parquet isn't counted.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf

from benchmarks.report import machine, make_parser, positive
from transforms.examples import features, wire
from transforms.examples.encoder import encode_examples

_SLICE_ROWS = 1024  # as `outputs.tfrecord` does
_PACKAGES = ("tensorflow-cpu", "protobuf", "pyarrow", "numpy")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the program.

    Returns:
        The exit code: 0 done, 1 the examples differ.
    """
    flags = _parser().parse_args(arguments)
    names = features.columns(with_image=False)
    table = next(pq.ParquetFile(flags.parquet).iter_batches(flags.examples, columns=list(names)))
    slices = [
        pa.Table.from_batches([table.slice(start, _SLICE_ROWS)])
        for start in range(0, len(table), _SLICE_ROWS)
    ]
    print(machine(_PACKAGES, 1))
    ours, our_seconds = _fastest(lambda: _ours(slices, names), flags.repeats)
    theirs, their_seconds = _fastest(lambda: _protobuf(slices, names), flags.repeats)
    same = all(map(_equal, ours, theirs))
    count, size = len(ours), sum(map(len, ours)) / 2**20
    for name, seconds in (("this project", our_seconds), ("tf.train.Example", their_seconds)):
        print(f"  {name:18}{count / seconds:>12,.0f} examples/s{size / seconds:>10,.0f} MiB/s")
    print(f"  ratio {their_seconds / our_seconds:.1f}; {count:,} examples, equal: {same}")
    return 0 if same else 1


def _parser() -> argparse.ArgumentParser:
    parser = make_parser("benchmarks.tfrecord_examples", __doc__)
    parser.add_argument("parquet", type=Path, help="a shard of a build with --images none")
    parser.add_argument(
        "--examples", type=positive, default=5_000, metavar="N", help="default: 5000"
    )
    parser.add_argument(
        "--repeats", type=positive, default=3, metavar="N", help="runs, of which the fastest counts"
    )
    return parser


def _fastest(encode: Callable[[], list[bytes]], repeats: int) -> tuple[list[bytes], float]:
    """What a function returns, and the CPU seconds that it takes."""
    fastest, encoded = float("inf"), []
    for _ in range(repeats):
        started = time.process_time()
        encoded = encode()
        fastest = min(fastest, time.process_time() - started)
    return encoded, fastest


def _ours(slices: Sequence[pa.Table], names: Sequence[str]) -> list[bytes]:
    return [
        cell.to_pybytes()
        for rows in slices
        for cell in wire.cells(wire.assemble(encode_examples(rows, names)))
    ]


def _protobuf(slices: Sequence[pa.Table], names: Sequence[str]) -> list[bytes]:
    encoded = []
    for rows in slices:
        columns = [
            (leaf.key, _kind(leaf), _values(leaf), leaf.rows.tolist())
            for leaf in features.leaves(rows, names)
        ]
        for i in range(len(rows)):
            example = tf.train.Example()
            for key, kind, values, ends in columns:
                feature = getattr(example.features.feature[key], kind)
                feature.SetInParent()  # a feature without values has a kind too
                feature.value.extend(values[ends[i] : ends[i + 1]])
            encoded.append(example.SerializeToString())
    return encoded


def _kind(leaf: features.Leaf) -> str:
    if isinstance(leaf.values, pa.Array):
        return "bytes_list"
    return "float_list" if leaf.values.dtype.kind == "f" else "int64_list"


def _values(leaf: features.Leaf) -> list:
    return leaf.values.to_pylist() if isinstance(leaf.values, pa.Array) else leaf.values.tolist()


def _equal(ours: bytes, theirs: bytes) -> bool:
    """Whether two messages hold the same, by their deterministic bytes, NaNs among them."""
    return _canonical(ours) == _canonical(theirs)


def _canonical(message: bytes) -> bytes:
    return tf.train.Example.FromString(message).SerializeToString(deterministic=True)


if __name__ == "__main__":
    sys.exit(main())
