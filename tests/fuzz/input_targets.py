"""Fuzz targets for inputs: drawn folders, and files that change while a build reads them."""

import contextlib
import functools
import glob
import gzip
import io
import os
import random
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from pipelines import synthesize
from tests.builds import Build, run_build
from tests.conftest import drop_unused_classes
from tests.moments import watched
from transforms.storage import folders

_IMAGES = 24
_FLAGS = ("--format", "parquet", "--chunk_size", "4096", "--max_failure_rate", "0.9")

#: The inputs that change: their paths, and how their other content is made.
_TABLE = "annotations/oidv6-train-annotations-bbox.csv"
_PACKED = "annotations/oidv7-train-annotations-human-imagelabels.csv.gz"
_ZIPPED = "annotations/oidv6-train-annotations-vrd.csv.zip"
_CLASSES = "annotations/oidv7-class-descriptions.csv"
_TAR = "images/test.tar"
_ZIP = "images/validation.zip"


def changed_input(number: int) -> str:
    """Changes an input at a drawn moment of a build: the version is of one state, or there is none.

    Returns:
        `refused`, or `published` of the inputs before or after the change.
    """
    chance = random.Random(number)
    openings, unchanged = _unchanged()
    with _copied() as corpus:
        kind = chance.choice(sorted(_others()))
        path = _changing(corpus, kind, chance)
        change = functools.partial(chance.choice(_CHANGES), path, _others()[kind])
        at = chance.randrange(openings)
        with watched(corpus, at, change):
            built = _build(corpus)
        if built.returncode:
            assert built.returncode == 1, built.stderr
            (line,) = built.stderr.splitlines()
            assert f"{path} changed while it was read: start again" in line or (
                f"{corpus}/images/train changed" in line and kind == "picture"
            ), line
            assert line.endswith("nothing was published"), line
            assert not (corpus / "output/latest").exists()
            return "refused"
        digests = _digests(built)
        if digests == unchanged:
            return "published, of the inputs before"
        shutil.rmtree(corpus / "output")
        assert digests == _digests(_build(corpus)), f"a mixture of two states of {path}"
        return "published, of the inputs after"


def drawn_folder(number: int) -> str:
    """Walks, matches and removes a drawn folder with links, pipes and circles.

    Returns:
        `circles` or `no circles`.
    """
    chance = random.Random(number)
    with tempfile.TemporaryDirectory() as temporary:
        top = Path(temporary, "top")
        outside = Path(temporary, "outside")
        for root in (top, outside):
            _plant(root, top, outside, chance)
        walked = list(folders.walk_linked(str(top)))
        found = [entry for entry in walked if not entry.trouble]
        assert len({entry.path for entry in walked}) == len(walked)
        assert all(os.path.join(top, entry.name) == entry.path for entry in walked)
        wanted = set(_reachable(str(top)))
        assert {_place(entry.path) for entry in found} == wanted
        assert len(found) == len(wanted)
        again = folders.walk_linked(str(top))
        assert [(each.name, each.trouble) for each in walked] == [
            (each.name, each.trouble) for each in again
        ]
        circles = any(entry.trouble == folders.LOOP for entry in walked)
        for _ in range(10):
            pattern = f"{top}/{_draw_pattern(chance)}"
            if "**" in pattern and any(path.is_symlink() for path in _all_of(top, outside)):
                continue  # `glob` enters a folder by each of its names
            matched = (path for path in glob.glob(pattern, recursive=True) if os.path.lexists(path))
            assert [path.rstrip("/") for path in folders.match(pattern)] == sorted(
                {path.rstrip("/") for path in matched}
            ), pattern
        kept = sorted(outside.rglob("*"))
        folders.remove(str(top))
        assert not top.exists()
        assert sorted(outside.rglob("*")) == kept
        return "circles" if circles else "no circles"


def _plant(root: Path, top: Path, outside: Path, chance: random.Random) -> None:
    """Makes a folder with drawn files, folders, links and pipes."""
    root.mkdir(exist_ok=True)
    inside = [root]
    for _ in range(chance.randrange(2, 14)):
        path = chance.choice(inside) / chance.choice(["a", "b", "c", ".d", "x.csv", "[q].csv"])
        if os.path.lexists(path):
            continue
        match chance.randrange(8):
            case 0 | 1 | 2:
                path.write_text("content")
            case 3 | 4 | 5:
                path.mkdir()
                inside.append(path)
            case 6:
                target = chance.choice([*inside, outside, top, Path("nowhere"), Path("a")])
                path.symlink_to(target if chance.random() < 0.5 else os.path.relpath(target, root))
            case 7:
                os.mkfifo(path)


def _all_of(*roots: Path) -> Iterator[Path]:
    for root in roots:
        yield from root.rglob("*")


def _place(path: str) -> tuple[str, str]:
    """The folder that a file lies in, without links, and its name."""
    return os.path.realpath(os.path.dirname(path)), os.path.basename(path)


def _reachable(top: str) -> set[tuple[str, str]]:
    """The places of all files below a folder by recursion, links to folders above them left out."""
    entered: set[str] = set()
    found: set[tuple[str, str]] = set()

    def enter(folder: str) -> None:
        if folder in entered:
            return
        entered.add(folder)
        for name in os.listdir(folder):
            path = os.path.join(folder, name)
            if os.path.isdir(path):
                target = os.path.realpath(path)
                if not os.path.islink(path) or os.path.commonpath([target, folder]) != target:
                    enter(target)
            elif os.path.isfile(path):
                found.add((folder, name))

    enter(os.path.realpath(top))
    return found


def _draw_pattern(chance: random.Random) -> str:
    parts = ["*", "**", "?", "a", "b", "*.csv", "[ab]", ".*", "[!a]*", ".d"]
    drawn = [chance.choice(parts) for _ in range(chance.randint(1, 4))]
    if not folders.MAGIC.search("".join(drawn)):
        drawn.append("*")
    return "/".join(drawn)


def _replace(path: Path, other: Callable[[bytes], bytes]) -> None:
    new = path.with_name(".new")
    new.write_bytes(other(path.read_bytes()))
    os.replace(new, path)


def _overwrite(path: Path, other: Callable[[bytes], bytes]) -> None:
    """Writes another content with the time of change that the file had."""
    status = path.stat()
    path.write_bytes(other(path.read_bytes()))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def _append(path: Path, _: Callable[[bytes], bytes]) -> None:
    data = path.read_bytes()
    with path.open("ab") as file:
        file.write(data[-1000:])


def _truncate(path: Path, _: Callable[[bytes], bytes]) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _touch(path: Path, _: Callable[[bytes], bytes]) -> None:
    os.utime(path)


def _remove(path: Path, _: Callable[[bytes], bytes]) -> None:
    path.unlink()


_CHANGES = (_replace, _overwrite, _append, _truncate, _touch, _remove)


def _reverse_rows(data: bytes) -> bytes:
    header, *rows = data.splitlines(keepends=True)
    return b"".join([header, *reversed(rows)])


def _gzip_reversed(data: bytes) -> bytes:
    return gzip.compress(_reverse_rows(gzip.decompress(data)))


def _zip_other(data: bytes) -> bytes:
    """A zip with the contents of its members exchanged, or the rows of its one table reversed."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    contents = [*members.values()]
    contents = [_reverse_rows(*contents)] if len(contents) == 1 else contents[1:] + contents[:1]
    return _zip(dict(zip(members, contents, strict=True)))


def _zip(members: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return packed.getvalue()


def _tar_other(data: bytes) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        members = {info.name: tar.extractfile(info).read() for info in tar}  # pyrefly: ignore
    names = [*members]
    return _tar({name: members[other] for name, other in zip(names, names[::-1], strict=True)})


def _tar(members: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return packed.getvalue()


def _another_picture(data: bytes) -> bytes:
    pictures = sorted((_original() / "images/train").iterdir())
    return next(other for path in pictures if (other := path.read_bytes()) != data)


def _others() -> dict[str, Callable[[bytes], bytes]]:
    """How the other content of each kind of input is made."""
    return {
        _TABLE: _reverse_rows,
        _PACKED: _gzip_reversed,
        _ZIPPED: _zip_other,
        _CLASSES: _reverse_rows,
        _TAR: _tar_other,
        _ZIP: _zip_other,
        "picture": _another_picture,
        "masks": _zip_other,
    }


def _changing(corpus: Path, kind: str, chance: random.Random) -> Path:
    if kind == "picture":
        return chance.choice(sorted((corpus / "images/train").iterdir()))
    return min((corpus / "masks").glob("train*.zip")) if kind == "masks" else corpus / kind


def _build(corpus: Path) -> Build:
    inputs: list[object] = ["--annotations", corpus / "annotations", "--masks", corpus / "masks"]
    for name in ("train", "test.tar", "validation.zip"):
        inputs += ["--images", corpus / "images" / name]
    return run_build(*inputs, *_FLAGS, "--output", corpus / "output")


def _digests(built: Build) -> dict[str, str]:
    """Those of all that readers see: the lineage has the stamps of pictures."""
    digests = built.version.digests()
    return {path: text for path, text in digests.items() if not path.startswith("lineage/")}


@contextlib.contextmanager
def _copied() -> Iterator[Path]:
    """A copy of the inputs, always by the same path, since failures name it."""
    corpus = _original().with_name("copy")
    shutil.copytree(_original(), corpus)
    try:
        yield corpus
    finally:
        shutil.rmtree(corpus)


@functools.cache
def _original() -> Path:
    """Inputs of all kinds, made once a process."""
    folder = Path(tempfile.mkdtemp(), "made")
    flags = ["--output", str(folder), "--images", str(_IMAGES), "--num_workers", "1"]
    assert synthesize.main(flags) == 0
    drop_unused_classes(folder / "annotations")
    for split, pack in (("test", _tar), ("validation", _zip)):
        pictures = {path.name: path.read_bytes() for path in (folder / "images" / split).iterdir()}
        suffix = {"test": "tar", "validation": "zip"}[split]
        (folder / f"images/{split}.{suffix}").write_bytes(pack(pictures))
        shutil.rmtree(folder / "images" / split)
    (folder / _PACKED).write_bytes(gzip.compress((folder / _PACKED).with_suffix("").read_bytes()))
    (folder / _PACKED).with_suffix("").unlink()
    table = (folder / _ZIPPED).with_suffix("")
    (folder / _ZIPPED).write_bytes(_zip({table.name: table.read_bytes()}))
    table.unlink()
    return folder


@functools.cache
def _unchanged() -> tuple[int, dict[str, str]]:
    """How many files a build opens, and the digests of what it publishes."""
    with _copied() as corpus:
        with watched(corpus) as moments:
            built = _build(corpus)
        assert built.returncode == 0, built.stderr
        return len(moments.opened), _digests(built)
