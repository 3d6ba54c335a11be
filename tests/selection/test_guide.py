"""The flags that the guide and the README show: each selects something of the demo's kind."""

import re
import shlex
from pathlib import Path

import pyarrow as pa
import pytest

from open_images.building import plan
from pipelines.cli import build_flags
from tests import builds
from transforms.kinds.images import IMAGE_ROW
from transforms.selection.conditions import GEOMETRY, OPERATORS
from transforms.selection.label_types import LABEL_TYPES
from transforms.selection.selection import EVERYTHING

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "guide" / "selection.md"
README = ROOT / "README.md"
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`([^`]+)`")


def shown_flags() -> list[list[str]]:
    """The lines of flags in the guide, and its command."""
    found = []
    blocks = [text for language, text in _BLOCK.findall(GUIDE.read_text()) if not language]
    for block in blocks:
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words[:3] == ["python", "-m", "pipelines.build"]:
                words = words[words.index("--classes") :]
            if words and words[0].startswith("--"):
                found.append(words)
    return found


def readme_flags() -> list[list[str]]:
    """The flags that the README shows for what the V7 page loads with FiftyOne."""
    section = README.read_text().split("### Just a part of it\n")[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| load")]
    return [shlex.split(_CODE.findall(row)[-1]) for row in rows]


@pytest.fixture(scope="module")
def base(corpus_v7: Path) -> list[str]:
    return ["--annotations", str(corpus_v7 / "annotations"), "--images", "none", "--output", "out"]


@pytest.mark.parametrize("shown", shown_flags(), ids=" ".join)
def test_flags_of_the_guide_are_understood(shown: list[str], base: list[str]) -> None:
    flags, _ = build_flags.parse([*base, *shown])
    assert plan.make_plan(flags).examples.selection != EVERYTHING


@pytest.mark.parametrize("shown", readme_flags(), ids=" ".join)
def test_selections_of_the_readme_are_built(
    shown: list[str],
    base: list[str],
    corpus_v7: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    listed = [path.stem for path in sorted((corpus_v7 / "images").rglob("*.jpg"))[:7]]
    Path("ids.txt").write_text("".join(f"train/{image_id}\n" for image_id in listed))
    done = builds.run_build(*base, "--format", "parquet", *shown)
    assert done.returncode == 0, done.stderr
    examples = done.version.examples
    if "--image_ids" in shown:
        assert sorted(examples) == sorted(listed)
    else:
        assert {each["split"] for each in examples.values()} == {"validation"}
    if "--label_types" in shown:
        kept = {"bboxes", "masks", "points"}
        columns = {each.column for each in LABEL_TYPES.values()}
        for example in examples.values():
            assert kept == {name for name in columns if example[name] is not None}


def test_the_guide_has_all_fields_and_operators() -> None:
    text = GUIDE.read_text()
    table = text.split("| subject |")[1].split("\n\n")[0]
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| (.*) \|$", table, re.MULTILINE)
    listed = {name: {*_CODE.findall(row[1])} for row in rows for name in _CODE.findall(row[0])}
    for name, label_type in LABEL_TYPES.items():
        fields = {each.name for each in label_type.kind.row if not pa.types.is_nested(each.type)}
        fields |= {*GEOMETRY} if "xmin" in fields else set()
        if name == "person_boxes":
            fields -= listed["boxes"]
        if name == "relationships":
            fields = {each for each in fields if not each.startswith(("x", "y"))}
        assert fields <= listed[name], (name, fields - listed[name])
    assert {each.name for each in IMAGE_ROW} <= listed["images"]
    operators = re.findall(r"`([^`]+)`", text.split("| operator |")[1].split("\n\n")[0])
    assert {each.removesuffix(" (…)") for each in operators} == {*OPERATORS}
