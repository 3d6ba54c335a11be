"""The same dataset by DuckDB: `python -m benchmarks.duckdb_join ANNOTATIONS OUTPUT`."""

import argparse
from pathlib import Path
from string import Template

import duckdb

_SCRIPT = Path(__file__).with_suffix(".sql")


def join(
    annotations: Path,
    output: Path,
    threads: int = 2,
    memory_limit: str = "",
    disk_limit: str = "",
) -> None:
    """Writes one example an image to Parquet files below `output`/parquet.

    Args:
        annotations: a folder of V7's files.
        output: a new folder.
        threads: of DuckDB.
        memory_limit: such as `1GB`, beyond which DuckDB spills to disk; default 80% of the memory.
        disk_limit: what it may spill, such as `20GB`; default 90% of what is free.
    """
    output.mkdir(parents=True)
    script = Template(_SCRIPT.read_text(encoding="utf-8")).substitute(
        annotations=_quoted(annotations), output=_quoted(output), threads=threads
    )
    with duckdb.connect() as connection:
        if memory_limit:
            connection.execute("SET memory_limit = ?", [memory_limit])
        if disk_limit:
            connection.execute("SET max_temp_directory_size = ?", [disk_limit])
        connection.execute(script)


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("annotations", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--memory_limit", default="")
    parser.add_argument("--disk_limit", default="")
    flags = parser.parse_args()
    join(
        flags.annotations,
        flags.output,
        memory_limit=flags.memory_limit,
        disk_limit=flags.disk_limit,
    )
