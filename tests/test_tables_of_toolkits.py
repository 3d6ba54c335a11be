"""Tables of the Challenge and of toolkits, and rows of which a field is bad, through a build."""

import gzip
from pathlib import Path

import pytest

from tests.builds import Version, run_build

IMAGES = (
    "ImageID,Subset,OriginalURL,OriginalLandingURL,License,AuthorProfileURL,Author,Title,"
    "OriginalSize,OriginalMD5,Thumbnail300KURL,Rotation\n"
)
IDS = {name: f"00ab{i:012x}" for i, name in enumerate(("plain", "author", "size", "url", "md5"))}
FILES = {
    "images.csv": IMAGES
    + f"{IDS['plain']},validation,,,,,A. Example,a picture,12345,,,0.0\n"
    + f"{IDS['author']},validation,,,,,Ren\xe9,a picture,12345,,,90.0\n"
    + f"{IDS['size']},validation,,,,,A. Example,a picture,nada,,,0.0\n"
    + f"{IDS['url']},validation,http://x/\xff,,,,A. Example,a picture,12345.5,,,0.0\n"
    + f"{IDS['md5']}.jpg,val,,,,,A. Example,a picture,,,,nan\n",
    # The Challenge's.
    "challenge-2019-validation-detection-bbox.csv": "ImageID,LabelName,XMin,XMax,YMin,YMax,"
    f"IsGroupOf\n{IDS['plain']},/m/01,0.25,0.5,0.25,0.5,1\n",
    "challenge-2019-validation-detection-human-imagelabels.csv": "ImageID,LabelName,Confidence\n"
    f"{IDS['plain']},/m/01,1\n",
    "challenge-2019-classes-description-500.csv": "/m/01,Ball,1\n/m/02,Cat,2\n",
    # Saved by pandas and a toolkit.
    "validation-pandas-bbox.csv": ",ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,"
    "IsOccluded,IsTruncated,ClassName\n"
    f"0,{IDS['author']},xclick,/m/01,1.0,0.1,0.5,0.25,0.5,True,False,Ball\n"
    f"1,{IDS['author']},xclick,/m/02,,0.2,0.5,0.25,0.5,TRUE,,Cat\n",
    "validation-chosen-bbox.csv": "image_id, xmin, xmax, ymin, ymax, label_name,\n"
    f"{IDS['size'].upper()}, 0.25, 0.5, 0.25, 0.5, /m/02,\n"
    f"validation/{IDS['size'].upper()}.JPG, 0.5, 0.75, 0.25, 0.5, /m/02,\n",
    "validation-quoted-labels.csv": '"ImageID","LabelName","Confidence","Source"\n'
    f'"{IDS["url"]}.png","/m/02","0.5","machine"\n',
    # One bad field each.
    "validation-fields-bbox.csv": "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,"
    f"IsInside\n{IDS['url']},xclick,/m/01,inf,0.25,0.5,0.25,0.5,1\n"
    f"{IDS['url']},Ren\xe9,/m/01,1,0.25,0.5,0.25,0.75,7\n",
}


@pytest.fixture(scope="module", params=["plain", "gzip and engine"])
def version(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Version:
    folder = tmp_path_factory.mktemp("annotations")
    flags = []
    for name, text in FILES.items():
        data = text.encode("latin-1")
        if request.param == "plain":
            (folder / name).write_bytes(data)
        else:
            (folder / f"{name}.gz").write_bytes(gzip.compress(data))
            flags = ["--exchange", "engine"]
    output = tmp_path_factory.mktemp("output")
    inputs = ["--annotations", folder, "--images", "none", "--format", "parquet,tfrecord"]
    built = run_build(*inputs, "--output", output, *flags)
    assert (built.returncode, built.stderr) == (0, "")
    return built.version


def test_images_are_kept_without_a_bad_field(version: Version):
    assert version.examples.keys() == set(IDS.values())
    values = {
        name: [version.examples[image_id][column] for column in ("author", "original_size")]
        for name, image_id in IDS.items()
    }
    assert values == {
        "plain": ["A. Example", 12345],
        "author": [None, 12345],
        "size": ["A. Example", None],
        "url": ["A. Example", None],
        "md5": ["A. Example", None],
    }
    assert version.examples[IDS["author"]]["rotation"] == 90
    assert version.examples[IDS["url"]]["original_url"] is None
    assert {example["split"] for example in version.examples.values()} == {"validation"}


def test_each_bad_field_has_its_failure(version: Version):
    found = [
        (Path(row["source"]).name.removesuffix(".gz"), row["line"], row["image_id"], row["detail"])
        for row in version.failures
    ]
    image, box = "null, the image is kept", "null, the row is kept"
    size = "OriginalSize is not a number of its type"
    assert sorted(found) == [
        ("images.csv", 3, IDS["author"], f"Author is not UTF-8: {image}"),
        ("images.csv", 4, IDS["size"], f"{size}: {image}"),
        ("images.csv", 5, IDS["url"], f"{size}: {image}"),
        ("images.csv", 5, IDS["url"], f"OriginalURL is not UTF-8: {image}"),
        ("validation-fields-bbox.csv", 2, IDS["url"], f"Confidence is not a finite number: {box}"),
        ("validation-fields-bbox.csv", 3, IDS["url"], f"IsInside is not -1, 0 or 1: {box}"),
        ("validation-fields-bbox.csv", 3, IDS["url"], f"Source is not UTF-8: {box}"),
    ]
    assert {(row["stage"], row["reason"]) for row in version.failures} == {("read", "bad_row")}
    assert all(not source["bad_rows"] for source in version.manifest["sources"])
    assert all(not source["orphans"] for source in version.manifest["sources"])


def boxes(version: Version, name: str, *columns: str) -> list[list]:
    return [[box[column] for column in columns] for box in version.examples[IDS[name]]["bboxes"]]


def test_what_the_challenge_lacks_is_null(version: Version):
    columns = ("label", "source", "confidence", "xmin", "is_group_of", "is_inside")
    assert boxes(version, "plain", *columns) == [["/m/01", None, None, 0.25, 1, None]]
    labels = version.examples[IDS["plain"]]["image_labels"]
    assert labels == [{"label": "/m/01", "source": None, "confidence": 1.0}]


def test_flags_of_pandas_are_flags(version: Version):
    columns = ("label", "confidence", "is_occluded", "is_truncated")
    assert boxes(version, "author", *columns) == [["/m/01", 1, 1, 0], ["/m/02", None, 1, None]]


def test_ids_in_capitals_and_with_a_suffix_are_the_same(version: Version):
    columns = ("label", "xmin", "is_occluded")
    assert boxes(version, "size", *columns) == [["/m/02", 0.25, None], ["/m/02", 0.5, None]]
    (label,) = version.examples[IDS["url"]]["image_labels"]
    assert label == {"label": "/m/02", "source": "machine", "confidence": 0.5}


def test_boxes_are_kept_without_a_bad_field(version: Version):
    columns = ("source", "confidence", "ymax", "is_inside")
    assert boxes(version, "url", *columns) == [["xclick", None, 0.5, 1], [None, 1, 0.75, None]]


def test_what_spreadsheets_and_cat_leave_among_rows(tmp_path: Path) -> None:
    """Rows of empty fields, and the header of a second file, are no rows."""
    ids = [f"{i:016x}" for i in range(1, 5)]
    header = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax\n"
    rows = [f"{i},xclick,/m/01,1,0.25,0.5,0.25,0.5\n" for i in ids]
    text = header + "".join(rows[:2]) + ",,,,,,,\n" + header + "".join(rows[2:]) + ",,,,,,,\n" * 3
    (tmp_path / "train-boxes.csv").write_text(text)
    (tmp_path / "train-images.csv").write_text(
        "ImageID,Subset\n" + "".join(f"{i},Train\n" for i in ids)
    )
    flags = ("--images", "none", "--format", "parquet", "--output", tmp_path / "output")
    built = run_build("--annotations", tmp_path, *flags)
    assert built.returncode == 0, built.stderr
    source = built.version.source("train-boxes.csv")
    assert (source["rows"], source["kept"], source["bad_rows"]) == (4, 4, 0)
    assert "holds its header more than once" in built.stdout
    assert built.version.failures == []
