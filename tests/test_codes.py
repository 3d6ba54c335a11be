"""Coded texts are the same texts, whatever dictionary they came by."""

from pathlib import Path

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from transforms.dataset import codes
from transforms.dataset.keys import find
from transforms.formats.format import Content
from transforms.formats.parquet.writer import ParquetWriter
from transforms.kinds.boxes import BOX, BOXES
from transforms.kinds.registry import EXAMPLE

LABELS = [f"/m/{i}" for i in range(12)]


def boxes(labels: list[str | None], sources: list[str | None]) -> pa.Array:
    rows = [
        {"label": label, "source": source, "xmin": 0.5}
        for label, source in zip(labels, sources, strict=True)
    ]
    return pa.array(rows, BOX)


def encode(rows: pa.Array, labels: pa.Array) -> pa.Array:
    return codes.encode(rows, BOXES.coded, BOXES.labels, labels)


@given(
    st.lists(st.tuples(st.sampled_from(LABELS), st.sampled_from(["a", "b", None])), max_size=40),
    st.permutations(LABELS),
)
def test_coded_rows_are_the_same_rows(rows: list[tuple[str, str | None]], known: list[str]) -> None:
    plain = boxes([label for label, _ in rows], [source for _, source in rows])
    labels = pa.array(known, pa.string())
    coded = encode(plain, labels)
    assert pa.types.is_integer(coded.type.field("label").type)
    assert codes.decode(coded, BOX, labels).equals(plain)
    named = codes.concatenate([coded], BOX, labels)
    assert pa.types.is_dictionary(named.type.field("label").type)
    for name in ("label", "source"):
        compacted = codes.compact(named.field(name))
        assert compacted.to_pylist() == plain.field(name).to_pylist()
        # As a writer of plain texts would meet them.
        met = dict.fromkeys(text for text in plain.field(name).to_pylist() if text is not None)
        assert compacted.dictionary.to_pylist() == list(met)


def test_a_block_with_an_unknown_label_stays_plain_and_meets_coded_ones() -> None:
    plain = boxes(["/m/1", "/m/new"], ["a", "a"])
    known = pa.array(LABELS, pa.string())
    unknown = encode(plain, known)
    assert unknown.type.field("label").type == pa.string()
    coded = encode(plain.slice(0, 1), known)
    together = codes.concatenate([coded, unknown], BOX, known)
    assert together.to_pylist() == plain.to_pylist()[:1] + plain.to_pylist()


def test_blocks_with_many_texts_meet_though_there_are_more_than_codes() -> None:
    known = pa.array(LABELS, pa.string())
    sources = [[f"s{block} {i}" for i in range(100)] for block in range(3)]
    plain = [boxes(["/m/1"] * 100, some) for some in sources]
    coded = [encode(block, known) for block in plain]
    assert all(pa.types.is_dictionary(block.type.field("source").type) for block in coded)
    together = codes.concatenate(coded, BOX, known)
    assert together.equals(pa.concat_arrays(plain))


def test_files_are_the_same_bytes_by_whatever_dictionary(tmp_path: Path) -> None:
    plain = boxes(["/m/3", "/m/1", "/m/3"], ["b", None, "a"])
    lists = [pa.ListArray.from_arrays([0, 2, 3], plain)]
    for known in (LABELS, LABELS[::-1], []):
        labels = pa.array(known, pa.string())
        coded = codes.name_labels(encode(plain, labels), BOX, labels)
        lists.append(pa.ListArray.from_arrays([0, 2, 3], coded))
    written = []
    for column in lists:
        table = pa.table({"bboxes": column})
        schema = pa.schema([EXAMPLE.field("bboxes")], EXAMPLE.metadata)
        writer = ParquetWriter(str(tmp_path / "a.parquet"), Content(schema.names))
        writer.schema = schema
        writer.write(table)
        writer.close()
        written.append((tmp_path / "a.parquet").read_bytes())
    assert len(written) == 4
    assert len(set(written)) == 1


@given(st.sets(st.integers(0, (1 << 64) - 1)), st.lists(st.integers(0, (1 << 64) - 1)))
def test_keys_are_found_where_they_are(keys: set[int], others: list[int]) -> None:
    ordered = np.array(sorted(keys), np.uint64)
    wanted = np.concatenate([ordered[::-1], np.array(others, np.uint64)])
    index, found = find(ordered, wanted)
    assert found.tolist() == [key in keys for key in wanted.tolist()]
    assert (ordered[index[found]] == wanted[found]).all()
