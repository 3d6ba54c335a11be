"""A corpus whose files tests change, and builds of it: upon each other, and from nothing."""

import json
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np

from tests.builds import Build, run_build


class Corpus:
    """A copy of inputs, with the masks unpacked.

    Attributes:
        flags: of every build.
        images: the `--images` of every build.
    """

    def __init__(self, original: Path, folder: Path, *flags: str) -> None:
        self.folder = folder
        self.output = folder / "output"
        self.flags = flags
        for name in ("annotations", "images"):
            shutil.copytree(original / name, folder / name)
        for path in (original / "masks").glob("*.zip"):
            with zipfile.ZipFile(path) as archive:
                archive.extractall(folder / "masks")
        self.images: tuple[object, ...] = (folder / "images",)

    def build(self, *flags: object, output: Path | None = None) -> Build:
        """Builds upon the version before, which must succeed."""
        images = [text for each in self.images for text in ("--images", each)]
        inputs = ("--annotations", self.folder / "annotations", "--masks", self.folder / "masks")
        output = output or self.output
        built = run_build(*inputs, *images, "--output", output, *self.flags, *flags)
        assert built.returncode == 0, built.stderr
        return built

    def build_again(self, *flags: object) -> dict[str, int]:
        """Builds upon the version before, asserts that this is as if it were from nothing.

        Returns:
            What was taken over, as the report has it.
        """
        built = self.build("--report", "json", *flags)
        shutil.rmtree(self.folder / "from nothing", ignore_errors=True)
        whole = self.build(*flags, output=self.folder / "from nothing").version
        assert built.version.digests() == whole.digests()
        for key in ("splits", "sources", "failures", "reuse", "fingerprint"):
            assert built.version.manifest[key] == whole.manifest[key]
        return json.loads(built.stdout)["taken_over"]

    def table(self, name: str) -> Path:
        """A file of annotations by a part of its name."""
        return next((self.folder / "annotations").glob(f"*{name}*"))

    def pictures(self) -> list[Path]:
        return sorted((self.folder / "images").rglob("*.jpg"))


def edit_lines(path: Path, change: Callable[[list[str]], list[str]]) -> None:
    """Changes the rows of a table below its header."""
    header, *rows = path.read_text().splitlines(keepends=True)
    path.write_text("".join([header, *change(rows)]))


def without_one(rows: list[str], random: Random) -> list[str]:
    at = random.randrange(len(rows))
    return rows[:at] + rows[at + 1 :]


def remove_row(corpus: Corpus, random: Random) -> None:
    table = corpus.table(random.choice(["train-annotations-bbox", "point-labels", "imagelabels"]))
    edit_lines(table, lambda rows: without_one(rows, random))


def double_row(corpus: Corpus, random: Random) -> None:
    edit_lines(corpus.table("train-annotations-vrd"), lambda rows: [*rows, random.choice(rows)])


def edit_row(corpus: Corpus, random: Random) -> None:
    def edit(rows: list[str]) -> list[str]:
        at = random.randrange(len(rows))
        fields = rows[at].split(",")
        fields[4] = "0.015625"
        return [*rows[:at], ",".join(fields), *rows[at + 1 :]]

    edit_lines(corpus.table("train-annotations-bbox"), edit)


def name_new_label(corpus: Corpus, random: Random) -> None:
    """One that no file of classes knows."""
    table = corpus.table("train-annotations-machine-imagelabels")
    label = f"/m/0{random.randrange(10**6)}"
    edit_lines(table, lambda rows: [*rows, rows[0].split(",")[0] + f",machine,{label},0.5\n"])


def rename_class(corpus: Corpus, random: Random) -> None:
    name = f"renamed {random.random()}\n"
    edit_lines(
        corpus.table("oidv7-class-descriptions"),
        lambda rows: [rows[0].partition(",")[0] + f",{name}", *rows[1:]],
    )


def remove_image(corpus: Corpus, random: Random) -> None:
    table = corpus.table("train-images")
    edit_lines(table, lambda rows: without_one(rows, random))


def add_image(corpus: Corpus, random: Random) -> None:
    new = f"{random.getrandbits(64):016x}"
    (corpus.folder / "images" / "train" / f"{new}.jpg").write_bytes(
        random.choice(corpus.pictures()).read_bytes()
    )
    edit_lines(corpus.table("train-images"), lambda rows: [*rows, new + rows[0][len(new) :]])


def replace_picture(corpus: Corpus, random: Random) -> None:
    one, other = random.sample(corpus.pictures(), 2)
    one.write_bytes(other.read_bytes())


def remove_picture(corpus: Corpus, random: Random) -> None:
    random.choice(corpus.pictures()).unlink()


def spoil_picture(corpus: Corpus, random: Random) -> None:
    path = random.choice(corpus.pictures())
    path.write_bytes(path.read_bytes()[:-100])


def replace_mask(corpus: Corpus, random: Random) -> None:
    one, other = random.sample(sorted((corpus.folder / "masks").rglob("*.png")), 2)
    one.write_bytes(other.read_bytes())


def remove_mask(corpus: Corpus, random: Random) -> None:
    random.choice(sorted((corpus.folder / "masks").rglob("*.png"))).unlink()


CHANGES = (
    *(remove_row, double_row, edit_row, name_new_label, rename_class, remove_image, add_image),
    *(replace_picture, remove_picture, spoil_picture, replace_mask, remove_mask),
)


def replace_alike(path: Path) -> None:
    """Puts another file in place of one, with its size and time of change."""
    other = path.with_name(f"{path.name}.other")
    shutil.copy2(path, other)
    os.replace(other, path)


def overwrite_alike(path: Path) -> None:
    """Writes a file anew, with its size and time of change."""
    status = path.stat()
    path.write_bytes(path.read_bytes())
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def flip(path: Path, place: float) -> None:
    """Flips a bit in a copy of a file, since other versions may share it."""
    data = np.fromfile(path, np.uint8)
    data[int(place * (len(data) - 1))] ^= 1
    path.unlink()
    data.tofile(path)
