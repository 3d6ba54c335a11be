"""Downloads of what a selection needs: annotation files, pictures, and members of mask zips."""

import csv
import hashlib
import io
import itertools
import json
import random
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest

from open_images.building import choosing
from open_images.building.choosing import ChosenImages
from open_images.building.flags import BuildFlags
from open_images.building.one_run import OneRun
from open_images.downloading import catalogue as catalogues
from open_images.downloading import partial_zip, selected
from open_images.progress import Observer
from tests import builds, compare
from tests.conftest import CorpusMaker
from tests.downloading import server as servers
from tests.downloading.conftest import Result, Run
from tests.downloading.server import Server
from tests.recordings import recording
from transforms.sources.members import Address, Member

ANNOTATIONS = {
    "train-images-boxable-with-rotation.csv",
    "oidv6-train-annotations-bbox.csv",
    "train-annotations-object-segmentation.csv",
    "oidv7-class-descriptions.csv",
    "bbox_labels_600_hierarchy.json",
}
SPLIT = ("--splits", "train")
LABEL_TYPES = ("--label_types", "boxes,masks")


@pytest.fixture(scope="module")
def corpus(make_corpus: CorpusMaker) -> Path:
    return make_corpus("v7", 60)


@pytest.fixture(autouse=True)
def small_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has small zips fetched by ranges, where one would do."""
    monkeypatch.setattr(partial_zip, "TAIL_BYTES", 64)
    monkeypatch.setattr(partial_zip, "GAP_BYTES", 0)


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has images chosen in this process, which saves the start of another."""

    def run(
        start: Callable[..., OneRun],
        flags: BuildFlags,
        beam_arguments: Sequence[str],
        observer: Observer,
        **_: object,
    ) -> ChosenImages:
        return start(flags, beam_arguments, observer).run()

    monkeypatch.setattr(choosing, "run_in_process", run)


@pytest.fixture
def server(corpus: Path) -> Iterator[Server]:
    """A server with the corpus, at the published paths; pictures are below `/pictures`."""
    entries = {entry.name: entry for entry in catalogues.read() if "v7" in entry.releases}
    with servers.running() as server:
        for path in (*(corpus / "annotations").iterdir(), *(corpus / "masks").iterdir()):
            if entry := entries.get(path.name):
                server.files[urlsplit(entry.url).path] = path.read_bytes()
        for path in (corpus / "images").rglob("*.jpg"):
            server.files[f"/pictures/{path.parent.name}/{path.name}"] = path.read_bytes()
        yield server


@pytest.fixture
def catalogue(server: Server, tmp_path: Path) -> Path:
    """A catalogue of what the server has."""
    path = tmp_path / "files.tsv"
    lines = ["releases\tkind\tsplit\turl\tbytes\tchecksum"]
    for entry in catalogues.read():
        if (data := server.files.get(urlsplit(entry.url).path)) is not None:
            checksum = f"md5:{hashlib.md5(data).hexdigest()}"
            row = (",".join(entry.releases), entry.kind, entry.split, entry.url, len(data))
            lines.append("\t".join((*map(str, row), checksum)))
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def pictures(server: Server) -> tuple[str, ...]:
    """The flags for pictures of this server."""
    return "--images", server.url + "/pictures/{split}/{image_id}.jpg", "--allow_private_hosts"


@pytest.fixture
def get(
    run: Run, server: Server, pictures: tuple[str, ...], in_this_process: None
) -> Callable[..., Result]:
    """Downloads what flags select."""

    def get(*flags: str, code: int = 0) -> Result:
        result = run(*flags, *(() if "--images" in flags else pictures))
        assert result.code == code, result.err
        return result

    return get


@pytest.fixture(scope="module")
def common(corpus: Path) -> str:
    """The class that most images of the train split have boxes of."""
    with open(corpus / "annotations" / "oidv6-train-annotations-bbox.csv", newline="") as file:
        pairs = {(row["ImageID"], row["LabelName"]) for row in csv.DictReader(file)}
    return Counter(label for _, label in pairs).most_common(1)[0][0]


def names_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def asked(server: Server, part: str) -> list[str]:
    """The paths with some part in them that were asked for."""
    return sorted(path for path in server.requests if part in path)


def build(source: Path, output: Path, *flags: str) -> builds.Build:
    done = builds.run_build(
        *("--annotations", source / "annotations", "--images", source / "images"),
        *("--masks", source / "masks", "--format", "parquet", "--output", output, *flags),
    )
    assert done.returncode == 0, done.stderr
    return done


def masks_of(done: builds.Build) -> int:
    return sum(len(example["masks"] or ()) for example in done.version.examples.values())


def test_just_what_is_needed(
    run: Run,
    server: Server,
    corpus: Path,
    pictures: tuple[str, ...],
    output: Path,
    common: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    """Images are chosen in processes of their own here."""
    monkeypatch.setattr(selected, "SMALL_BYTES", 0)
    flags = ("--classes", common, *LABEL_TYPES, "--max_images", "5", *SPLIT)
    result = run(*flags, *pictures)
    assert result.code == 0, result.err
    assert "5 images chosen (train 5)" in result.out
    there = {path.name for path in output.iterdir()}
    assert there == {"annotations", "images", "masks", "image_ids.txt"}
    assert names_below(output / "annotations") == ANNOTATIONS
    expected = build(corpus, tmp_path / "full", *flags)
    got = build(output, tmp_path / "part", *flags)
    compare.assert_examples_equal(got.version.table, expected.version.table.to_pylist())
    ids = sorted(got.version.examples)
    assert names_below(output / "images") == {f"train/{image_id}.jpg" for image_id in ids}
    assert (output / "image_ids.txt").read_text() == "".join(f"train/{each}\n" for each in ids)
    assert len(names_below(output / "masks")) == masks_of(got) > 0
    assert {name[:22] for name in names_below(output / "masks")} <= {f"train/{i}" for i in ids}
    zips = asked(server, "-masks-")
    assert {path[-5] for path in zips} == {name[6] for name in names_below(output / "masks")}
    assert all(each for path in zips for each in server.ranges(path))


def test_nothing_is_fetched_twice(get: Callable[..., Result], server: Server, output: Path):
    flags = (*LABEL_TYPES, "--sample_fraction", "0.2", *SPLIT)
    first = get(*flags)
    count = sum(map(len, server.requests.values()))
    again = get(*flags)
    assert sum(map(len, server.requests.values())) == count
    assert "0 files downloaded, 5 were there, 0 failed" in again.out
    assert "downloaded in all: 0 B" in again.out
    before = {name: (output / name).read_bytes() for name in names_below(output)}
    gone, cut = sorted((output / "masks").rglob("*.png"))[:2]
    picture = next((output / "images").rglob("*.jpg"))
    gone.unlink()
    cut.write_bytes(cut.read_bytes()[:-9])
    picture.unlink()
    server.requests.clear()
    result = get(*flags)
    assert {name: (output / name).read_bytes() for name in names_below(output)} == before
    assert "2 mask PNGs downloaded" in result.out
    assert "1 picture downloaded" in result.out
    assert "masks that are there, but not whole: 1" in result.err
    assert {path[-5] for path in asked(server, "-masks-")} == {gone.name[0], cut.name[0]}
    assert asked(server, "pictures") == [f"/pictures/train/{picture.name}"]
    assert "image_ids.txt" in first.out
    assert "downloaded in all: 0 B" in get(*flags, "--verify").out


def test_a_server_without_ranges(get: Callable[..., Result], server: Server, output: Path):
    flags = (*LABEL_TYPES, "--sample_fraction", "0.1", *SPLIT, "--images", "none")
    get(*flags)
    masks = {name: (output / "masks" / name).read_bytes() for name in names_below(output / "masks")}
    for name in masks:
        (output / "masks" / name).unlink()
    zips = asked(server, "-masks-")
    for path in zips:
        server.behaviours[path] = [servers.ignore_range] * 2
    result = get(*flags)
    for path in zips:
        name = path.rpartition("/")[2]
        assert f"{name}: its server answers no ranges: the whole zip" in result.err
        assert (output / "masks" / name).read_bytes() == server.files[path]
    assert {name: (output / "masks" / name).read_bytes() for name in masks} == masks


def test_a_zip_that_is_there_is_used(
    get: Callable[..., Result], server: Server, corpus: Path, output: Path
):
    (output / "masks").mkdir(parents=True)
    for path in (corpus / "masks").iterdir():
        (output / "masks" / path.name).write_bytes(path.read_bytes())
    get(*LABEL_TYPES, "--sample_fraction", "0.1", *SPLIT)
    assert list((output / "masks" / "train").iterdir())
    assert asked(server, "-masks-") == []


def rewritten(data: bytes, change: Callable[[str, bytes], bytes | None]) -> bytes:
    """A zip with other members: none where `change` returns None."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as before, zipfile.ZipFile(file, "w") as archive:
        for info in before.infolist():
            if (content := change(info.filename, before.read(info))) is not None:
                archive.writestr(info.filename, content)
    return file.getvalue()


def spoil(data: bytes, name: str) -> bytes:
    """A zip in which the bytes of a member aren't those of its checksum."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        info = archive.getinfo(name)
    middle = info.header_offset + 30 + len(name) + info.compress_size // 2
    return data[:middle] + bytes([data[middle] ^ 255]) + data[middle + 1 :]


def test_masks_that_cannot_be_had(
    get: Callable[..., Result], server: Server, catalogue: Path, output: Path
):
    flags = (*LABEL_TYPES, *SPLIT, "--images", "none", "--sample_fraction", "0.5")
    get(*flags)
    names = sorted(path.name for path in (output / "masks").rglob("*.png"))
    lost = names[0]
    zips = {path[-5]: path for path in asked(server, "-masks-")}
    spoiled = next(name for name in names if name[0] != lost[0])
    absent = next(digit for digit in zips if digit not in (lost[0], spoiled[0]))
    for path in (output / "masks").rglob("*.png"):
        path.unlink()
    # The catalogue knows no size, else each of these would be refused as a whole.
    catalogue.write_text(
        "".join(
            "\t".join([*line.split("\t")[:4], "", "\n"]) if "-masks-" in line else line
            for line in catalogue.read_text().splitlines(keepends=True)
        )
    )
    path = zips[lost[0]]
    server.files[path] = rewritten(
        server.files[path], lambda name, data: None if name == lost else data
    )
    path = zips[spoiled[0]]
    server.files[path] = spoil(server.files[path], spoiled)
    del server.files[zips[absent]]
    result = get(*flags, code=1)
    rows = list(csv.DictReader((output / "mask_failures.csv").open(newline="")))
    found = {row["mask"]: row["reason"] for row in rows}
    assert found.pop(f"train/{lost}") == "missing"
    assert found.pop(f"train/{spoiled}") == "corrupt"
    assert found == {f"train/{name}": "http_status" for name in names if name[0] == absent}
    assert f"1 missing, {len(found) + 1} failed" in result.out
    assert f"train-masks-{absent}.zip: " in result.err
    assert "more than --max_failure_rate 0.01" in result.err
    left = {path.name for path in (output / "masks").rglob("*.png")}
    assert left == set(names) - {lost, spoiled} - {name for name in names if name[0] == absent}


def test_what_breaks_off_goes_on(get: Callable[..., Result], server: Server, output: Path):
    flags = (*LABEL_TYPES, *SPLIT, "--images", "none", "--sample_fraction", "0.1")
    get(*flags)
    masks = {path: path.read_bytes() for path in (output / "masks").rglob("*.png")}
    for path in masks:
        path.unlink()
    zips = asked(server, "-masks-")
    for path in zips:
        server.behaviours[path] = [drop_range(100), servers.fail(503, Retry_After="0")]
    get(*flags)
    assert {path: path.read_bytes() for path in masks} == masks


def test_a_zip_that_changes_is_not_patched_together(
    get: Callable[..., Result], server: Server, output: Path
):
    flags = (*LABEL_TYPES, *SPLIT, "--images", "none", "--sample_fraction", "0.1")
    for path in server.files:
        if "train-masks-" in path:
            server.behaviours[path] = [servers.serve, servers.send(server.files[path])]
    result = get(*flags, code=1)
    assert "has changed: run the same command again" in result.err
    assert "0 mask PNGs downloaded" in result.out
    get(*flags)


def test_spans_hold_their_members():
    rng = random.Random(5)
    for _ in range(50):
        offsets = np.array(sorted(rng.sample(range(10**6), 200)))
        end = int(offsets[-1]) + 500
        stops = dict(zip(offsets.tolist(), [*offsets[1:].tolist(), end], strict=True))
        wanted = rng.sample(sorted(stops), 40)
        members = [Member(str(at), Address("", at, stops[at] - at - 40, 0, 0)) for at in wanted]
        spans = partial_zip.plan_spans(members, offsets, end)
        assert sorted(m.address.offset for span in spans for m in span.members) == sorted(wanted)
        for span in spans:
            for member in span.members:
                at = member.address.offset
                assert span.start <= at < stops[at] <= span.stop
        for one, following in itertools.pairwise(spans):
            assert one.stop <= following.start
        # No gap is small enough to be fetched, too.
        assert sum(stop - at for at, stop in stops.items() if at in wanted) == sum(
            span.stop - span.start for span in spans
        )


def drop_range(after: int) -> servers.Behaviour:
    """Ends the connection after so many bytes of a range."""

    def behave(handler: servers.Handler, content: bytes) -> None:
        size = len(content)
        headers = {
            "Content-Length": str(size),
            "Content-Range": f"bytes 0-{size - 1}/{size}",
            "ETag": servers.etag(content),
        }
        handler.answer(206, content[:after], headers)
        handler.close_connection = True

    return behave


def test_a_zip_of_another_size_is_refused(get: Callable[..., Result], server: Server, output: Path):
    flags = (*LABEL_TYPES, *SPLIT, "--images", "none", "--sample_fraction", "0.1")
    zips = [path for path in server.files if "train-masks-" in path]
    for path in zips:
        server.files[path] = b"x" + server.files[path]
    result = get(*flags, code=1)
    assert "bytes, not the" in result.err
    assert not list((output / "masks").rglob("*.png"))


MISTAKES = {
    "an unknown class": (("--classes", "Helicoptre"), "the nearest are Helicopter"),
    "a condition on what isn't there": (("--where", "boxes.shape = 1"), "boxes have no shape"),
    "a list of images as well": (
        ("--classes", "Person", "--image_list", "ids.txt"),
        "--image_list: not together with a selection: give the list by --image_ids",
    ),
    "a split without annotations": (
        ("--max_images", "1", "--splits", "challenge2018"),
        "--splits challenge2018: a selection is made of annotations",
    ),
    "a label type that the release lacks": (
        ("--label_types", "points", "--release", "v5"),
        "v5 has no points of train, validation, test: choose another --release, or leave it out",
    ),
    "no place of pictures": (
        ("--max_images", "1", "--images", "/none.tar"),
        "--images /none.tar: no such file or folder",
    ),
    "flags that go together": (("--only_matching",), "--only_matching needs --classes"),
}


@pytest.mark.parametrize(("flags", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_come_before_large_files(
    get: Callable[..., Result], server: Server, flags: tuple[str, ...], message: str
):
    result = get(*flags, code=2)
    assert message in result.err
    assert result.err.count("\n") == 1
    assert result.out == ""
    assert not asked(server, ".jpg")
    assert not asked(server, "bbox.csv")


def test_an_empty_selection_says_what_emptied_it(get: Callable[..., Result], server: Server):
    result = get(*SPLIT, *LABEL_TYPES, "--where_images", "images.license = none", code=1)
    last = result.err.splitlines()[-1]
    assert "no images are chosen: none is left by --where_images" in last
    assert not asked(server, ".jpg")


def test_files_are_listed(run: Run, server: Server, output: Path):
    result = run(*LABEL_TYPES, *SPLIT, "--list")
    assert result.code == 0
    listed = {line.split()[0] for line in result.out.splitlines()[1:-2]}
    assert listed == {f"annotations/{name}" for name in ANNOTATIONS}
    assert "and mask PNGs and pictures of the images that these files choose" in result.out
    assert not server.requests
    assert not output.exists()


def test_label_types_that_decide_are_downloaded(run: Run, output: Path):
    """Others that were named, too; those of machines are a file of their own."""
    flags = ("--label_types", "boxes", "--match_in", "machine_labels,person_boxes", *SPLIT)
    out = run(*flags, "--classes", "Person", "--kinds", "points", "--list").out
    tables = {
        line.split()[0].split("/")[1] for line in out.splitlines() if "oid" in line.split()[0]
    }
    assert tables >= {
        "oidv6-train-annotations-bbox.csv",
        "oidv7-train-annotations-machine-imagelabels.csv",
        "oidv7-train-annotations-point-labels.csv",
    }
    assert "oidv7-train-annotations-human-imagelabels.csv" not in out
    assert "miap" in out
    flags = ("--where", "person_boxes.is_group_of != 1", "--max_images", "1", *SPLIT)
    assert "miap" in run(*flags, "--list").out


def test_originals_by_the_tables_that_were_downloaded(
    get: Callable[..., Result], server: Server, catalogue: Path, output: Path
):
    path = next(path for path in server.files if path.endswith("boxable-with-rotation.csv"))
    rows = list(csv.DictReader(io.StringIO(server.files[path].decode())))
    text = io.StringIO()
    table = csv.DictWriter(text, rows[0])
    table.writeheader()
    for row in rows:
        url = f"{server.url}/pictures/train/{row['ImageID']}.jpg"
        table.writerow(row | {"OriginalURL": url, "OriginalSize": "", "OriginalMD5": ""})
    before, server.files[path] = server.files[path], text.getvalue().encode()
    fields = f"{len(before)}\tmd5:{hashlib.md5(before).hexdigest()}"
    catalogue.write_text(catalogue.read_text().replace(fields, "\t"))
    flags = ("--label_types", "boxes", *SPLIT, "--max_images", "3", "--allow_private_hosts")
    result = get(*flags, "--images", "original")
    assert "train-images-boxable-with-rotation.csv: knows 3 of the pictures" in result.err
    assert "3 pictures downloaded, 0 were there, 0 missing, 0 failed" in result.out
    assert asked(server, ".jpg") == [
        f"/pictures/{n}" for n in sorted(names_below(output / "images"))
    ]


def test_a_selection_file(get: Callable[..., Result], output: Path, tmp_path: Path):
    """Its splits count, too."""
    path = tmp_path / "selection.toml"
    path.write_text('label_types = ["boxes"]\nsplits = ["test"]\nmax_images = 9\n')
    result = get("--selection", str(path), "--max_images", "2")
    assert "2 images chosen (test 2)" in result.out
    assert len(names_below(output / "images" / "test")) == 2


def test_recordings_of_the_chosen_images(
    get: Callable[..., Result], server: Server, corpus: Path, output: Path
):
    files = (corpus / "annotations").glob("*train*localized_narratives*.jsonl")
    lines = [json.loads(line) for path in files for line in path.read_text().splitlines()]
    for number, line in enumerate(lines):
        path = f"/localized-narratives/voice-recordings/{line['voice_recording']}"
        server.files[path] = recording(1.0, number)
    flags = ("--label_types", "narratives", "--sample_fraction", "0.5", "--kinds", "voices")
    result = get(*flags, *SPLIT, "--images", "none", "--allow_private_hosts")
    chosen = {line.rpartition("/")[2] for line in (output / "image_ids.txt").read_text().split()}
    wanted = {line["voice_recording"] for line in lines if line["image_id"] in chosen}
    assert names_below(output / "voices") == wanted
    assert 0 < len(wanted) < len(lines)
    assert f"{len(wanted)} recordings downloaded" in result.out
    assert len(asked(server, "/voice-recordings/")) == len(wanted)
    assert ", recordings " in result.out
