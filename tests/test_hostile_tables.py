"""Tables whose lines are made to take memory: each is one bad row, and a build stays small."""

import gzip
import json
from pathlib import Path

import pytest

from tests.builds import Version, build_measured

MEBIBYTE = 1 << 20
#: Of one worker, whatever the input, pages of libraries apart.
MOST_MEMORY = 500 * MEBIBYTE

IMAGES = "ImageID,Subset,Title,OriginalSize,Rotation\n"


def image(number: int, title: str = "a title") -> str:
    return f"{number:016x},train,{title},5,0.0\n"


def narrative(number: int, caption: str) -> str:
    return json.dumps({"image_id": f"{number:016x}", "caption": caption}) + "\n"


def write(folder: Path) -> None:
    """Tables with sound rows beside records that are too long, or would be if quotes decided."""
    rows = "".join(map(image, range(1000, 2000)))
    with open(folder / "train-1-images.csv", "w") as file:
        file.write(IMAGES + image(1, '"stray') + rows * 1400 + image(2, '"stray'))
    with open(folder / "train-2-images.csv", "w") as file:
        file.write(IMAGES + image(10))
        for _ in range(150):
            file.write("x" * MEBIBYTE)
        file.write("\n" + image(11) + image(3, '"' + "line\n" * 900_000 + '"') + image(12))
    with gzip.open(folder / "train-3-images.csv.gz", "wt", compresslevel=1) as file:
        file.write(IMAGES + image(20) + f'{21:016x},train,"')
        for _ in range(300):
            file.write("x" * MEBIBYTE)
        file.write('",5,0.0\n' + image(22) + image(23, "t" * (9 * MEBIBYTE)))
    with open(folder / "train_localized_narratives.jsonl", "w") as file:
        file.write(narrative(10, "sound") + "[" * (100 * MEBIBYTE) + "\n")
        for _ in range(3):
            file.write(narrative(10, "c" * (50 * MEBIBYTE)))
        file.write(narrative(10, "c" * (7 * MEBIBYTE)))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Version, int]:
    """What is published of them, and the most memory that it took in bytes."""
    folder = tmp_path_factory.mktemp("hostile")
    (annotations := folder / "annotations").mkdir()
    write(annotations)
    return build_measured(annotations, folder / "out")


@pytest.mark.timeout(300)
def test_memory_does_not_grow_with_a_line(built: tuple[Version, int]) -> None:
    assert built[1] < MOST_MEMORY


def test_a_record_that_is_too_long_costs_itself(built: tuple[Version, int]) -> None:
    version, _ = built
    told = [
        (Path(row["source"]).name, row["line"], row["reason"], row["detail"])
        for row in version.failures
    ]
    unclosed, long = "a quote that nothing closes", "longer than 8 MiB"
    assert told == [
        ("train-1-images.csv", 2, "bad_row", unclosed),
        ("train-1-images.csv", 1_400_003, "bad_row", unclosed),
        ("train-2-images.csv", 3, "bad_row", long),
        ("train-3-images.csv.gz", 3, "bad_row", long),
        ("train-3-images.csv.gz", 5, "bad_row", long),
        *(("train_localized_narratives.jsonl", line, "bad_row", long) for line in (2, 3, 4, 5)),
    ]
    accounts = [(source["rows"], source["bad_rows"]) for source in version.manifest["sources"]]
    assert accounts == [(1_400_002, 2), (5, 1), (4, 2), (6, 4)]


def test_what_is_long_but_not_too_long_is_kept(built: tuple[Version, int]) -> None:
    version, _ = built
    captions = version.examples[f"{10:016x}"]["narratives"]
    assert sorted(len(each["caption"]) for each in captions) == [5, 7 * MEBIBYTE]
    assert version.examples[f"{3:016x}"]["title"] == "line\n" * 900_000
    assert len(version.examples) == 1000 + 4 + 2
