"""What a dataset holds, in numbers that two datasets of the same content share."""

from dataclasses import dataclass
from pathlib import Path

import duckdb

from transforms.examples.schema import ANNOTATION_COLUMNS


@dataclass(frozen=True)
class Contents:
    """A dataset's size and sums of hashes, which say nothing of any order.

    Attributes:
        images: how many.
        elements: list column to how many elements it has in all images together.
        types: name and type of each column.
        hashes: column to the sum of the hashes of its values, or of its lists' elements, each
            with its ImageID.
    """

    images: int
    elements: dict[str, int]
    types: list[tuple[str, str]]
    hashes: dict[str, int]

    @property
    def rows(self) -> int:
        """Rows of all annotation tables and the image tables."""
        return self.images + sum(self.elements.values())

    def difference(self, other: "Contents") -> str:
        """Says in which columns another dataset differs; empty where they are the same."""
        parts = [
            f"{self.images} and {other.images} images" if self.images != other.images else "",
            *(
                f"{self.elements[name]} and {other.elements[name]} {name}"
                for name in self.elements
                if self.elements[name] != other.elements[name]
            ),
            "types of columns" if self.types != other.types else "",
            *(
                f"values of {name}"
                for name in self.hashes
                if self.hashes[name] != other.hashes[name]
            ),
        ]
        return ", ".join(part for part in parts if part)


def read_contents(folder: Path) -> Contents:
    """Reads all Parquet files of examples below a folder, in full."""
    files = [str(path) for path in sorted(folder.rglob("*.parquet"))]
    data = "read_parquet($files, hive_partitioning = false)"
    with duckdb.connect() as connection:

        def query(sql: str) -> list[tuple]:
            return connection.execute(sql, {"files": files}).fetchall()

        types = [row[:2] for row in query(f"DESCRIBE SELECT * FROM {data}")]
        names = [name for name, _ in types]
        # Of a list its length, which tells null from empty; its elements come below.
        values = [f"len({name})" if name in ANNOTATION_COLUMNS else name for name in names]
        sums = ", ".join(f"sum(hash(image_id, {value}))" for value in values)
        ((images, *found),) = query(f"SELECT count(*), {sums} FROM {data}")
        hashes = dict(zip(names, found, strict=True))
        elements = {}
        for name in ANNOTATION_COLUMNS:
            rows = f"SELECT image_id, unnest({name}) AS element FROM {data}"
            ((elements[name], total),) = query(
                f"SELECT count(*), coalesce(sum(hash(image_id, element)), 0) FROM ({rows})"
            )
            hashes[name] += total
    return Contents(images, elements, types, hashes)
