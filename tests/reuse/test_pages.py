"""Pictures read out of Parquet one by one are those that were written."""

from collections.abc import Sequence
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transforms.dataset.schema import IMAGE
from transforms.formats.format import Content
from transforms.formats.parquet.writer import ParquetWriter
from transforms.kinds.registry import EXAMPLE
from transforms.reuse.pages import read_pictures
from transforms.sources.buffer import PictureBuffer

PICTURES = 60


@pytest.fixture(scope="module")
def pictures() -> list[bytes]:
    random = Random(0)
    sizes = [0, 1, 300_000, *(random.randrange(90_000) for _ in range(PICTURES - 3))]
    return [random.randbytes(size) for size in sizes]


@pytest.fixture(scope="module")
def shard(pictures: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with two row groups of the same pictures, each of several pages."""
    columns = {field.name: pa.nulls(PICTURES, field.type) for field in EXAMPLE}
    columns["image"] = pa.array([{"bytes": data, "path": "a.jpg"} for data in pictures], IMAGE)
    path = tmp_path_factory.mktemp("shard") / "shard"
    writer = ParquetWriter(str(path), Content(EXAMPLE.names))
    for _ in range(2):
        writer.write(pa.table(columns, EXAMPLE))
    writer.close()
    return path


def start_of_pictures(shard: Path, group: int) -> int:
    columns = pq.read_metadata(shard).row_group(group)
    (start,) = (
        column.data_page_offset
        for column in map(columns.column, range(columns.num_columns))
        if column.path_in_schema == "image.bytes"
    )
    return start


@pytest.mark.parametrize("group", [0, 1])
@pytest.mark.parametrize("rows", [range(PICTURES), [2], [1, 17, 18, PICTURES - 1], []])
def test_rows(shard: Path, pictures: list[bytes], group: int, rows: Sequence[int]):
    buffer = PictureBuffer(200_000)  # as large as some of them together
    found = []
    with shard.open("rb") as file:
        for data in read_pictures(file, start_of_pictures(shard, group), rows, buffer):
            found.append(bytes(data))
            buffer.add(data)
    assert found == [pictures[row] for row in rows]


def test_a_file_that_became_shorter(shard: Path, tmp_path: Path):
    start = start_of_pictures(shard, 0)
    cut = tmp_path / "cut"
    cut.write_bytes(shard.read_bytes()[: start + 100_000])
    with cut.open("rb") as file, pytest.raises(ValueError, match="cut became shorter"):
        list(read_pictures(file, start, [2], PictureBuffer(400_000)))
