"""The README's code, as it stands: every block, in order, in one Python, as somebody pastes it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.builds import run_build

README = Path(__file__).parents[1] / "README.md"
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
#: What must come of the blocks.
_CHECKS = """
assert len(examples) == len(dataset) == sum(1 for _ in records) == len(frame) == 160
assert image.width and (bool(masks) or not has_masks)
assert any(masks_of(row) for row in dataset) == has_masks
assert 0 < len(present) and 0 < len(absent)
assert sorted(numbers.values()) == list(range(len(numbers)))
assert set(numbers) <= set(names)
assert len(boxes) == counted
assert all(len(row) == 3 for row in found) and 0 < len(found) <= 10
assert len(loader.dataset if hasattr(loader, "dataset") else loader.parts[0]) == 160
print("all of it ran")
"""


def blocks() -> list[tuple[str, str]]:
    """The language and code of each block that is to be run."""
    return _BLOCK.findall(README.read_text())


def script(has_masks: bool) -> str:
    """A program of all blocks, each compiled by itself as when it is pasted."""
    lines = ["names_of_all = {}", "import duckdb"]
    for language, code in blocks():
        if "torch" in code:
            lines.append(_TORCH)
        if language == "sql":
            lines.append(f"names_of_all['found'] = duckdb.sql({code!r}).fetchall()")
        else:
            lines.append(f"exec(compile({code!r}, 'README.md', 'exec'), names_of_all)")
    lines.append(f"names_of_all['has_masks'] = {has_masks}")
    lines.append("names_of_all['counted'] = sum(len(b) for b in names_of_all['frame']['bboxes'])")
    lines.append(f"exec({_CHECKS!r}, names_of_all)")
    return "\n".join(lines)


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
    code = tmp_path / "pasted.py"
    code.write_text(script(has_masks=masks == "with"))
    done = subprocess.run(
        [sys.executable, code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"},
    )
    assert (done.returncode, done.stdout) == (0, "all of it ran\n"), done.stderr[-3000:]


def test_nothing_of_it_is_left_out():
    found = [language for language, _ in blocks()]
    assert found.count("sql") == 1
    assert len(found) == README.read_text().count("```python\n") + found.count("sql")
    assert len(found) > 7
