"""The code of README and the page on loading: every block, in order, as somebody pastes it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.builds import run_build

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
LOADING = ROOT / "docs" / "guide" / "loading.md"
_BLOCK = re.compile(r"^```(python|sql)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

#: What stands for PyTorch where it isn't installed: a loader that loads in its own process.
_TORCH = """
import sys, types
try:
    import torch
except ImportError:
    class DataLoader:
        def __init__(self, dataset, batch_size, collate_fn, num_workers):
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
assert len(examples) == len(dataset) == sum(1 for _ in records) == len(frame) == 160
assert image.width and (bool(masks) or not has_masks)
assert any(masks_of(row) for row in dataset) == has_masks
assert 0 < len(present) and 0 < len(absent)
assert sorted(numbers.values()) == list(range(len(numbers)))
assert set(numbers) <= set(names)
assert len(boxes) == counted
assert all(len(row) == 3 for row in found) and 0 < len(found) <= 10
assert len(loader.dataset if hasattr(loader, "dataset") else loader.parts[0]) == 160
"""
_README_CHECKS = """
assert len(examples) == len(dataset) == 160
assert dataset[0]["image"].width and isinstance(dataset[0]["bboxes"], list)
"""


def blocks(page: Path) -> list[tuple[str, str]]:
    """The language and code of each block of a page that is to be run."""
    return _BLOCK.findall(page.read_text())


def script(page: Path, checks: str, has_masks: bool) -> str:
    """A program of all blocks, each compiled by itself as when it is pasted."""
    lines = ["names_of_all = {}", "import duckdb"]
    for language, code in blocks(page):
        if "torch" in code:
            lines.append(_TORCH)
        if language == "sql":
            lines.append(f"names_of_all['found'] = duckdb.sql({code!r}).fetchall()")
        else:
            lines.append(f"exec(compile({code!r}, {page.name!r}, 'exec'), names_of_all)")
    lines.append(f"names_of_all['has_masks'] = {has_masks}")
    lines.append(f"exec({checks!r}, names_of_all)")
    lines.append("print('all of it ran')")
    return "\n".join(lines)


def run_pasted(page: Path, checks: str, folder: Path, has_masks: bool = True) -> None:
    """Runs the blocks of a page in a folder that has `demo/dataset`."""
    code = folder / "pasted.py"
    code.write_text(script(page, checks, has_masks))
    done = subprocess.run(
        [sys.executable, code],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder), "HF_HUB_OFFLINE": "1"},
    )
    assert (done.returncode, done.stdout) == (0, "all of it ran\n"), done.stderr[-3000:]


@pytest.mark.parametrize("masks", ["with", "without table", "without pixels"])
def test_its_code_runs_as_pasted(masks: str, corpus_v7: Path, tmp_path: Path):
    annotations = tmp_path / "annotations"
    annotations.mkdir()
    for path in (corpus_v7 / "annotations").iterdir():
        if masks != "without table" or "segmentation" not in path.name:
            (annotations / path.name).symlink_to(path)
    flags = ["--annotations", annotations, "--images", corpus_v7 / "images"]
    if masks == "with":
        flags += ["--masks", corpus_v7 / "masks"]
    for _ in range(2 if masks == "with" else 1):  # a second version must change nothing
        built = run_build(*flags, "--rebuild", "--output", tmp_path / "demo" / "dataset")
        assert built.returncode == 0, built.stderr
    run_pasted(LOADING, _CHECKS, tmp_path, has_masks=masks == "with")
    if masks == "with":
        run_pasted(README, _README_CHECKS, tmp_path)


@pytest.mark.parametrize("page", [README, LOADING], ids=["README", "loading"])
def test_nothing_of_it_is_left_out(page: Path):
    found = [language for language, _ in blocks(page)]
    assert len(found) == page.read_text().count("```python\n") + found.count("sql")
    assert len(found) == {README: 2, LOADING: 9}[page]
