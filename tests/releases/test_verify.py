"""Verifying a published version: each way to spoil one is found and named."""

import dataclasses
import json
import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines import verify, versions
from tests.builds import Build, Version, latest_version, run_build
from tests.releases import spoiling
from tests.releases.conftest import IMAGES
from tests.releases.test_publish import flip
from transforms.dataset.failures import Failure, Reason, Stage, to_table
from transforms.formats.format import Content
from transforms.formats.registry import FORMATS, find_format
from transforms.formats.tables import TableExamples
from transforms.formats.tfrecord.records import KIND_NAMES, parse_example, read_records
from transforms.kinds.registry import example_columns
from transforms.releases.manifest import ShardFile
from transforms.releases.shard_files import sha256_of
from transforms.releases.verify_shard import ShardTask, check_shard
from transforms.releases.workspace import prepare
from transforms.storage import files


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, list[str]]]:
    """Runs the program in this process; its exit code, and its lines on stdout and stderr."""

    def run(*arguments: object, num_workers: int = 1) -> tuple[int, list[str]]:
        texts = [*map(str, arguments), "--num_workers", str(num_workers)]
        try:
            code = verify.main(texts)
        except SystemExit as error:
            code = error.code
        said = capfd.readouterr()
        return code, (said.out or said.err).splitlines()

    return run


@pytest.mark.parametrize("num_workers", [1, 2])
def test_a_whole_version(published: Build, run: Callable, num_workers: int):
    code, (line,) = run(published.output, "--sample", "all", num_workers=num_workers)
    assert code == 0
    shards = [s for split in published.version.manifest["splits"].values() for s in split["shards"]]
    assert line.startswith(f"{published.version.folder.name}: whole; {IMAGES} examples in ")
    assert f" in {len(shards)} shards " in line
    assert f", {IMAGES} pictures decoded, " in line


@pytest.mark.parametrize(("sample", "decoded"), [("0", 0), ("7", 7), ("1000", IMAGES)])
def test_as_many_pictures_as_asked_for(published: Build, run: Callable, sample: str, decoded: int):
    code, (line,) = run(published.output, "--sample", sample)
    assert (code, re.findall(r", (\d+) pictures decoded", line)) == (0, [str(decoded)])


def shard(version: Version, form: str, index: int = 0, split: str = "train") -> Path:
    return version.shards(split, form)[index]


def flip_somewhere(version: Version, form: str, share: float) -> None:
    path = shard(version, form)
    flip(path, int((path.stat().st_size - 1) * share))


def swap(version: Version, form: str) -> None:
    """The first two shards of a split trade places."""
    one, other = version.shards("train", form)[:2]
    one.rename(one.with_suffix(".swapped"))
    other.rename(one)
    one.with_suffix(".swapped").rename(other)
    spoiling.reseal(version, one)
    spoiling.reseal(version, other)


def rename(version: Version, form: str) -> None:
    path = shard(version, form)
    path.rename(path.with_name(path.name.replace("00000-of", "00009-of")))


def rename_in_manifest_too(version: Version) -> None:
    path = shard(version, "parquet")

    def edit(manifest: dict) -> None:
        for each in manifest["splits"]["train"]["shards"]:
            each["path"] = each["path"].replace("parquet/train-00000", "parquet/train-00009")

    path.rename(path.with_name(path.name.replace("00000-of", "00009-of")))
    spoiling.edit_manifest(version, edit)


def add_extra(version: Version, form: str) -> None:
    path = shard(version, form)
    shutil.copy(path, path.with_name(path.name.replace("00000-of", "00009-of")))


def first_twice(rows: pa.Table) -> pa.Table:
    return pa.concat_tables([rows.slice(0, 1), rows])


def double_in_other_split(version: Version) -> None:
    rows = pq.read_table(shard(version, "parquet", split="validation"))
    stranger = spoiling.set_value(rows.slice(0, 1), "split", lambda _: "test")
    spoiling.rewrite_both(
        version, "test", lambda own: spoiling.in_order(pa.concat_tables([own, stranger]))
    )


def change_count(version: Version, split_too: bool) -> None:
    def edit(manifest: dict) -> None:
        account = manifest["splits"]["test"]
        for each in account["shards"]:
            each["num_examples"] += 1
        account["num_examples"] += split_too

    spoiling.edit_manifest(version, edit)
    spoiling.reseal_tfds(version)


def set_in_manifest(*path: str, value: object) -> Callable[[Version], None]:
    def edit(manifest: dict) -> None:
        node = manifest
        for name in path[:-1]:
            node = node[name]
        node[path[-1]] = value

    return lambda version: spoiling.edit_manifest(version, edit)


def spoil_picture(image: dict) -> dict:
    """Cuts a JPEG, which no build accepts; see `test_damaged_pictures` for what one does."""
    data = image["bytes"]
    return image | {"bytes": data[: len(data) // 2]}


def replace_value(name: str, edit: Callable) -> Callable[[pa.Table], pa.Table]:
    return lambda rows: spoiling.set_value(rows, name, edit)


def set_label(boxes: list[dict]) -> list[dict]:
    return [*boxes[:-1], boxes[-1] | {"label": "/m/other"}] if boxes else [{"label": "/m/other"}]


def edit_rows(edit: Callable[[pa.Table], pa.Table]) -> Callable[[Version], None]:
    return lambda version: spoiling.rewrite_rows(version, shard(version, "parquet"), edit)


def edit_records(edit: Callable[[list[bytes]], list[bytes]]) -> Callable[[Version], None]:
    return lambda version: spoiling.rewrite_records(version, shard(version, "tfrecord"), edit)


def edit_both(edit: Callable[[pa.Table], pa.Table]) -> Callable[[Version], None]:
    return lambda version: spoiling.rewrite_both(version, "test", edit)


def edit_json(name: str, edit: Callable) -> Callable[[Version], None]:
    def change(version: Version) -> None:
        (path,) = version.folder.rglob(name)
        path.write_text(json.dumps(edit(json.loads(path.read_text()))))
        spoiling.reseal_file(version, path)

    return change


def replace_failures(write: Callable[[Path], object]) -> Callable[[Version], None]:
    def replace(version: Version) -> None:
        (path,) = (version.folder / "failures").iterdir()
        write(path)
        spoiling.reseal_file(version, path)

    return replace


def with_failures(rows: pa.Table) -> Callable[[Version], None]:
    return replace_failures(lambda path: pq.write_table(rows, path))


def a_failure() -> pa.Table:
    return to_table([Failure(None, None, Stage.READ, Reason.BAD_ROW, "")])


#: How a copy is spoiled, and what the lines must hold, one for each.
SPOILED: dict[str, tuple[Callable[[Version], object], list[str]]] = {
    **{
        f"a flipped bit at {share} of {form}": (
            lambda version, form=form, share=share: flip_somewhere(version, form, share),
            [f"{form}.*00000-of.*: its SHA-256 is .*: its bytes have changed"],
        )
        for form in ("parquet", "tfrecord")
        for share in (0, 0.1, 0.5, 0.9, 1)
    },
    **{
        f"a missing shard of {form}": (
            lambda version, form=form: shard(version, form).unlink(),
            [f"{form}.*00000-of.*: is missing"],
        )
        for form in ("parquet", "tfrecord")
    },
    **{
        f"an extra shard of {form}": (
            lambda version, form=form: add_extra(version, form),
            [f"{form}.*00009-of.*: is not in the manifest"],
        )
        for form in ("parquet", "tfrecord")
    },
    **{
        f"a renamed shard of {form}": (
            lambda version, form=form: rename(version, form),
            [f"{form}.*00000-of.*: is missing", f"{form}.*00009-of.*: is not in the manifest"],
        )
        for form in ("parquet", "tfrecord")
    },
    "a shard renamed in the manifest too": (
        rename_in_manifest_too,
        ["manifest.json: names .*train-00009-of-.* where .*train-00000-of-.* should be"],
    ),
    **{
        f"shards of {form} in each other's place": (
            lambda version, form=form: swap(version, form),
            [f"{form}.*00001-of.*: begins with an image that isn't after"],
        )
        for form in ("parquet", "tfrecord")
    },
    "a shard cut short": (
        lambda version: shard(version, "tfrecord").write_bytes(b"short"),
        ["tfrecord.*: has 5 bytes, not ", "tfrecord.*: its SHA-256 is"],
    ),
    "an example twice in Parquet": (
        edit_rows(first_twice),
        ["manifest.json: train has 25 examples, and its tfrecord shards 24", "is there more than"],
    ),
    "an example twice in TFRecord": (
        edit_records(lambda found: [found[0], *found]),
        ["manifest.json: train has 25 examples, and its parquet shards 24", "is there more than"],
    ),
    "an example twice in both formats": (edit_both(first_twice), ["there more than once"] * 2),
    "an example in two splits": (double_in_other_split, ["image .{16} in several splits"]),
    "an example that Parquet lacks": (
        edit_rows(lambda rows: rows.slice(1)),
        ["manifest.json: train has 23", "train: image .{16} in tfrecord alone"],
    ),
    "examples out of order": (
        edit_rows(lambda rows: rows.take([1, 0, *range(2, len(rows))])),
        ["parquet.*: isn't in the order of the hashes of ImageIDs, at 1 place"],
    ),
    "an example of another split": (
        edit_both(replace_value("split", lambda _: "train")),
        ["1 of its examples aren't of test"] * 2,
    ),
    "an ImageID that is none": (
        edit_both(replace_value("image_id", lambda _: "x" * 16)),
        ["1 ImageIDs aren't 16 hex digits"] * 2,
    ),
    "another value in Parquet": (
        edit_rows(replace_value("bboxes", set_label)),
        [r"train: image .{16} in tfrecord isn't as in parquet: bboxes/.*label"],
    ),
    "another picture in Parquet": (
        edit_rows(replace_value("image", lambda image: image | {"bytes": b"none"})),
        ["the picture of .{16} doesn't decode", "in tfrecord isn't as in parquet: image$"],
    ),
    "a picture that doesn't decode": (
        edit_both(replace_value("image", spoil_picture)),
        ["parquet/test.*: the picture of .{16} doesn't decode: truncated"],
    ),
    "a width that isn't the picture's": (
        edit_both(replace_value("width", lambda width: width + 1)),
        ["parquet/test.*: the picture of .{16} is .* x .*, and by its row .* x "],
    ),
    "a column too few": (
        edit_rows(lambda rows: rows.drop_columns("points")),
        ["parquet.*: lacks the column points"],
    ),
    "a column of another type": (
        edit_rows(
            lambda rows: rows.set_column(
                rows.schema.get_field_index("width"), "width", rows["width"].cast("int64")
            )
        ),
        ["parquet.*: the column width is int64"],
    ),
    "a Parquet without what shows pictures": (
        edit_rows(lambda rows: rows.replace_schema_metadata({})),
        ["parquet.*: its columns, or what is said of them"],
    ),
    "a record that is no example": (
        edit_records(lambda found: [b"no example", *found[1:]]),
        ["tfrecord.*: example 0: is no tf.train.Example"],
    ),
    "a record without a feature": (
        edit_records(lambda found: [*found[:-1], found[-1].replace(b"_300k_url", b"_300k_uri")]),
        ["tfrecord.*: example .*: lacks the feature thumbnail_300k_url"],
    ),
    "counts of shards in the manifest": (
        lambda version: change_count(version, split_too=False),
        ["manifest.json: test has 3 examples, and its .* shards 4"] * 2
        + ["has 3 examples, and 4 by the manifest"] * 2,
    ),
    "counts of shards and split in the manifest": (
        lambda version: change_count(version, split_too=True),
        ["has 3 examples, and 4 by the manifest"] * 2,
    ),
    "the manifest of another version": (
        set_in_manifest("version", value="another"),
        ["manifest.json: is that of version another"],
    ),
    "a manifest that is none": (
        lambda version: (version.folder / "manifest.json").write_text("{"),
        ["manifest.json: isn't as a build writes it"],
    ),
    "a manifest without a part": (
        set_in_manifest("splits", "test", value={}),
        ["manifest.json: isn't as a build writes it .*num_examples"],
    ),
    "no manifest": (
        lambda version: (version.folder / "manifest.json").unlink(),
        ["manifest.json: is missing"],
    ),
    "a failure too many": (
        with_failures(a_failure()),
        ["failures: 1 rows of bad_row, and 0 by the manifest"],
    ),
    "failures of another form": (
        with_failures(pa.table({"reason": ["bad_row"]})),
        ["failures/.*: its columns aren't those of failures"],
    ),
    "failures that can't be read": (
        replace_failures(lambda path: path.write_bytes(b"none")),
        ["failures/.*: can't be read: "],
    ),
    "no failures": (
        lambda version: shutil.rmtree(version.folder / "failures"),
        ["failures/failures-00000-of-00001.parquet: is missing"],
    ),
    "an unknown file": (
        lambda version: (version.folder / "notes.txt").write_text(""),
        ["notes.txt: is not in the manifest"],
    ),
    "no classes": (
        lambda version: (version.folder / "classes.json").unlink(),
        ["classes.json: is missing"],
    ),
    "classes out of order": (
        edit_json("classes.json", lambda classes: classes[::-1]),
        ["classes.json: doesn't fit"],
    ),
    "what TFDS reads of another version": (
        edit_json("dataset_info.json", lambda info: info | {"splits": info["splits"][:1]}),
        ["dataset_info.json: doesn't fit the manifest"],
    ),
    "features of another version": (
        edit_json("features.json", lambda found: found | {"pythonClassName": "another"}),
        ["features.json: doesn't fit the manifest"],
    ),
}


def swap_labels(version: Version) -> None:
    """The first two classes trade their labels: no reader can tell."""
    path = version.folder / "classes.json"
    text = path.read_text()
    one, other = (f'"label": "{each["label"]}"' for each in json.loads(text)[:2])
    path.write_text(text.replace(one, "?", 1).replace(other, one, 1).replace("?", other, 1))


def flip_from_end(path: Path, place: int) -> None:
    flip(path, path.stat().st_size - place)


def edit_unsealed(name: str, edit: Callable) -> Callable[[Version], None]:
    def change(version: Version) -> None:
        (path,) = version.folder.rglob(name)
        path.write_text(json.dumps(edit(json.loads(path.read_text()))))

    return change


def replace_in(path: str, old: bytes, new: bytes) -> Callable[[Version], None]:
    def replace(version: Version) -> None:
        file = version.folder / path
        data = file.read_bytes()
        assert old in data
        file.write_bytes(data.replace(old, new, 1))

    return replace


def put_in_place(path: str, make: Callable[[Path], object]) -> Callable[[Version], None]:
    def put(version: Version) -> None:
        (version.folder / path).unlink()
        make(version.folder / path)

    return put


def pin_no_version(version: Version) -> None:
    pins = version.folder.parents[1] / "pins"
    pins.mkdir()
    (pins / "20260101T000000000-0a").write_text("20260101T000000000-0a\n")


#: What only checksums tell, and what lies around a version: how a copy is spoiled, and the line.
SPOILED |= {
    "two labels swapped": (
        swap_labels,
        ["classes.json: .*: its bytes have changed"],
    ),
    "a class list cut": (
        edit_unsealed("classes.json", lambda classes: classes[:10]),
        ["classes.json: has .* bytes, not", "classes.json: .*: its bytes have changed"],
    ),
    "a description of features": (
        edit_unsealed("features.json", lambda found: found),
        ["features.json: has .* bytes, not", "features.json: .*: its bytes have changed"],
    ),
    "sources emptied": (
        set_in_manifest("sources", value=[]),
        ["manifest.json: 0 rows are kept for .* written"] * 7,
    ),
    "the manifest's fingerprint": (
        replace_in("manifest.json", b'"fingerprint": "', b'"fingerprint": "0'),
        ["manifest.json: its SHA-256 isn't the one that it ends with"],
    ),
    "the manifest's own checksum": (
        lambda version: flip_from_end(version.folder / "manifest.json", 10),
        ["manifest.json: its SHA-256 isn't the one that it ends with"],
    ),
    "a shard outside the version": (
        replace_in("manifest.json", b'"path": "parquet/', b'"path": "../../../'),
        ["manifest.json: isn't as a build writes it .in splits.*shards.*path"],
    ),
    "a pipe for the classes": (
        put_in_place("classes.json", os.mkfifo),
        ["classes.json: is a pipe, not a file"],
    ),
    "a link for the manifest": (
        put_in_place("manifest.json", lambda path: path.symlink_to("classes.json")),
        ["manifest.json: can't be read, for it is a link"],
    ),
    "the lineage": (
        lambda version: flip(version.folder / "lineage/parts.parquet", 100),
        ["lineage/parts.parquet: its bytes have changed"],
    ),
    "the card": (
        lambda version: flip(version.folder.parents[1] / "README.md", 30),
        ["README.md: isn't as it was written"],
    ),
    "the card's comment": (
        replace_in("../../README.md", b"Written by", b"Written bx"),
        ["README.md: isn't as it was written: delete it"],
    ),
    "a break of a line": (
        replace_in("../../latest", b"\n", b"\r"),
        ["latest: isn't as a build writes it"],
    ),
    "a pin of no version": (pin_no_version, ["pins/20260101T000000000-0a: there is no such"]),
    "a file among the versions": (
        lambda version: (version.folder.parent / "notes.txt").write_text(""),
        ["versions/notes.txt: isn't a version, for it has no manifest.json"],
    ),
    "a file for the pins": (
        lambda version: (version.folder.parents[1] / "pins").write_text(""),
        ["pins: is a file, not a folder: no version is pinned"],
    ),
    "an empty folder": (
        lambda version: (version.folder / "parquet" / "more").mkdir(),
        ["parquet/more: is an empty folder, not a file"],
    ),
}


@pytest.mark.parametrize("name", SPOILED)
def test_what_is_spoiled_is_found(name: str, copy: Version, run: Callable):
    spoil, expected = SPOILED[name]
    spoil(copy)
    code, lines = run(copy.folder.parents[1], "--sample", "all")
    assert code == 1
    *problems, summary, remedy = lines
    assert len(problems) == len(expected), problems
    for pattern in expected:
        assert any(re.search(pattern, line) for line in problems), (pattern, problems)
    noun = "problem" if len(expected) == 1 else "problems"
    assert summary.startswith(f"{copy.folder.name}: {len(expected)} {noun}; ")
    assert "rollback" in remedy


@pytest.mark.parametrize("form", ["parquet", "tfrecord"])
def test_any_bit_of_any_shard_is_noticed(form: str, copy: Version, run: Callable):
    chosen = random.Random(form)
    for _ in range(12):
        path = chosen.choice(
            [p for name in copy.manifest["splits"] for p in copy.shards(name, form)]
        )
        whole = bytearray(path.read_bytes())
        damaged = whole.copy()
        damaged[chosen.randrange(len(whole))] ^= 1 << chosen.randrange(8)
        path.write_bytes(damaged)
        code, lines = run(copy.folder.parents[1], "--sample", "0")
        short = path.relative_to(copy.folder)
        assert code == 1
        assert [line.split(": its SHA-256")[0] for line in lines[:-2]] == [str(short)]
        path.write_bytes(whole)
    assert run(copy.folder.parents[1], "--sample", "0")[0] == 0


def test_any_bit_of_a_tfrecord_is_noticed_without_its_sha256(copy: Version):
    path = shard(copy, "tfrecord", split="validation")
    whole = path.read_bytes()
    task = ShardTask(
        folder=str(path.parent),
        split="validation",
        shard=ShardFile(path.name, "tfrecord", num_examples=3, bytes=len(whole), sha256=""),
        schema=find_format("tfrecord").schema(Content(example_columns())),
        columns=(),
        compare=False,
        count=True,
        sample=np.empty(0, np.int64),
        options=files.DEFAULTS,
    )
    chosen = random.Random(5)
    for _ in range(40):
        flip(path, chosen.randrange(len(whole)))
        changed = dataclasses.replace(task.shard, sha256=sha256_of(str(path)))
        report = check_shard(task._replace(shard=changed))
        (problem,) = report.problems
        assert re.fullmatch("(wrong CRC of the (length|record)|ends inside the record) .*", problem)
        assert not report.readable
        path.write_bytes(whole)


def test_records_are_read_as_their_rows(published: Build):
    table = published.version.table
    wanted = dict(zip(table["image_id"].to_pylist(), range(len(table)), strict=True))
    columns = example_columns()
    rows, kinds = TableExamples(table, columns), find_format("tfrecord").schema(Content(columns))
    for path in published.version.shards("train", "tfrecord"):
        examples = [*find_format("tfrecord").read(str(path), columns)]
        ids = [each for some in examples for each in some.image_ids.to_pylist()]
        found = [some.features(row) for some in examples for row in range(len(some.image_ids))]
        for image_id, features in zip(ids, found, strict=True):
            assert features == rows.features(wanted[image_id])
        for record in read_records(str(path)):
            features = parse_example(record)
            assert {name: KIND_NAMES[each.kind] for name, each in features.items()} == kinds


@pytest.mark.parametrize("form", FORMATS)
def test_versions_of_one_format(form: str, make_corpus: Callable, tmp_path: Path, run: Callable):
    corpus = make_corpus("v7", IMAGES)
    flags = ["--annotations", corpus / "annotations", "--images", corpus / "images"]
    flags += ["--mask_maps", "instance", "--masks", corpus / "masks", "--splits", "test"]
    built = run_build(*flags, "--output", tmp_path / "out", "--format", form)
    assert built.returncode == 0, built.stderr
    code, (line,) = run(tmp_path / "out")
    assert code == 0, line
    shards = "2 shards" if find_format(form).shared else "1 shard"
    assert f": whole; 3 examples in {shards}" in line
    pictures = 0 if find_format(form).is_partial else 3
    assert f", {pictures} pictures decoded, " in line


def test_annotations_alone(make_corpus: Callable, tmp_path: Path, run: Callable):
    flags = ["--annotations", make_corpus("v7", IMAGES) / "annotations", "--images", "none"]
    assert run_build(*flags, "--output", tmp_path / "out").returncode == 0
    code, (line,) = run(tmp_path / "out")
    assert (code, ", 0 pictures decoded, " in line) == (0, True), line


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["{}/none"], "/none: nothing is published there: name the --output"),
        (["{}", "--version", "none"], "has no version none: see python -m pipelines.versions"),
        (["{}", "--version", "../x"], "has no version ../x"),
        (["{}", "--sample", "some"], "--sample: 'some' is neither a number nor 'all'"),
        (["{}", "--nothing"], "unrecognized arguments: --nothing"),
        ([], "required: OUTPUT"),
    ],
)
def test_wrong_use_is_one_line(published: Build, run: Callable, flags: list[str], expected: str):
    code, (line,) = run(*(flag.format(published.output) for flag in flags))
    assert code == 2
    assert line.startswith("python -m pipelines.verify: error: ")
    assert expected in line


def test_the_program_needs_neither_beam_nor_tensorflow(published: Build):
    script = (
        "import sys; from pipelines import verify; "
        f"code = verify.main([{str(published.output)!r}, '--num_workers', '1']); "
        "sys.exit(code or any(name in sys.modules for name in ('apache_beam', 'tensorflow')))"
    )
    assert subprocess.run([sys.executable, "-c", script], stdout=subprocess.DEVNULL).returncode == 0


def test_checksums_can_be_checked_without_this_project(published: Build):
    folder = published.version.folder
    manifest = published.version.manifest
    own = subprocess.run(
        "head -n -2 manifest.json | sha256sum", shell=True, cwd=folder, capture_output=True
    )
    assert own.stdout.decode().split()[0] == manifest["sha256"]
    shards = [shard for split in manifest["splits"].values() for shard in split["shards"]]
    described = [*shards, *manifest["reuse"], *manifest["files"]]
    sums = "".join(f"{file['sha256']}  {file['path']}\n" for file in described)
    checked = subprocess.run(["sha256sum", "-c"], cwd=folder, input=sums.encode(), check=False)
    assert checked.returncode == 0
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert files == {"manifest.json", *(file["path"] for file in described)}


def as_version_1(manifest: dict) -> None:
    """Takes what the manifest of an earlier release doesn't have, and names the rest as it does."""
    for name in ("manifest_version", "schemas"):
        del manifest[name]
    manifest["basis"] = manifest.pop("settings_fingerprint")
    manifest["lineage"] = manifest.pop("reuse")


def without_checksums(version: Version) -> None:
    """Takes away what still earlier releases didn't write."""
    manifest = json.loads((version.folder / "manifest.json").read_text())
    for name in ("files", "card", "sha256"):
        del manifest[name]
    (version.folder / "croissant.json").unlink()
    (version.folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")


COMMANDS = (["list"], ["show"], ["diff", "VERSION"], ["pin", "VERSION"], ["unpin", "VERSION"])
COMMANDS += (["gc", "--keep", "1"],)


def run_commands(version: Version, capfd: pytest.CaptureFixture[str]) -> None:
    output, name = str(version.folder.parents[1]), version.folder.name
    for command in COMMANDS:
        words = [name if word == "VERSION" else word for word in command]
        assert versions.main([output, *words]) == 0, command
    capfd.readouterr()


def test_a_version_of_an_earlier_release(copy: Version, capfd: pytest.CaptureFixture[str]):
    """It is whole, and what it consists of is checked as this release writes it."""
    spoiling.edit_manifest(copy, as_version_1)
    output = str(copy.folder.parents[1])
    assert verify.main([output, "--num_workers", "1"]) == 0
    said = capfd.readouterr()
    assert (": whole; " in said.out, said.err) == (True, "")
    run_commands(copy, capfd)
    (Path(output) / "latest").unlink()
    assert versions.main([output, "rollback", copy.folder.name]) == 0
    spoiling.rewrite_rows(
        copy, shard(copy, "parquet"), lambda rows: rows.drop_columns("narratives")
    )
    flip(copy.folder / "lineage" / "parts.parquet", 100)
    capfd.readouterr()
    assert verify.main([output, "--num_workers", "1"]) == 1
    lines = capfd.readouterr().out.splitlines()
    assert any("lacks the column narratives" in line for line in lines)
    assert any(line.startswith("lineage/parts.parquet: its bytes") for line in lines)


def test_a_version_without_checksums(copy: Version, capfd: pytest.CaptureFixture[str]):
    """It is whole, with a note; what can be counted is checked."""
    spoiling.edit_manifest(copy, as_version_1)
    without_checksums(copy)
    output = str(copy.folder.parents[1])
    assert verify.main([output, "--num_workers", "1"]) == 0
    said = capfd.readouterr()
    assert ": whole; " in said.out
    assert re.fullmatch(r"note: manifest\.json: is of an earlier release, .*\n", said.err)
    run_commands(copy, capfd)
    shutil.rmtree(copy.folder / "failures")
    assert verify.main([output, "--num_workers", "1"]) == 1
    assert "failures: there is no file of failures" in capfd.readouterr().out


def test_a_version_of_a_later_release(copy: Version, capfd: pytest.CaptureFixture[str]):
    spoiling.edit_manifest(copy, lambda manifest: manifest.update(manifest_version=99))
    assert verify.main([str(copy.folder.parents[1]), "--num_workers", "1"]) == 1
    assert "manifest.json: is of a later release" in capfd.readouterr().out


def test_members_that_are_not_known_are_ignored(copy: Version, run: Callable):
    spoiling.edit_manifest(copy, lambda manifest: manifest.update(more={"of": "a later release"}))
    assert run(copy.folder.parents[1], "--sample", "0")[0] == 0


@pytest.fixture
def older(tmp_path: Path) -> Version:
    """A version by code whose examples had no column `title`, and none of its features."""
    data = Path(__file__).parents[1] / "data"
    shutil.copytree(data / "one_column_fewer", tmp_path / "output")
    shutil.copytree(data / "golden" / "annotations", tmp_path / "annotations")
    return latest_version(tmp_path / "output")


def test_a_version_with_a_column_fewer(older: Version, run: Callable, capfd: pytest.CaptureFixture):
    """It is judged by what it records, and compared by the columns that there are now."""
    output = older.folder.parents[1]
    code, (line,) = run(output)
    assert (code, ": whole; 1 example in 2 shards" in line) == (0, True)
    flags = ["--annotations", output.parent / "annotations", "--images", "none"]
    flags += ["--splits", "validation", "--max_bad_rate", "1"]
    built = run_build(*flags, "--output", output)
    assert built.returncode == 0, built.stderr
    assert built.version.folder != older.folder
    assert run(output)[0] == run(output, "--version", older.folder.name)[0] == 0
    assert versions.main([str(output), "diff", older.folder.name, "--images"]) == 0
    said = capfd.readouterr().out
    assert said.splitlines()[0] == "changed validation 48b09b111bd0d8d9 title"


def test_a_column_fewer_than_recorded(older: Version, run: Callable):
    spoiling.edit_manifest(
        older, lambda manifest: manifest["schemas"]["parquet"].update(title="string")
    )
    code, lines = run(older.folder.parents[1])
    assert (code, len(lines)) == (1, 3)
    assert "parquet/validation-00000-of-00001.parquet: lacks the column title" in lines[0]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda card: card.unlink(), "README.md: is missing"),
        (lambda card: card.write_text("# Our own\n"), "README.md: is somebody's own"),
        (lambda card: (card.unlink(), card.symlink_to("latest")), "README.md: is a link"),
    ],
)
def test_a_card_that_is_none_of_ours_is_told(
    change: Callable, line: str, copy: Version, capfd: pytest.CaptureFixture[str]
):
    output = copy.folder.parents[1]
    change(output / "README.md")
    assert verify.main([str(output), "--num_workers", "1"]) == 0
    assert capfd.readouterr().err.startswith(f"note: {line}")


def test_a_file_beside_the_versions_is_no_problem(copy: Version, capfd: pytest.CaptureFixture[str]):
    output = copy.folder.parents[1]
    (output / ".DS_Store").write_bytes(b"")
    assert verify.main([str(output), "--num_workers", "1"]) == 0
    assert "note: .DS_Store: isn't of this output" in capfd.readouterr().err
    prepare(str(output))  # for a build
