"""The programs that `benchmarks.annotations` compares."""

import sys
from dataclasses import dataclass, replace

WORKERS = 2
_PYTHON = (sys.executable, "-m")
_FOLDERS = ("{annotations}", "{output}")


@dataclass(frozen=True)
class Program:
    """One that takes part.

    Attributes:
        title: for the table.
        command: with `{annotations}` and `{output}` for the folders that it reads and makes.
        examples: a glob of the folder, below its output, that holds the examples; empty where it
            makes none.
        spill: the name of the folder, below its output, that it spills to, if it does.
        null_lists: whether it can tell a list that is null from an empty one.
        packages: those whose versions matter.
    """

    title: str
    command: tuple[str, ...]
    examples: str = "parquet"
    spill: str = ""
    null_lists: bool = True
    packages: tuple[str, ...] = ()


def build(workers: int = WORKERS) -> Program:
    """This project, annotations alone, to Parquet."""
    return Program(
        f"this project, {workers} worker{'s' if workers > 1 else ''}",
        (
            *(*_PYTHON, "pipelines.build", "--annotations", "{annotations}"),
            *("--output", "{output}", "--images", "none", "--format", "parquet"),
            *("--num_workers", str(workers)),
        ),
        examples="versions/*/parquet",
        spill="exchange",
        packages=("apache-beam", "pyarrow", "numpy"),
    )


def _limit(title: str, name: str) -> Program:
    command = (*_PYTHON, "benchmarks.limits", name, *_FOLDERS)
    return Program(title, command, examples="")


#: By the names of the command line.
PROGRAMS = {
    "ours": build(),
    "duckdb": Program(
        "DuckDB",
        (*_PYTHON, "benchmarks.duckdb_join", *_FOLDERS),
        spill="spill",
        packages=("duckdb",),
    ),
    "polars": Program(
        "Polars, streaming", (*_PYTHON, "benchmarks.polars_join", *_FOLDERS), packages=("polars",)
    ),
    "clickhouse": Program(
        "ClickHouse (chdb)",
        (*_PYTHON, "benchmarks.clickhouse_join", *_FOLDERS),
        spill="clickhouse",
        null_lists=False,
        packages=("chdb-core",),
    ),
    "groupbykey": Program("CoGroupByKey of rows", (*_PYTHON, "benchmarks.groupbykey", *_FOLDERS)),
    "csv": _limit("limit: pyarrow.csv, parsing alone", "csv"),
    "json": _limit("limit: pyarrow.json, parsing alone", "json"),
    "cat": Program(
        "limit: cat to /dev/null", ("sh", "-c", 'cat "$0"/* > /dev/null', "{annotations}"), ""
    ),
    "copy": _limit("limit: copying the input", "copy"),
}

#: Those that can be told how much memory to use.
LIMITABLE = ("duckdb",)


def within(program: Program, memory: str, disk: str) -> Program:
    """DuckDB with limits of memory and of what it spills, such as `4GB`."""
    flags = ("--memory_limit", memory, *(("--disk_limit", disk) if disk else ()))
    return replace(
        program, title=f"{program.title} within {memory}", command=(*program.command, *flags)
    )
