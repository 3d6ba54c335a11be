"""What a file is, told from its header or content; what is none is refused in one line."""

import gzip
from pathlib import Path

import pytest

from transforms.kinds.parsing.head import SourceError
from transforms.kinds.reading.detect import detect, split_of

PUBLISHED = Path(__file__).parent.parent / "data" / "published_heads"
BOX = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax"
ROW = "000000000000000a,xclick,/m/01,1,0,1,0,1\n"


def write(folder: Path, content: str | bytes, name: str = "train.csv") -> str:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("oidv6-attributes-description.csv", "classes"),
        ("oidv6-class-descriptions-boxable.csv", "classes"),
        ("oidv6-relationship-triplets.csv", "relationship_triplets"),
        ("oidv6-relationships-description.csv", "relationship_names"),
        ("oidv6-train-annotations-bbox.csv", "boxes"),
        ("train-annotations-human-imagelabels-boxable.csv", "image_labels"),
        ("train-annotations-object-segmentation.csv", "masks"),
        ("train-images-boxable-with-rotation.csv", "images"),
        ("v3/v3_1_images.csv", "images"),
        ("v3/v3_2_labels_machine.csv", "image_labels"),
        ("v3/v3_4_boxes_activemil.csv", "boxes"),
        ("v3/v3_6_classes.csv", "classes"),
        ("v3/v3_8_trainable.csv", "class_list"),
    ],
)
def test_published_files(name: str, kind: str):
    assert detect(str(PUBLISHED / name)).kind == kind


HEADERS = {
    "person_boxes": "ImageID,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,"
    "IsGroupOf,IsDepictionOf,IsInsideOf,GenderPresentation,AgePresentation",
    "points": "ImageId,X,Y,Label,EstimatedYesNo,Source,YesVotes,NoVotes,UnsureVotes,TextLabel",
    "relationships": "ImageID,LabelName1,LabelName2,XMin1,XMax1,YMin1,YMax1,XMin2,XMax2,YMin2,"
    "YMax2,RelationLabel",
    "image_labels": "ImageID,Source,LabelName,Condidence",
    "classes": "LabelName,DisplayName ",
    "point_classes": "LabelName,DisplayName,YesPoints,Points,TextMentions,...",
    "class_list": "/m/01",
    "hierarchy": '{"LabelName": "/m/0bl9f", "Subcategory": []}',
    "narratives": '{"dataset_id": "x", "image_id": "000000000000000a"}',
}


MIAP_CHOSEN = "ImageID,LabelName,XMin,XMax,YMin,YMax,AgePresentation"


@pytest.mark.parametrize(
    "prefix", [b"", b"\xef\xbb\xbf", b"\r\n\n"], ids=["", "BOM", "blank lines"]
)
@pytest.mark.parametrize(("kind", "header"), HEADERS.items(), ids=HEADERS)
def test_headers(tmp_path: Path, kind: str, header: str, prefix: bytes):
    for ending in ("", "\n", "\r\n"):
        assert detect(write(tmp_path, prefix + (header + ending).encode())).kind == kind


def test_columns_in_any_order_with_spaces_around(tmp_path: Path):
    header = " , ".join(reversed(BOX.split(",")))
    row = ",".join(reversed(ROW.strip().split(",")))
    source = detect(write(tmp_path, f"{header}\r\n{row}\n"))
    assert source.columns == tuple(reversed(BOX.split(",")))


@pytest.mark.parametrize(
    ("head", "lines"), [(f"{BOX}\n", 1), (f"\n\r\n{BOX}\r\n", 3), (f"\ufeff{BOX}\n", 1), (BOX, 0)]
)
def test_rows_start_after_the_header(tmp_path: Path, head: str, lines: int):
    for pack in (bytes, gzip.compress):
        data = pack(head.encode() + (ROW.encode() if lines else b""))
        source = detect(write(tmp_path, data))
        assert (source.data_start, source.header_lines) == (len(head.encode()), lines)
        assert source.size == len(data)
        assert source.compressed == (pack is gzip.compress)


ACCEPTED = {
    "the Challenge's boxes": ("boxes", "ImageID,LabelName,XMin,XMax,YMin,YMax,IsGroupOf", ""),
    "the Challenge's labels": ("image_labels", "ImageID,LabelName,Confidence", ""),
    "the Challenge's classes": ("classes", "/m/01,Ball,1", "columns after the second are ignored"),
    "chosen columns": ("boxes", "ImageID,LabelName,XMin,XMax,YMin,YMax", ""),
    "chosen columns of MIAP": ("person_boxes", MIAP_CHOSEN, ""),
    "chosen columns of points": ("points", "ImageId,X,Y,Label,EstimatedYesNo", ""),
    "chosen columns of masks": ("masks", "MaskPath,ImageID,LabelName", ""),
    "chosen columns of images": ("images", "ImageID,Subset", ""),
    "a toolkit's columns": ("boxes", BOX + ",id,ClassName", "id, ClassName"),
    "a toolkit's column twice": ("boxes", BOX + ",id,id", "id, id"),
    "labels with a name": ("image_labels", HEADERS["image_labels"] + ",DisplayName", "DisplayName"),
    "an index": ("boxes", "," + BOX, "(no name)"),
    "an index that was saved twice": (
        "boxes",
        f"Unnamed: 0.1,Unnamed: 0,{BOX}",
        "Unnamed: 0.1, Unnamed: 0",
    ),
    "a comma at the end": ("boxes", BOX + ",", "(no name)"),
    "small letters": ("boxes", BOX.lower(), ""),
    "names of snakes": ("boxes", "image_id,label_name,x_min,x_max,y_min,y_max", ""),
    "quotes": ("boxes", ", ".join(f'"{name}"' for name in BOX.split(",")), ""),
    "boxes with ImageId": ("boxes", BOX.replace("ImageID", "ImageId"), ""),
    "classes with an index": ("classes", ",LabelName,DisplayName", "(no name)"),
    "classes with a count": ("classes", "LabelName,DisplayName,Count", "Count"),
    "a class list with a header": ("class_list", "LabelName", ""),
}


@pytest.mark.parametrize(("kind", "header", "ignored"), ACCEPTED.values(), ids=ACCEPTED)
def test_headers_of_the_challenge_and_of_toolkits(
    tmp_path: Path, kind: str, header: str, ignored: str
):
    for ending in ("", "\n", "\r\n"):
        source = detect(write(tmp_path, header + ending))
        assert source.kind == kind
        assert len(source.notes) == (1 if ignored else 0)
        assert all(ignored in note and "ignored" in note for note in source.notes)


def test_columns_go_by_the_names_of_the_release(tmp_path: Path):
    source = detect(write(tmp_path, "id,imageid,LABELNAME,x_min,XMax,YMin,YMax\n"))
    assert source.columns == ("", "ImageID", "LabelName", "XMin", "XMax", "YMin", "YMax")


REFUSED = {
    "no byte in it": ("", "is empty"),
    "blank lines alone": ("\n\r\n \n", "is empty"),
    "a byte order mark alone": (b"\xef\xbb\xbf", "is empty"),
    "and blank lines": (b"\xef\xbb\xbf\r\n\n", "is empty"),
    "half a byte order mark": (b"\xef\xbb", "is empty"),
    "a third of one": (b"\xef", "is empty"),
    "a gzipped byte order mark": (gzip.compress(b"\xef\xbb\xbf"), "is empty"),
    "a first line without end": ("ImageID," + "x" * (1 << 20), "first line is longer than 1 MiB"),
    "a first line of quotes": ("ImageID" + '"' * (2 << 20) + "\n", "first line is longer"),
    "brackets": ("[" * (1 << 20), "neither a class hierarchy nor lines"),
    "braces": ('{"a":' * 100_000, "neither a class hierarchy nor lines"),
    "an unknown header": ("apples,pears\n1,2\n", "unknown header 'apples,pears'"),
    "a column missing": (BOX.replace(",YMax", "") + "\n", "header of boxes lacks YMax"),
    "two columns missing": (
        "ImageID,Source,Confidence,XMin,YMin,YMax\n",
        "header of boxes lacks LabelName, XMax: save it with these columns",
    ),
    "labels without what they say": (
        "ImageID,Source,LabelName\n",
        "header of image_labels lacks Confidence",
    ),
    "images without a split": ("ImageID,OriginalURL,Rotation\n", "header of images lacks Subset"),
    "masks without their files": (
        "ImageID,LabelName,BoxID,BoxXMin,BoxXMax,BoxYMin,BoxYMax,PredictedIoU\n",
        "header of masks lacks MaskPath",
    ),
    "a column misspelt": (
        BOX.replace("XMin", "XMinimum") + "\n",
        "header of boxes lacks XMin and has unknown XMinimum",
    ),
    "no header": (ROW, "has no header: put its columns' names into the first line"),
    "a column twice in two cases": (
        "ImageID,LabelName,XMin,xmax,YMin,YMax,XMAX\n",
        "names a column twice",
    ),
    "a column twice": (f"{BOX},XMin\n", "names a column twice"),
    "a column twice by another name": (
        "ImageID,Source,LabelName,Confidence,Condidence\n",
        "names a column twice",
    ),
    "UTF-16": (f"{BOX}\n".encode("utf-16"), "is UTF-16"),
    "a picture": (b"\xff\xd8\xff\xe0\0\x10JFIF", "is not UTF-8 text"),
    "bare carriage returns": (f"{BOX}\r{ROW}".replace("\n", "\r"), "carriage return"),
    "broken gzip": (gzip.compress(BOX.encode())[:20], "is broken gzip"),
    "gzip of nothing": (gzip.compress(b""), "is empty"),
    "JSON of another kind": ('{"info": {}, "annotations": []}', "neither a class hierarchy nor"),
    "a JSON array": ("[1, 2]", "neither a class hierarchy nor"),
    "commas alone": (",,,\n", "unknown header ',,,'"),
}


@pytest.mark.parametrize(("content", "message"), REFUSED.values(), ids=REFUSED)
def test_refused(tmp_path: Path, content: str | bytes, message: str):
    path = write(tmp_path, content)
    with pytest.raises(SourceError) as error:
        detect(path)
    assert path in str(error.value)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert "mend" not in str(error.value)


def test_the_kind_that_the_user_names_is_held_to_its_columns(tmp_path: Path):
    path = write(tmp_path, f"{BOX}\n{ROW}")
    assert detect(path, "boxes").kind == "boxes"
    with pytest.raises(SourceError, match="header of masks lacks MaskPath"):
        detect(path, "masks")


@pytest.mark.parametrize(
    ("path", "split"),
    [
        ("a/oidv6-train-annotations-bbox.csv", "train"),
        ("oidv7-val-annotations-point-labels.csv", "validation"),
        ("validation-annotations-bbox.csv", "validation"),
        ("x/test/boxes.csv", "test"),
        ("test/train/boxes.csv", "train"),
        ("test/train-boxes.csv", "train"),
        ("train0.csv", "train"),
        ("trainable.csv", None),
        ("contest/latest.csv", None),
        ("boxes.csv", None),
    ],
)
def test_split_of_a_path(path: str, split: str | None):
    assert split_of(path) == split


def test_json_that_is_said_to_be_a_table_is_refused(tmp_path: Path):
    with pytest.raises(SourceError, match="is JSON, and boxes are a table: give it without KIND="):
        detect(write(tmp_path, '{"LabelName": "/m/0bl9f"}'), "boxes")
