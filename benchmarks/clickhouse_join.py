"""The same dataset by chdb: `python -m benchmarks.clickhouse_join ANNOTATIONS OUTPUT`."""

import argparse
from pathlib import Path
from string import Template

from chdb import session

_SCRIPT = Path(__file__).with_suffix(".sql")

_SETTINGS = {
    "input_format_csv_empty_as_default": 1,
    "input_format_csv_allow_variable_number_of_columns": 1,  # of a blank line none
    "precise_float_parsing": 1,  # else some coordinates are not the nearest number
    "output_format_parquet_compression_method": "'zstd'",
    "output_format_compression_level": 1,
}


def join(annotations: Path, output: Path, threads: int = 2) -> None:
    """Writes one example an image to Parquet files below `output`/parquet.

    Args:
        annotations: a folder of V7's files.
        output: a new folder.
        threads: of ClickHouse.
    """
    (output / "parquet").mkdir(parents=True)
    script = Template(_SCRIPT.read_text(encoding="utf-8")).substitute(
        annotations=_quoted(annotations), output=_quoted(output)
    )
    settings = {**_SETTINGS, "max_threads": threads, "max_insert_threads": threads}
    with session.Session(str(output / "clickhouse")) as clickhouse:
        for name, value in settings.items():
            clickhouse.query(f"SET {name} = {value}")
        clickhouse.query(script)


def _quoted(path: Path) -> str:
    return str(path).replace("'", "\\'")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("annotations", type=Path)
    parser.add_argument("output", type=Path)
    flags = parser.parse_args()
    join(flags.annotations.resolve(), flags.output.resolve())
