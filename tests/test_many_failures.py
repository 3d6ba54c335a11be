"""Hundreds of thousands of failures of every common kind: one row each, in order, in little
memory."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from tests.builds import Version, build_measured
from tests.test_hostile_tables import IMAGES, MEBIBYTE, image, narrative
from transforms.dataset import failures

#: Pages of libraries apart.
MOST_MEMORY = 240 * MEBIBYTE
TIMES = 50_000
SOUND = 1000

BOXES = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded\n"


class Table(NamedTuple):
    """A table with rows that are sound, then groups of rows, each many times, that are bad.

    Attributes:
        start: its header and sound rows.
        groups: lines that are repeated together.
        told: of each line of a group, what its failures tell; none for a line that is passed over.
    """

    start: str
    groups: tuple[str, ...]
    told: tuple[tuple[str, ...], ...]

    @property
    def text(self) -> str:
        return self.start + "".join(self.groups) * TIMES

    def failures(self) -> Iterator[tuple[int, str]]:
        first = self.start.count("\n") + 1
        for line, details in zip(
            itertools.count(first),
            itertools.chain.from_iterable(itertools.repeat(self.told, TIMES)),
        ):
            yield from ((line, detail) for detail in sorted(details))


def box(xmin: str, occluded: str = "0") -> str:
    return f"{1:016x},xclick,/m/01,1,{xmin},0.5,0.1,0.5,{occluded}\n"


TABLES = {
    "train-1-images.csv": Table(
        IMAGES + "".join(map(image, range(SOUND))),
        (f'{1:016x},train,"open,5,0.0\n', "\n", "x\n"),
        (("a quote that nothing closes",), (), ("1 fields instead of 5",)),
    ),
    "train-2-boxes.csv": Table(
        BOXES + box("0.1"),
        (
            box("much"),
            f"{1:016x},xclick\n",
            box("0.9", "7"),
            " \t,\n",
            box("0.9").replace("0", "x", 1),
        ),
        (
            ("XMin is not a number of its type",),
            ("2 fields instead of 9",),
            ("box needs 0 <= XMin <= XMax <= 1",),
            (),
            ("ImageID is not 16 hex digits",),
        ),
    ),
    "train_localized_narratives.jsonl": Table(
        narrative(1, "sound") * SOUND,
        ('{"image_id": "0\n', '{"image_id": 0, "caption": }\n', '{"caption": 5}\n', "\n"),
        (
            ("not a narrative: the line is no JSON object",),
            ("not a narrative: the line is no JSON object",),
            ("not a narrative: Column(/caption) changed from string to number in row 0",),
            (),
        ),
    ),
}


@pytest.fixture(scope="module", params=["files", "engine"])
def built(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Version, int]:
    """What is published of them, and the most memory that it took in bytes."""
    folder = tmp_path_factory.mktemp("many")
    (annotations := folder / "annotations").mkdir()
    for name, table in TABLES.items():
        (annotations / name).write_text(table.text)
    return build_measured(annotations, folder / "out", "--exchange", request.param)


@pytest.mark.timeout(300)
def test_each_failure_is_told_in_little_memory(built: tuple[Version, int]) -> None:
    version, memory = built
    assert memory < MOST_MEMORY
    table = pq.read_table(version.folder / "failures")
    assert table.schema.equals(failures.SCHEMA)
    wanted = {name: list(TABLES[name].failures()) for name in TABLES}
    for name, expected in wanted.items():
        found = table.filter(pc.ends_with(table["source"], f"/{name}"))
        told = zip(found["line"].to_pylist(), found["detail"].to_pylist(), strict=True)
        assert list(told) == expected
    assert len(table) == sum(map(len, wanted.values())) == 9 * TIMES
    assert pc.unique(table["source"]).to_pylist() == sorted(pc.unique(table["source"]).to_pylist())
    assert version.manifest["failures"] == {"bad_row": len(table)}
    accounts = {Path(each["path"]).name: each["bad_rows"] for each in version.manifest["sources"]}
    assert accounts == {name: len(expected) for name, expected in wanted.items()}
