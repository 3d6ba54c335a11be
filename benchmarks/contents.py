"""What a dataset holds, in numbers that two datasets of the same content share."""

from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from transforms.kinds.registry import ANNOTATION_COLUMNS, EXAMPLE


@dataclass(frozen=True)
class Contents:
    """A dataset's size and sums of hashes, which say nothing of any order.

    Attributes:
        images: how many.
        elements: list column to how many elements it has in all images together.
        types: column to its type, of the columns that the files have.
        hashes: column to the sum of the hashes of its values, or of its lists' elements, each
            with its ImageID; a column that the files don't have is null throughout. Lists within
            elements that are null count as empty ones here.
        nulls: list within elements, such as `masks.size`, to how often it is null.
    """

    images: int
    elements: dict[str, int]
    types: dict[str, str]
    hashes: dict[str, int]
    nulls: dict[str, int]

    @property
    def rows(self) -> int:
        """Rows of all annotation tables and the image tables."""
        return self.images + sum(self.elements.values())

    def difference(self, other: "Contents", null_lists: bool = True) -> str:
        """Says in which columns another dataset differs; empty where they are the same.

        Args:
            other: the other dataset, which may lack columns that are null throughout.
            null_lists: whether null and empty lists within elements count as different.
        """
        both = self.types.keys() & other.types.keys()
        parts = [
            f"{self.images} and {other.images} images" if self.images != other.images else "",
            *(
                f"{self.elements[name]} and {other.elements[name]} {name}"
                for name in self.elements
                if self.elements[name] != other.elements[name]
            ),
            *(f"type of {name}" for name in both if self.types[name] != other.types[name]),
            *(
                f"values of {name}"
                for name in self.hashes
                if self.hashes[name] != other.hashes[name]
            ),
            *(
                f"nulls of {name}"
                for name in self.nulls
                if null_lists and self.nulls[name] != other.nulls[name]
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

        described = query(f"DESCRIBE SELECT * FROM {data}")
        # Text without a known encoding and bytes are one to some writers.
        types = {name: kind.replace("BLOB", "VARCHAR") for name, kind, *_ in described}
        published = connection.from_arrow(EXAMPLE.empty_table())
        null = {
            name: f"NULL::{kind}"
            for name, kind in zip(published.columns, published.types, strict=True)
        }
        # Of a list its length, which tells null from empty; its elements come below.
        values = [
            f"len({name})" if name in ANNOTATION_COLUMNS else name if name in types else null[name]
            for name in EXAMPLE.names
        ]
        sums = ", ".join(f"sum(hash(image_id, {value}))" for value in values)
        ((images, *found),) = query(f"SELECT count(*), {sums} FROM {data}")
        hashes = dict(zip(EXAMPLE.names, found, strict=True))
        elements, nulls = {}, {}
        for name, element in ANNOTATION_COLUMNS.items():
            lists = [field.name for field in element if pa.types.is_list(field.type)]
            fields = ", ".join(
                f"coalesce(e.{field.name}, [])" if field.name in lists else f"e.{field.name}"
                for field in element
            )
            missing = "".join(f", count(*) - count(e.{field})" for field in lists)
            rows = f"(SELECT image_id, unnest({name}) AS e FROM {data})"
            sums = f"count(*), coalesce(sum(hash(image_id, {fields})), 0){missing}"
            ((elements[name], total, *some),) = query(f"SELECT {sums} FROM {rows}")
            hashes[name] += total
            nulls |= dict(zip((f"{name}.{field}" for field in lists), some, strict=True))
    return Contents(images, elements, types, hashes, nulls)
