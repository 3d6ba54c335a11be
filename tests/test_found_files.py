"""Nothing in a folder that was named is passed over without a word."""

import gzip
import io
import os
import tarfile
import zipfile
import zlib
from pathlib import Path

import pytest

from open_images.building.inputs import find_sources
from tests.builds import run_build
from transforms.dataset.elements import Source
from transforms.errors import UsageError
from transforms.kinds.registry import UNUSED
from transforms.storage.stores import ObjectOptions

IDS = [f"{n:016x}" for n in range(0xA, 0xE)]
IMAGES = "ImageID,Subset\n" + "".join(f"{i},train\n" for i in IDS)
BOX_HEADER = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax\n"
BOXES = BOX_HEADER + "".join(f"{i},xclick,/m/0cmf2,1,0.1,0.5,0.1,0.5\n" for i in IDS)
LABELS = "ImageID,Source,LabelName,Confidence\n" + "".join(
    f"{i},verification,/m/0cmf2,1\n" for i in IDS
)
CLASSES = "/m/0cmf2,Airplane\n/m/01g317,Person\n"

Files = dict[str, str | bytes]


def write(folder: Path, files: Files) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def pack_tar(files: Files, mode: str = "w:gz") -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode=mode) as tar:  # pyrefly: ignore[no-matching-overload]
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return packed.getvalue()


def pack_zip(files: Files, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()


def find(
    *annotations: object, images: tuple = ("none",), masks: tuple = ()
) -> tuple[dict[str, Source], dict[str, str]]:
    """Sources and notices by the name of the file."""
    tables, _, notices = find_sources(
        [str(path) for path in annotations],
        [str(path) for path in images],
        [str(path) for path in masks],
        ObjectOptions(),
    )
    return {source.name: source for source in tables}, dict(notices)


def built(folder: Path, output: Path, *flags: object):
    flags = ("--annotations", folder, "--images", "none", "--format", "parquet", *flags)
    return run_build(*flags, "--output", output)


def boxes_of(build) -> dict[str, int]:
    return {i: len(example["bboxes"] or ()) for i, example in build.version.examples.items()}


#: Ways in which the same tables lie in folders.
FORMS: dict[str, Files] = {
    "capitals": {"train/images.CSV": IMAGES, "train/boxes.Csv": BOXES},
    "gzip in capitals": {"images.CSV.GZ": gzip.compress(IMAGES.encode()), "train.csv": BOXES},
    "tabs": {
        "images.tsv": IMAGES.replace(",", "\t"),
        "boxes.txt": BOXES.replace(",", "\t"),
        "names.tsv": CLASSES.replace(",", "\t"),
    },
    "zips of a table": {
        "images.csv.zip": pack_zip({"images.csv": IMAGES}, zipfile.ZIP_STORED),
        "train-boxes.csv.zip": pack_zip({"train-boxes.csv": BOXES, "__MACOSX/._b.csv": "x"}),
    },
    "tar.gz as V3's": {
        "images_2017_11.tar.gz": pack_tar({"2017_11/train/images.csv": IMAGES}),
        "boxes_2017_11.tar.gz": pack_tar(
            {"2017_11/test/boxes.csv": BOX_HEADER, "2017_11/train/boxes.csv": BOXES}
        ),
        "classes_2017_11.tar.gz": pack_tar({"2017_11/class-descriptions.csv": CLASSES}),
    },
    "a tar, a tgz, with gzip in them": {
        "all.tar": pack_tar({"images.csv.gz": gzip.compress(IMAGES.encode())}, "w:"),
        "boxes.TGZ": pack_tar({"train.tsv": BOXES.replace(",", "\t")}),
    },
    "copies by number": {"images.csv.1": IMAGES, "train-boxes (1).csv": BOXES},
    "copies of gzip by number": {
        "images.csv.gz.2": gzip.compress(IMAGES.encode()),
        "train-boxes.csv (3)": BOXES,
    },
    "no suffix": {"images": IMAGES, "train-boxes": gzip.compress(BOXES.encode())},
}


@pytest.mark.parametrize("form", FORMS)
def test_tables_are_read_in_each_form(form: str, tmp_path: Path):
    build = built(write(tmp_path / "in", FORMS[form]), tmp_path / "out")
    assert (build.returncode, build.stderr) == (0, "")
    assert boxes_of(build) == dict.fromkeys(IDS, 1)
    example = build.version.examples[IDS[0]]["bboxes"][0]
    assert example["label"] == "/m/0cmf2"
    assert round(example["xmax"], 6) == 0.5
    rows = {s["path"]: s["rows"] for s in build.version.manifest["sources"]}
    assert sum(rows.values()) >= 8
    again = built(tmp_path / "in", tmp_path / "out")
    assert (again.returncode, again.version.folder) == (0, build.version.folder)


def test_failures_and_the_account_name_the_member(tmp_path: Path):
    rows = BOXES + f"{IDS[0]},xclick,/m/0cmf2,1,7,8,9,9\n"
    archive = write(tmp_path, {"t.tar.gz": pack_tar({"a/train/b.csv": rows, "i.csv": IMAGES})})
    build = built(archive / "t.tar.gz", tmp_path / "out", "--max_bad_rate", "1")
    assert build.returncode == 0, build.stderr
    name = f"{tmp_path}/t.tar.gz/a/train/b.csv"
    (failure,) = build.version.failures
    assert (failure["source"], failure["line"]) == (name, 6)
    account = {s["path"]: (s["rows"], s["bad_rows"]) for s in build.version.manifest["sources"]}
    assert account[name] == (5, 1)


def test_the_split_is_the_nearest_name(tmp_path: Path):
    members = {"2017_11/val/boxes.csv": BOXES, "boxes.csv": BOXES, "test-b.csv": BOXES}
    write(tmp_path / "f", {"train_2017.tar.gz": pack_tar(members)})
    sources, _ = find(tmp_path / "f")
    assert [source.split for source in sources.values()] == ["validation", "train", "test"]


NOT_USED: Files = {
    "README.md": "read me",
    "README": "read me",
    "notes.txt": "to do: label more",
    "train-image-metas.pkl": "sizes of pictures",
    "info.json": '{\n  "name": "open-images-v6",\n  "zoo_dataset": "fiftyone"\n}\n',
    "coco.json": '{"images": [], "annotations": [{"image_id": 1, "caption": "a cat"}]}',
    "fruit.csv": "apples,pears\n1,2\n",
    "submission.csv": "ImageId,PredictionString\n000000000000000a,/m/01 0.5\n",
    "relations.csv": "at,at\nholds,holds\n",
    "triplets.csv": "LabelName1,LabelName2,RelationshipLabel\n/m/01,/m/02,is\n",
    "coco_val_localized_narratives.jsonl": '{"dataset_id": "mscoco_val2017", "image_id": "1"}\n',
    "pairs.csv": "/m/01,/m/02\n/m/03,/m/04\n",
    "cats.csv": "id,name\n1,cat\n2,dog\n",
    "list.txt": "train/000000000000000a\ntrain/000000000000000b\n",
    "latin.txt": "naïve".encode("latin-1"),
    "train-images.csv.part": IMAGES,
    "a.csv.crdownload": IMAGES,
    "b.csv.aria2": b"\0\1",
    "train.csv.bak": IMAGES,
    "table.xlsx": pack_zip({"xl/workbook.xml": "<x/>"}),
    "other.7z": b"7z",
    "programs.zip": pack_zip({"a.py": "pass", "b.py": "pass"}),
    "nested.tar": pack_tar({"inner.zip": pack_zip({"x.csv": BOXES})}, "w:"),
}


def test_what_is_not_used_is_listed_with_the_reason(tmp_path: Path):
    folder = write(tmp_path / "in", {"images.csv": IMAGES, "train-boxes.csv": BOXES, **NOT_USED})
    sources, notices = find(folder)
    used = [name for name, source in sources.items() if source.kind not in UNUSED]
    assert [Path(path).name for path in used] == ["images.csv", "train-boxes.csv"]
    told = "\n".join(f"{path}: {text}" for path, text in notices.items())
    for name in NOT_USED:
        assert f"{folder}/{name}" in told, told
    assert all("not used" in text for text in notices.values())
    reasons = {
        "info.json": "no annotations of Open Images",
        "train-image-metas.pkl": "sizes of pictures for MMDetection",
        "b.csv.aria2": "didn't end",
        "fruit.csv": "unknown header 'apples,pears'",
        "pairs.csv": "two MIDs",
        "table.xlsx": "save it as CSV",
    }
    for name, reason in reasons.items():
        assert reason in notices[f"{folder}/{name}"]
    assert "inner.zip" in told


def test_pictures_are_summed_up_unless_they_are_in_use(tmp_path: Path):
    pictures: Files = {f"train/data/{i}.jpg": b"\xff\xd8" for i in IDS}
    masks: Files = {f"masks/{i[0]}/{i}_m01_b.png": b"x" for i in IDS}
    zips: Files = {"masks/a.zip": pack_zip({f"{IDS[0]}_m01_b.png": b"x"})}
    folder = write(tmp_path / "in", {"images.csv": IMAGES, **pictures, **masks, **zips})
    hidden = write(folder, {".git/train.csv": "x", "train/.DS_Store": "x", "._images.csv": "x"})
    _, notices = find(hidden)
    assert notices == {
        f"{folder}/train/data": "4 .jpg files not used: pictures go to --images, masks to --masks",
        f"{folder}/masks/0": "4 .png files not used: pictures go to --images, masks to --masks",
        f"{folder}/masks/a.zip/{IDS[0]}_m01_b.png": "not used: pictures go to --images, masks to "
        "--masks",
    }
    _, notices = find(folder, images=(folder / "train/data",), masks=(folder / "masks",))
    assert notices == {}


def test_what_is_of_no_use_in_a_folder_of_pictures_is_listed(tmp_path: Path):
    folder = write(tmp_path / "in", {"images.csv": IMAGES})
    pictures = write(
        tmp_path / "pictures",
        {
            f"{IDS[0]}.jpg": b"",
            f"{IDS[1]}.JPG": b"",
            "x.csv": BOXES,
            "a.tar.part": b"",
            "b.rar": b"",
        },
    )
    _, notices = find(folder, images=(pictures,))
    assert {Path(path).name for path in notices} == {"x.csv", "a.tar.part", "b.rar"}
    _, notices = find(folder, pictures / "x.csv", images=(pictures,))
    assert {Path(path).name for path in notices} == {"a.tar.part", "b.rar"}


#: Files that look like annotations and can't be read, and what the line says.
UNSOUND: dict[str, tuple[Files, list[str]]] = {
    "empty": ({"train.CSV": ""}, ["train.CSV is empty", "download it again"]),
    "UTF-16 with a mark": ({"train.csv": BOXES.encode("utf-16")}, ["is UTF-16", "UTF-8"]),
    "UTF-16 without": ({"train.csv": BOXES.encode("utf-16-le")}, ["is UTF-16", "UTF-8"]),
    "UTF-16 big-endian": ({"train.tsv": BOXES.encode("utf-16-be")}, ["is UTF-16"]),
    "UTF-16 in a zip": ({"t.zip": pack_zip({"t.csv": BOXES.encode("utf-16")})}, ["t.zip/t.csv is"]),
    "semicolons": ({"train.csv": BOXES.replace(",", ";")}, ["';'", "commas"]),
    "semicolons of classes": ({"c.csv": CLASSES.replace(",", ";")}, ["';'", "commas"]),
    "semicolons, and said so": ({"c.csv": "sep=;\n" + CLASSES.replace(",", ";")}, ["';'"]),
    "commas, and said so": ({"train.csv": "\ufeffsep=,\r\n" + BOXES}, ["'sep='", "delete it"]),
    "tabs, and said so": ({"t.csv": "sep=\t\n" + BOXES.replace(",", "\t")}, ["'sep='"]),
    "zero bytes": ({"train.csv": b"\0" * 5000}, ["zero bytes", "download it again"]),
    "zero bytes for a zip": ({"t.zip": b"\0" * 5000}, ["zero bytes", "download it again"]),
    "a pointer of Git LFS": (
        {"train.csv": "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"},
        ["git lfs pull"],
    ),
    "narratives in a list": (
        {"n.json": '[{"image_id": "000000000000000a", "caption": "c"},\n{}]'},
        ["not one a line", "jq"],
    ),
    "a narrative over several lines": (
        {"n.json": '{\n "image_id": "000000000000000a",\n "caption": "c"\n}\n'},
        ["not one a line"],
    ),
    "vertical bars": ({"train.csv": BOXES.replace(",", "|")}, ["'|'", "commas"]),
    "gzip in gzip": (
        {"train.csv.gz": gzip.compress(gzip.compress(BOXES.encode()))},
        ["gzipped more than once", "unpack it"],
    ),
    "gzip in gzip in a zip": (
        {"t.zip": pack_zip({"train.csv.gz": gzip.compress(gzip.compress(BOXES.encode()))})},
        ["t.zip/train.csv.gz is gzipped more than once"],
    ),
    "one path twice in a zip": (
        {"t.zip": pack_zip({"train.csv": BOXES, "./train.csv": BOXES + BOXES[-1:]})},
        ["has two files train.csv", "unpack it"],
    ),
    "one path twice in a tar": (
        {
            "t.tar.gz": pack_tar(
                {"./a/train.csv": BOXES, "a/b/../train.csv": BOXES, "a//train.csv": BOXES}
            )
        },
        ["has two files a/train.csv", "unpack it"],
    ),
    "a tar": ({"train.csv": pack_tar({"a.csv": BOXES}, "w:")}, ["is a tar", ".tar.gz"]),
    "a tar.gz": ({"train.csv.gz": pack_tar({"a.csv": BOXES})}, ["is a tar", ".tar.gz"]),
    "a zip": ({"train.csv": pack_zip({"a.csv": BOXES})}, ["is a zip", ".zip"]),
    "a page": ({"train.csv": "<!DOCTYPE html><html>404"}, ["web page", "download it again"]),
    "an error of a store": ({"train.csv": "<?xml version='1.0'?><Error/>"}, ["web page"]),
    "a page that begins with a comment": (
        {"train.csv": "<!-- saved -->\n<!DOCTYPE html><html>404"},
        ["web page"],
    ),
    "a page for a zip": ({"train.csv.zip": "<html>404"}, ["web page", "download it again"]),
    "an empty tar.gz": ({"v3.tar.gz": b""}, ["is empty"]),
    "a cut zip": ({"t.zip": pack_zip({"t.csv": BOXES})[:-30]}, ["t.zip is cut or damaged"]),
    "a cut gzip": ({"t.csv.gz": gzip.compress(BOXES.encode())[:-20]}, ["is broken gzip"]),
    "no column": ({"train.csv": BOXES.replace(",YMax", "")}, ["lacks YMax"]),
    "no header": ({"train.csv": BOXES.partition("\n")[2]}, ["train.csv"]),
    "bzip2": ({"train.csv.bz2": b"BZh9"}, ["compressed by .bz2", "gzip"]),
    "own ids": ({"train.csv": BOXES.replace("0000000000000", "img_")}, ["'img_00a'", "MD5"]),
    "own numbers": ({"train.csv": BOXES.replace("0000000000000", "7")}, ["'700a'", "MD5"]),
    "numbers of a spreadsheet": (
        {"train.csv": BOX_HEADER + "189590434981486,xclick,/m/01,1,0,1,0,1\n" * 3},
        ["'189590434981486'", "spreadsheet", "as it was published"],
    ),
    "powers of a spreadsheet": (
        {"train.csv": BOX_HEADER + "3.2E+14,xclick,/m/01,1,0,1,0,1\n" * 3},
        ["'3.2E+14'", "spreadsheet"],
    ),
    "own ids of narratives": ({"n.jsonl": '{"image_id": "img_1", "caption": ""}\n'}, ["'img_1'"]),
    "one name twice": (
        {"t.zip": pack_zip({"a.csv": BOXES}), "t.tar": b""},
        ["t.tar is empty"],
    ),
}


@pytest.mark.parametrize("case", UNSOUND)
def test_a_table_that_can_not_be_read_is_an_error(case: str, tmp_path: Path):
    files, wanted = UNSOUND[case]
    folder = write(tmp_path / "in", {"images.csv": IMAGES, **files})
    name = next(iter(files))
    for path in (folder, folder / name):
        if case == "one name twice" and path != folder:
            continue
        with pytest.raises(UsageError) as error:
            find(path)
        (line,) = str(error.value).splitlines()
        assert line.startswith("--annotations")
        assert all(part in line for part in wanted), line


@pytest.mark.parametrize(
    "content", [b"PK\x03", b"train/a.csv" + bytes(89), bytes(range(128, 256)) * 30]
)
def test_an_archive_by_its_name_that_is_none_is_an_error(content: bytes, tmp_path: Path):
    write(tmp_path, {"images.csv": IMAGES, "boxes.zip": content})
    with pytest.raises(UsageError, match=r"boxes\.zip is no archive.* download it again"):
        find(tmp_path)


def test_a_kind_that_is_given_goes_before_what_a_folder_says(tmp_path: Path):
    write(tmp_path, {"train.csv": BOXES, "mine.csv": "code,name\n/m/01,One\n"})
    for arguments in (
        (tmp_path, f"image_labels={tmp_path}/train.csv", f"classes={tmp_path}/mine.csv"),
        (f"classes={tmp_path}/mine.csv", f"image_labels={tmp_path}/train.csv", tmp_path),
    ):
        sources, notices = find(*arguments)
        kinds = {Path(name).name: source.kind for name, source in sources.items()}
        assert kinds == {"train.csv": "image_labels", "mine.csv": "classes"}
        assert not any("not used" in text for text in notices.values())


@pytest.mark.parametrize(
    "name", ["notes.txt", "info.json", "fruit.csv", "programs.zip", "pairs.csv", "latin.txt"]
)
def test_a_file_that_is_named_by_itself_must_be_used(name: str, tmp_path: Path):
    folder = write(tmp_path / "in", {"images.csv": IMAGES, **NOT_USED})
    with pytest.raises(UsageError, match=name):
        find(folder / "images.csv", folder / name)


def test_ids_in_capitals_and_names_of_pictures_are_no_own_ids(tmp_path: Path):
    rows = "ABCDEF0123456789,train\ntrain/000000000000000b.jpg,train\nimg_1,train\n"
    assert len(find(write(tmp_path, {"images.csv": f"ImageID,Subset\n{rows}"}))[0]) == 1


def test_classes_by_content(tmp_path: Path):
    files = {
        "metadata/classes.csv": "Airplane,Airplane\n" + CLASSES,
        "metadata/attributes.csv": "/m/02gy9n,Transparent\n/m/05z87,Plastic\n",
        "metadata/segmentation_classes.csv": "/m/0cmf2\n/m/01g317\n",
    }
    sources, notices = find(write(tmp_path, files))
    assert [source.kind for source in sources.values()] == ["classes", "classes", "class_list"]
    assert notices == {}


def begun_gzip(data: bytes) -> bytes:
    """The beginning of a gzipped file, of which this is unpacked."""
    packer = zlib.compressobj(wbits=31)
    return packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH)


@pytest.mark.parametrize("mode", ["w:gz", "w:"])
@pytest.mark.parametrize("cut", ["in the last table", "between", "in the first", "a flipped byte"])
def test_a_cut_archive_fails_the_build(mode: str, cut: str, tmp_path: Path):
    first = LABELS + "".join(f"{os.urandom(8).hex()},verification,/m/01,1\n" for _ in range(9000))
    members = {"train/labels.csv": first, "train/boxes.csv": first.replace("/m/01", "/m/02")}
    data = pack_tar(members, mode)
    second = 512 + -(-len(first) // 512) * 512
    if cut == "a flipped byte":  # of a checksum, or of the second header
        at = len(data) - 8 if mode == "w:gz" else second + 5
        data = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
    elif cut == "between":
        data = pack_tar(members, "w:")[:second]
        if mode == "w:gz":
            data = begun_gzip(data)
    else:
        at = {"in the last table": 0.85, "in the first": 0.3}[cut]
        size = sum(map(len, members.values())) + 2048 if mode == "w:" else len(data)
        data = data[: int(size * at)]
    folder = write(tmp_path / "in", {"images.csv": IMAGES, "t.tar.gz": data})
    build = built(folder, tmp_path / "out")
    if build.returncode == 2:
        assert "t.tar.gz" in build.stderr
        assert "download it again" in build.stderr
        return
    assert cut.startswith("in the")
    assert "truncated" in build.stdout


@pytest.mark.parametrize("mode", ["w:gz", "w:"])
def test_an_archive_that_is_cut_behind_a_whole_table_is_refused(mode: str, tmp_path: Path):
    members = {"train/labels.csv": LABELS, "train/boxes.csv": BOXES}
    data = pack_tar(members, "w:")[: 512 + len(LABELS) + 1]
    if mode == "w:gz":
        data = begun_gzip(data)
    folder = write(tmp_path / "in", {"images.csv": IMAGES, "t.tar.gz": data})
    build = built(folder, tmp_path / "out")
    assert build.returncode == 2
    assert "download it again" in build.stderr


def test_links_and_names_that_lead_out_of_an_archive_are_never_followed(tmp_path: Path):
    write(tmp_path, {"secret.csv": BOXES, "in/images.csv": IMAGES})
    with tarfile.open(tmp_path / "in/t.tar", "w") as tar:
        for kind, target in ((tarfile.SYMTYPE, "../secret.csv"), (tarfile.LNKTYPE, "a.csv")):
            info = tarfile.TarInfo(f"train-{len(target)}.csv")
            info.type, info.linkname = kind, target
            tar.addfile(info)
        info = tarfile.TarInfo("../../train-up.csv")
        info.size = len(BOXES)
        tar.addfile(info, io.BytesIO(BOXES.encode()))
    link = zipfile.ZipInfo("train.csv")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "in/z.zip", "w") as archive:
        archive.writestr(link, "../secret.csv")
    sources, notices = find(tmp_path / "in")
    assert [Path(path).name for path in sources] == ["images.csv"]
    assert "never followed" in notices[f"{tmp_path}/in/z.zip/train.csv"]
    told = "\n".join(f"{path} {text}" for path, text in notices.items())
    assert "leads out of the archive" in told
    assert told.count("not used: a link or device in an archive") == 3


def test_links_to_folders_and_files_are_followed(tmp_path: Path):
    store = write(tmp_path / "store", {"tables/images.csv": IMAGES, "train-boxes.csv": BOXES})
    folder = tmp_path / "in"
    (folder / "below").mkdir(parents=True)
    (folder / "outside").symlink_to(store / "tables")
    (folder / "below/train.csv").symlink_to("../../store/train-boxes.csv")
    (folder / "below/loop").symlink_to("..")
    (folder / "again").symlink_to("below")
    (folder / "train-gone.csv").symlink_to("nowhere.csv")
    os.mkfifo(folder / "pipe")
    (tmp_path / "root").symlink_to(folder)
    for root in (folder, tmp_path / "root"):
        sources, notices = find(root)
        assert list(sources) == [f"{root}/outside/images.csv", f"{root}/below/train.csv"]
        assert {os.path.relpath(path, root) for path in notices} == {
            *("below/loop", "train-gone.csv", "pipe")
        }
        assert "leads nowhere, to 'nowhere.csv'" in notices[f"{root}/train-gone.csv"]


def test_files_of_the_same_content_are_read_once(tmp_path: Path):
    packed = gzip.compress(BOXES.encode())
    files: Files = {
        "train-boxes.csv": BOXES,
        "train-boxes (1).csv": BOXES,
        "train-other.csv.gz": packed,
        "train-other.zip": pack_zip({"train.csv": BOXES}),
        "train-changed.csv": BOXES.replace("0.5", "0.6"),
        "test-boxes.csv": BOXES,
        "all.tar.gz": pack_tar({"train/boxes.csv": BOXES}),
        "images.csv": IMAGES,
        "classes.csv": CLASSES,
        "b/classes.csv": CLASSES,
    }
    sources, notices = find(write(tmp_path, files))
    assert [str(Path(path).relative_to(tmp_path)) for path in sources] == [
        *("b/classes.csv", "images.csv", "test-boxes.csv", "train-boxes.csv"),
        "train-changed.csv",
    ]
    assert [source.index for source in sources.values()] == list(range(5))
    copies = {str(Path(path).relative_to(tmp_path)) for path in notices}
    assert copies == {
        *("train-boxes (1).csv", "train-other.csv.gz", "train-other.zip/train.csv"),
        *("all.tar.gz/train/boxes.csv", "classes.csv"),
    }
    assert "same content as" in notices[f"{tmp_path}/train-boxes (1).csv"]


def test_a_glob_that_the_shell_expanded_is_explained(tmp_path: Path):
    for flags, wanted in (
        (("--masks", "m/a.zip", "m/b.zip"), "--masks 'm/*.zip'"),
        (("--annotations=a/x.csv", "a/y.csv"), "--annotations 'a/*.csv'"),
        (("--images", "a/x", "b/y.tar"), "quote the glob"),
        (("--format", "parquet", "tfrecord"), "if it belongs to --format, write commas without"),
        (("--only_matching", "yes"), "'yes' belongs to no flag: drop it, or put its flag before"),
        (("--where", "boxes.area", ">", "0"), "put the condition in quotes: --where 'boxes.is_gr"),
    ):
        flags = (*("--annotations", "a", "--images", "none", "--output", tmp_path), *flags)
        build = run_build(*flags)
        assert build.returncode == 2
        (line,) = build.stderr.splitlines()
        assert wanted in line
