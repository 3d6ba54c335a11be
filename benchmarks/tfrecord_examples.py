"""Compares encoders of annotation-only examples, one core: this project and tf.train.Example.

Both take the same rows of a build's Parquet and must make the same examples. `tf.train.Example` is
filled from Python lists feature by feature, as TFDS's and most other writers do it. Encoded is from
Arrow to serialised messages in memory; written, from there to a TFRecord file on the disk, by
`tf.io.TFRecordWriter` and by this project's writer. Making the rows and reading them isn't counted.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf

from benchmarks.measure import CommandError
from benchmarks.once import run_once
from benchmarks.programs import build
from benchmarks.report import (
    add_places,
    annotation_corpus,
    judged,
    machine,
    make_parser,
    positive,
    publish,
    table,
    work_folder,
)
from transforms.formats.format import Content
from transforms.formats.tfrecord import features, wire
from transforms.formats.tfrecord.encoder import encode_examples
from transforms.formats.tfrecord.records import read_records
from transforms.formats.tfrecord.writer import TFRecordWriter
from transforms.kinds.registry import example_columns

_IMAGES = 20_000
_TARGET = 5
_SLICE_ROWS = 1024  # as `formats.tfrecord.writer` does
_PACKAGES = ("tensorflow-cpu", "protobuf", "pyarrow", "numpy")
_NAMES = example_columns(with_image=False)
_OURS, _THEIRS = "this project", "tf.train.Example"
_HEADING = ("", _OURS, _THEIRS, "ratio")

_Result = TypeVar("_Result")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the program.

    Returns:
        The exit code: 0 done, whether or not the target was met; 1 the examples differ, or no rows
        could be made.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    flags = _parser().parse_args(given)
    about = machine(_PACKAGES, 1)
    try:
        with work_folder(flags.work) as work:
            parquet = flags.parquet or _make_shard(work)
            examples = next(
                pq.ParquetFile(parquet).iter_batches(flags.examples, columns=list(_NAMES))
            )
            slices = [
                pa.Table.from_batches([examples.slice(start, _SLICE_ROWS)])
                for start in range(0, len(examples), _SLICE_ROWS)
            ]
            body = _compare(slices, work, flags.repeats)
    except (CommandError, subprocess.CalledProcessError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    body = f"{about}\n\n{body}"
    publish(flags.results, "TFRecord examples", "benchmarks.tfrecord_examples", given, body)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = make_parser("benchmarks.tfrecord_examples", __doc__)
    parser.add_argument(
        "parquet",
        nargs="?",
        type=Path,
        help="a shard of a build with --images none; default: one is made, of images with "
        "annotations at the published proportions",
    )
    parser.add_argument(
        "--examples", type=positive, default=5_000, metavar="N", help="default: 5000"
    )
    parser.add_argument(
        "--repeats",
        type=positive,
        default=3,
        metavar="N",
        help="runs in turns, of which the fastest counts; default: 3",
    )
    add_places(parser)
    return parser


def _make_shard(work: Path) -> Path:
    """The Parquet of a corpus's training split."""
    corpus = annotation_corpus(work, _IMAGES)
    kept = work / "train.parquet"
    with run_once(build(1), corpus / "annotations", work) as (_, folder):
        assert folder is not None
        (shard,) = folder.glob("train-*.parquet")
        shard.rename(kept)
    return kept


def _compare(slices: Sequence[pa.Table], work: Path, repeats: int) -> str:
    """What encoding and writing some rows take.

    Raises:
        ValueError: the examples differ.
    """
    files = {name: work / f"{name}.tfrecord" for name in (_OURS, _THEIRS)}
    encoded, encoding = _fastest(
        {_OURS: lambda: _ours(slices), _THEIRS: lambda: [*_protobuf(slices)]}, repeats
    )
    _, writing = _fastest(
        {
            _OURS: lambda: _write_ours(slices, files[_OURS]),
            _THEIRS: lambda: _write_theirs(slices, files[_THEIRS]),
        },
        repeats,
    )
    _require_equal(encoded[_OURS], encoded[_THEIRS])
    _require_equal(*([*read_records(str(files[name]))] for name in (_OURS, _THEIRS)))
    count, size = len(encoded[_OURS]), sum(map(len, encoded[_OURS]))
    rows = [
        (
            f"examples/s, {what}",
            *(f"{count / seconds[name]:,.0f}" for name in (_OURS, _THEIRS)),
            f"{seconds[_THEIRS] / seconds[_OURS]:.2f}",
        )
        for what, seconds in (("encoded", encoding), ("written", writing))
    ]
    target = judged("Encoded, ratio", encoding[_THEIRS] / encoding[_OURS], _TARGET).strip()
    return (
        f"{count:,} examples, {size / count:,.0f} bytes each, equal; CPU time, the fastest of "
        f"{repeats} runs in turns:\n\n{table(_HEADING, rows)}\n\n{target}"
    )


def _fastest(
    ways: Mapping[str, Callable[[], _Result]], repeats: int
) -> tuple[dict[str, _Result], dict[str, float]]:
    """What functions return, and the CPU seconds that each takes."""
    results: dict[str, _Result] = {}
    fastest = dict.fromkeys(ways, float("inf"))
    for _ in range(repeats):
        for name, way in ways.items():
            started = time.process_time()
            results[name] = way()
            fastest[name] = min(fastest[name], time.process_time() - started)
    return results, fastest


def _ours(slices: Sequence[pa.Table]) -> list[bytes]:
    return [
        cell.to_pybytes()
        for rows in slices
        for cell in wire.cells(wire.assemble(encode_examples(rows, _NAMES)))
    ]


def _protobuf(slices: Sequence[pa.Table]) -> Iterator[bytes]:
    for rows in slices:
        columns = [
            (leaf.key, _kind(leaf), _values(leaf), leaf.rows.tolist())
            for leaf in features.leaves(rows, _NAMES)
        ]
        for i in range(len(rows)):
            example = tf.train.Example()
            for key, kind, values, ends in columns:
                feature = getattr(example.features.feature[key], kind)
                feature.SetInParent()  # a feature without values has a kind too
                feature.value.extend(values[ends[i] : ends[i + 1]])
            yield example.SerializeToString()


def _kind(leaf: features.Leaf) -> str:
    if isinstance(leaf.values, pa.Array):
        return "bytes_list"
    return "float_list" if leaf.values.dtype.kind == "f" else "int64_list"


def _values(leaf: features.Leaf) -> list:
    return leaf.values.to_pylist() if isinstance(leaf.values, pa.Array) else leaf.values.tolist()


def _write_ours(slices: Sequence[pa.Table], path: Path) -> None:
    writer = TFRecordWriter(str(path), Content(_NAMES))
    for rows in slices:
        writer.write(rows)
    writer.close()


def _write_theirs(slices: Sequence[pa.Table], path: Path) -> None:
    with tf.io.TFRecordWriter(str(path)) as writer:
        for message in _protobuf(slices):
            writer.write(message)


def _require_equal(ours: Sequence[bytes], theirs: Sequence[bytes]) -> None:
    """Compares messages by their deterministic bytes, NaNs among them.

    Raises:
        ValueError: they differ.
    """
    if [*map(_canonical, ours)] != [*map(_canonical, theirs)]:
        raise ValueError(f"{_OURS} and {_THEIRS} made different examples")


def _canonical(message: bytes) -> bytes:
    return tf.train.Example.FromString(message).SerializeToString(deterministic=True)


if __name__ == "__main__":
    sys.exit(main())
