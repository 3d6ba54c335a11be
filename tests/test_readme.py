"""The code of README and the page on loading: every block, in order, as somebody pastes it."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.builds import run_build

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
LOADING = ROOT / "docs" / "guide" / "loading.md"
IMAGES = 60
#: Which masks the dataset has that a page loads.
VARIANTS = ("with", "without table", "without pixels")
_BLOCK = re.compile(r"^```(python|sql)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

#: What stands for PyTorch where it isn't installed: a loader that loads in its own process.
_TORCH = """
import sys, types
try:
    import torch
except ImportError:
    class DataLoader:
        def __init__(self, dataset, batch_size, shuffle, collate_fn, num_workers):
            self.parts = dataset, batch_size, collate_fn

        def __iter__(self):
            dataset, size, collate = self.parts
            for start in range(0, len(dataset), size):
                stop = min(start + size, len(dataset))
                yield collate([dataset[i] for i in range(start, stop)])

    data = types.ModuleType("torch.utils.data")
    data.DataLoader = DataLoader
    for name in ("torch", "torch.utils"):
        sys.modules[name] = types.ModuleType(name)
    sys.modules["torch.utils.data"] = data
"""
#: What must come of the blocks on loading.
_CHECKS = """
counted = sum(len(b) for b in frame["bboxes"])
assert len(examples) == len(dataset) == sum(1 for _ in records) == len(frame) == images
assert image.width and (bool(masks) or not has_masks)
assert any(masks_of(row) for row in dataset) == has_masks
assert 0 < len(present) and 0 < len(absent)
assert sorted(numbers.values()) == list(range(len(numbers)))
assert set(numbers) <= set(names)
assert len(boxes) == counted
assert all(len(row) == 3 for row in found) and 0 < len(found) <= 10
assert len(loader.dataset if hasattr(loader, "dataset") else loader.parts[0]) == images
"""
_README_CHECKS = """
assert len(examples) == len(dataset) == images
assert dataset[0]["image"].width and isinstance(dataset[0]["bboxes"], list)
"""

#: Runs programs in their folders, in one process since what they import takes seconds to import;
#: prints what went wrong in each.
_RUN = """
import json, os, runpy, sys, traceback
wrong = {}
for program in sys.argv[1:]:
    os.chdir(os.path.dirname(program))
    try:
        runpy.run_path(program)
        wrong[program] = ""
    except BaseException:
        wrong[program] = traceback.format_exc()
    for name in [name for name in sys.modules if name.split(".")[0] == "torch"]:
        if not hasattr(sys.modules[name], "__file__"):  # what stands for it
            del sys.modules[name]
print(json.dumps(wrong))
"""


def blocks(page: Path) -> list[tuple[str, str]]:
    """The language and code of each block of a page that is to be run."""
    return _BLOCK.findall(page.read_text())


def script(page: Path, checks: str, images: int, has_masks: bool) -> str:
    """Returns a program of all blocks, each compiled by itself as when it is pasted."""
    lines = ["names_of_all = {}", "import duckdb"]
    for language, code in blocks(page):
        if "torch" in code:
            lines.append(_TORCH)
        if language == "sql":
            lines.append(f"names_of_all['found'] = duckdb.sql({code!r}).fetchall()")
        else:
            lines.append(f"exec(compile({code!r}, {page.name!r}, 'exec'), names_of_all)")
    lines.append(f"names_of_all |= {{'images': {images}, 'has_masks': {has_masks}}}")
    lines.append(f"exec({checks!r}, names_of_all)")
    return "\n".join(lines)


def write_programs(variant: str, corpus: Path, folder: Path) -> list[Path]:
    """Writes programs into a folder, and builds the dataset `demo/dataset` that they load."""
    has_masks = variant == "with"
    annotations = folder / "annotations"
    annotations.mkdir()
    for path in (corpus / "annotations").iterdir():
        if variant != "without table" or "segmentation" not in path.name:
            (annotations / path.name).symlink_to(path)
    flags = ["--annotations", annotations, "--images", corpus / "images"]
    if has_masks:
        flags += ["--masks", corpus / "masks"]
    for _ in range(2 if has_masks else 1):  # a second version must change nothing
        built = run_build(*flags, "--rebuild", "--output", folder / "demo" / "dataset")
        assert built.returncode == 0, built.stderr
    images = built.version.manifest["splits"]["train"]["num_examples"]
    pages = {LOADING: _CHECKS} | ({README: _README_CHECKS} if has_masks else {})
    for page, checks in pages.items():
        (folder / f"{page.stem}.py").write_text(script(page, checks, images, has_masks))
    return [folder / f"{page.stem}.py" for page in pages]


@pytest.fixture(scope="module")
def wrong(
    make_corpus: Callable[[str, int], Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, str]]:
    """What went wrong in the programs of each variant."""
    corpus, home = make_corpus("v7", IMAGES), tmp_path_factory.mktemp("home")
    programs = {
        variant: write_programs(variant, corpus, tmp_path_factory.mktemp("pasted"))
        for variant in VARIANTS
    }
    done = subprocess.run(
        [sys.executable, "-c", _RUN, *(path for paths in programs.values() for path in paths)],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "HOME": str(home), "HF_HUB_OFFLINE": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)  # nothing else is printed
    return {
        variant: {path.name: found[str(path)] for path in paths}
        for variant, paths in programs.items()
    }


@pytest.mark.parametrize("masks", VARIANTS)
def test_its_code_runs_as_pasted(masks: str, wrong: dict[str, dict[str, str]]):
    pages = ["loading.py", "README.py"] if masks == "with" else ["loading.py"]
    assert wrong[masks] == dict.fromkeys(pages, "")


@pytest.mark.parametrize("page", [README, LOADING], ids=["README", "loading"])
def test_nothing_of_it_is_left_out(page: Path):
    found = [language for language, _ in blocks(page)]
    assert len(found) == page.read_text().count("```python\n") + found.count("sql")
    assert len(found) == {README: 2, LOADING: 9}[page]
