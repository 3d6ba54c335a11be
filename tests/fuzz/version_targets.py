"""Damage to one file of an output: `verify` finds each, and names the file.

The output has one small version, in both formats, with failures and a pin. It is built once, when
this module is imported.
"""

import atexit
import contextlib
import io
import os
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from pipelines import synthesize, verify, versions
from tests.builds import latest_version, run_build
from tests.conftest import drop_unused_classes
from transforms.releases import card

IMAGES = 12

Damage = Callable[[random.Random, bytes], bytes | None]


def _build(folder: Path) -> Path:
    corpus, output = folder / "corpus", folder / "output"
    flags = ["--output", str(corpus), "--images", str(IMAGES), "--num_workers", "1"]
    with contextlib.redirect_stdout(io.StringIO()):
        assert synthesize.main(flags) == 0
    drop_unused_classes(corpus / "annotations")
    with open(next(corpus.glob("annotations/*train-annotations-bbox.csv")), "a") as table:
        table.write("no ImageID\n" * 3)
    inputs = [f"--{name}={corpus / name}" for name in ("annotations", "images", "masks")]
    built = run_build(*inputs, "--output", output, "--max_bad_rate", "1")
    assert built.returncode == 0, built.stderr
    with contextlib.redirect_stdout(io.StringIO()):
        assert versions.main([str(output), "pin", built.version.folder.name]) == 0
    return output


_FOLDER = Path(tempfile.mkdtemp(prefix="open-images-fuzz-"))
atexit.register(shutil.rmtree, _FOLDER, ignore_errors=True)
_OUTPUT = _build(_FOLDER)
_VERSION = latest_version(_OUTPUT).folder
_FILES = sorted(path for path in _OUTPUT.rglob("*") if path.is_file())


def _flip(rng: random.Random, data: bytes) -> bytes:
    place = rng.randrange(len(data))
    return data[:place] + bytes([data[place] ^ 1 << rng.randrange(8)]) + data[place + 1 :]


def _truncate(rng: random.Random, data: bytes) -> bytes:
    return data[: rng.choice([0, len(data) - 1, rng.randrange(len(data))])]


def _append(rng: random.Random, data: bytes) -> bytes:
    return data + rng.choice([b"\0", b"\n", data[-1:], rng.randbytes(rng.randrange(1, 1000))])


def _clear(rng: random.Random, data: bytes) -> bytes:
    start, stop = _range(rng, data)
    return data[:start] + bytes(stop - start) + data[stop:]


def _drop(rng: random.Random, data: bytes) -> bytes:
    start, stop = _range(rng, data)
    return data[:start] + data[stop:]


def _swap(rng: random.Random, data: bytes) -> bytes:
    """Swaps two neighbouring ranges."""
    start, stop = _range(rng, data)
    middle = rng.randrange(start, stop)
    return data[:start] + data[middle:stop] + data[start:middle] + data[stop:]


def _replace(rng: random.Random, _: bytes) -> bytes:
    """Takes another file's content."""
    return rng.choice(_FILES).read_bytes()


def _delete(_: random.Random, __: bytes) -> None:
    return None


_DAMAGE: dict[str, Damage] = {
    "flip": _flip,
    "truncate": _truncate,
    "append": _append,
    "clear": _clear,
    "drop": _drop,
    "swap": _swap,
    "replace": _replace,
    "delete": _delete,
}


def _range(rng: random.Random, data: bytes) -> tuple[int, int]:
    """A range of at least one byte, of a few more often than of many."""
    start = rng.randrange(len(data))
    return start, min(len(data), start + 1 + int(rng.random() ** 4 * len(data)))


def flipped_bit(number: int) -> str:
    """One bit of one file."""
    return _try(random.Random(f"bit {number}"), "flip")


def damaged_file(number: int) -> str:
    """One file that is cut, longer, has other bytes, those of another file, or is gone."""
    rng = random.Random(f"file {number}")
    return _try(rng, rng.choice([*_DAMAGE]))


def added_file(number: int) -> str:
    """A file, link or pipe that no build has put there."""
    rng = random.Random(f"added {number}")
    folders = [path for path in _OUTPUT.rglob("*") if path.is_dir()]
    path = rng.choice([_VERSION, *folders]) / rng.choice(["notes", "a b", "x.parquet", ".hidden"])
    if path.parent == _OUTPUT:  # where it is told, and no problem
        path = _VERSION / path.name
    kind = rng.choice(["file", "copy", "link", "pipe"])
    if kind == "link":
        path.symlink_to(rng.choice([_FILES[0], Path("/etc/passwd"), Path("nowhere")]))
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.write_bytes(b"" if kind == "file" else rng.choice(_FILES).read_bytes())
    try:
        _expect_found(path)
    finally:
        path.unlink()
    return kind


def _try(rng: random.Random, name: str) -> str:
    path = rng.choice(_FILES)
    whole = path.read_bytes()
    damaged = _DAMAGE[name](rng, whole)
    if damaged == whole:
        return "same"
    if damaged is None and path.parent.name == "pins":
        return "unpinned"
    with _replaced(path, whole, damaged):
        if name in ("replace", "delete") and path.name == card.NAME:
            # Nothing in it is of a card, so it is somebody's own: told, and no problem.
            code, lines = _verify()
            assert code == 0
            assert any(line.startswith(f"note: {card.NAME}") for line in lines), lines
            return "another's"
        _expect_found(path)
    return name


@contextlib.contextmanager
def _replaced(path: Path, whole: bytes, damaged: bytes | None) -> Iterator[None]:
    """Puts other bytes in a file's place, or nothing, for as long as it is open."""
    try:
        if damaged is None:
            path.unlink()
        else:
            path.write_bytes(damaged)
        yield
    finally:
        path.write_bytes(whole)


def _expect_found(path: Path) -> None:
    code, lines = _verify()
    assert code != 0, f"{path.relative_to(_OUTPUT)}: {lines}"
    within = path.is_relative_to(_VERSION)
    name = str(path.relative_to(_VERSION if within else _OUTPUT))
    # Where nothing is published, the output is what is named.
    named = [line for line in lines if name in line or (name == "latest" and str(_OUTPUT) in line)]
    assert named, f"{name}: {lines}"
    assert not any("Traceback" in line for line in lines), lines


def _verify() -> tuple[int, list[str]]:
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = verify.main([str(_OUTPUT), "--num_workers", "1"])
    return code, said.getvalue().splitlines()
