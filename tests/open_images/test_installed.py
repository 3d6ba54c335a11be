"""The library where people use it: a script in another folder, and a notebook."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from pathlib import Path

import nbclient
import nbformat
import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("open_images", "pipelines", "runners", "transforms")
#: Builds with two workers, which must import what this script does, not what lies beside it.
SCRIPT = """
import sys
import open_images

corpus, output, installed = sys.argv[1:]
assert open_images.__file__.startswith(installed), open_images.__file__
result = open_images.build(
    annotations=f"{corpus}/annotations",
    images=f"{corpus}/images",
    masks=f"{corpus}/masks",
    output=output,
    num_workers=2,
)
dataset = open_images.open_dataset(output)
assert sum(dataset.splits.values()) == result.outcome.images == 60
print(dataset)
"""


@pytest.fixture(scope="module")
def corpus(make_corpus: Callable[[str, int], Path]) -> Path:
    return make_corpus("v7", 60)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment in which the project is installed; other packages are this one's."""
    folder = tmp_path_factory.mktemp("fresh")
    venv.create(folder, with_pip=False)
    sources = tmp_path_factory.mktemp("sources")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, sources / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, sources)
    install = [sys.executable, "-m", "pip", "--python", str(folder), "install", "--quiet"]
    offline = ["--no-deps", "--no-build-isolation", "--no-index"]
    ours = sysconfig.get_path("purelib")
    subprocess.run(
        [*install, *offline, str(sources)], check=True, env=environment() | {"PYTHONPATH": ours}
    )
    scheme = {"base": str(folder), "platbase": str(folder)}
    Path(sysconfig.get_path("purelib", vars=scheme), "ours.pth").write_text(f"{ours}\n")
    return folder


def environment() -> dict[str, str]:
    """Variables of a user who hasn't set where Python imports from."""
    return {name: os.environ[name] for name in os.environ if name != "PYTHONPATH"}


def test_a_script_in_another_folder(installed: Path, corpus: Path, tmp_path: Path):
    script = tmp_path / "scripts" / "mine.py"
    script.parent.mkdir()
    script.write_text(SCRIPT)
    # A folder of the user's that has the name of one of ours.
    (tmp_path / "runners").mkdir()
    (tmp_path / "runners" / "__init__.py").write_text("raise ImportError('not this one')")
    command = [installed / "bin" / "python", script, corpus, tmp_path / "out", installed]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("<open_images.Dataset ")


def test_the_command(installed: Path, tmp_path: Path):
    def call(*arguments: object) -> tuple[int, str, str]:
        command = [installed / "bin" / "open-images", *arguments]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout, done.stderr

    code, listed, _ = call("--help")
    assert code == 0
    for name in ("build", "download", "verify", "versions", "doctor", "draw", "synthesize"):
        assert f"\n  {name} " in listed
        code, text, _ = call(name, "--help")
        assert code == 0
        assert f"usage: open-images {name} " in text
        assert "python -m" not in text
    code, version, _ = call("--version")
    assert (code, version) == (0, "open-images 0.1.0\n")
    error = "open-images: error: 'biuld' is none of "
    assert call("biuld")[2].startswith(error)
    output = tmp_path / "out"
    assert call("versions", output, "list") == (
        2,
        "",
        f"open-images versions: error: {output}: nothing is published there: name the --output of "
        "a build\n",
    )


def test_a_notebook(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """In a kernel, whose main thread runs a loop."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    cells = [
        "import asyncio, open_images; asyncio.get_running_loop()",
        f"result = open_images.build(annotations={str(corpus / 'annotations')!r}, "
        f"images={str(corpus / 'images')!r}, output={str(tmp_path / 'out')!r}, num_workers=2)",
        f"dataset = open_images.open_dataset({str(tmp_path / 'out')!r}); dataset",
        "dataset.failures().num_rows, open_images.build.__name__",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    client = nbclient.NotebookClient(
        notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    outputs = [cell["outputs"] for cell in notebook["cells"]]
    assert outputs[1] == []
    assert outputs[2][0]["data"]["text/plain"].startswith("<open_images.Dataset ")
    assert outputs[3][0]["data"]["text/plain"] == "(0, 'build')"
