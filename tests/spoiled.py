"""A corpus with one of everything that goes wrong in files of annotations, pictures and masks."""

import csv
import io
import json
import shutil
import zipfile
from pathlib import Path

from PIL import Image

ORPHAN, ORPHAN_IN_TEST = "00000000000000aa", "00000000000000ab"
BOXES = "oidv6-train-annotations-bbox.csv"
IMAGES = "train-images-boxable-with-rotation.csv"
MASKS = "train-annotations-object-segmentation.csv"
NARRATIVES = "open_images_train_v6_localized_narratives-00000-of-00010.jsonl"
POINTS = "oidv7-train-annotations-point-labels.csv"
LABELS = "oidv7-train-annotations-human-imagelabels.csv"

BAD_BOXES = (
    {"XMin": "0.9", "XMax": "0.1"},
    {"YMax": "1.5"},
    {"YMin": "nan"},
    {"XMax": ""},
    {"XMin": "left"},
    {"Confidence": ""},
    {"IsOccluded": "2"},
    {"IsInside": "0.5"},
    {"ImageID": "g" * 16},
    {"ImageID": "123"},
    {"ImageID": ""},
)
GOOD_BOXES = (
    {"IsOccluded": "1.0", "IsInside": "-1", "IsTruncated": "True", "IsGroupOf": ""},
    {"XMin": "0", "XMax": "1e-1", "YMin": "1.0", "YMax": "1"},
    {"Confidence": "0.7", "XClick1X": "-1.0"},
    {"LabelName": "/m/0unknown1"},
)
BAD_POINTS = ({"X": "1.01"}, {"Y": "inf"}, {"YesVotes": "-1"}, {"NoVotes": "some"})
BAD_MASKS = (
    {"MaskPath": "../../secret.png"},
    {"MaskPath": "a\\b.png"},
    {"BoxXMin": "0.9", "BoxXMax": "0.1"},
    {"Clicks": "0.1 0.2"},
    {"PredictedIoU": "high"},
)
BAD_NARRATIVES = ("{", "[]", "7", '{"caption": "of no image"}', '{"image_id": 7}')


def spoil(corpus: Path, target: Path) -> None:
    """Copies a V7 corpus whose pictures are in a folder, and spoils the copy here and there."""
    shutil.copytree(corpus, target)
    folder = target / "annotations"
    ids = [row["ImageID"] for row in _rows(folder / IMAGES)]
    _spoil_images(folder / IMAGES, target / "images" / "train", ids)

    add_rows(folder / BOXES, *GOOD_BOXES, *BAD_BOXES, {"ImageID": ORPHAN}, {"ImageID": ORPHAN})
    add_text(folder / BOXES, f"{ids[0]},xclick,/m/01g317\n\n{ids[0]}{',1' * 40}\n")
    add_rows(folder / "test-annotations-bbox.csv", {"ImageID": ORPHAN_IN_TEST}, *BAD_BOXES[:3])
    add_rows(folder / "open_images_extended_miap_boxes_train.csv", {"XMin": "2"}, *GOOD_BOXES[:1])
    add_rows(folder / "oidv6-train-annotations-vrd.csv", {"YMin2": "-1"}, {"ImageID": ORPHAN})
    add_rows(folder / LABELS, {"Confidence": "inf"}, {"LabelName": "/m/0unknown2"}, {"Source": ""})
    add_rows(
        folder / POINTS, *BAD_POINTS, {"TextLabel": 'a "text", with comma'}, {"YesVotes": "3.0"}
    )
    _spoil_narratives(folder / NARRATIVES)
    _spoil_masks(folder / MASKS, target / "masks")

    _rewrite(folder / "validation-annotations-bbox.csv", lambda data: data.replace(b"\n", b"\r\n"))
    _rewrite(folder / "oidv6-test-annotations-vrd.csv", lambda data: b"\xef\xbb\xbf" + data)
    _rewrite(folder / "test-images-with-rotation.csv", lambda data: data.rstrip(b"\n"))


def add_rows(path: Path, *changes: dict[str, str]) -> None:
    """Appends rows: copies of the file's first row with other values in some columns."""
    header, first = list(_rows(path).fieldnames), next(_rows(path))
    text = io.StringIO()
    writer = csv.DictWriter(text, header, lineterminator="\n", extrasaction="ignore")
    writer.writerows(first | change for change in changes)
    add_text(path, text.getvalue())


def add_text(path: Path, text: str) -> None:
    """Appends to a file, of which every line is ended."""
    with open(path, "a", newline="") as file:
        file.write(text)


def _rows(path: Path) -> csv.DictReader:
    return csv.DictReader(io.StringIO(path.read_text(), newline=""))


def _rewrite(path: Path, change) -> None:
    path.write_bytes(change(path.read_bytes()))


def _spoil_images(table: Path, pictures: Path, ids: list[str]) -> None:
    """Broken pictures and rows; each of them concerns another image."""
    whole = (pictures / f"{ids[0]}.jpg").read_bytes()
    (pictures / f"{ids[1]}.jpg").write_bytes(b"")
    (pictures / f"{ids[2]}.jpg").write_bytes(b"<html>404 Not Found</html>")
    (pictures / f"{ids[3]}.jpg").write_bytes(whole[: len(whole) // 2])
    (pictures / f"{ids[4]}.jpg").unlink()
    Image.new("RGB", (8, 8)).save(pictures / f"{ids[5]}.jpg", "GIF")
    Image.new("RGB", (31, 17), "red").save(pictures / f"{ids[6]}.jpg", "PNG")
    add_rows(
        table,
        {},
        {"ImageID": ids[7], "Title": "another title"},
        {"ImageID": "f" * 15 + "0", "Rotation": "45.0"},
        {"ImageID": "f" * 15 + "1", "Title": 'Two "lines",\nof text', "Author": "  Ünïcode, 東京 "},
        {"ImageID": "f" * 15 + "2", "OriginalSize": "", "Title": "", "Rotation": "nan"},
        {"ImageID": "f" * 15 + "3", "Subset": "holdout"},
        {"ImageID": "f" * 15 + "4", "OriginalSize": "big"},
        {"ImageID": "not an image id"},
    )
    for digit in range(5):
        (pictures / f"{'f' * 15}{digit}.jpg").write_bytes(whole)


def _spoil_narratives(path: Path) -> None:
    first = json.loads(path.read_text().partition("\n")[0])
    bare = {key: first[key] for key in ("dataset_id", "image_id", "annotator_id", "caption")}
    others = [
        bare,
        bare | {"image_id": ORPHAN},
        first | {"traces": [], "timed_caption": []},
        first | {"traces": [[], [{"x": -0.1, "y": 1.2, "t": 0}], []]},
    ]
    lines = [*map(json.dumps, others), "", *BAD_NARRATIVES]
    add_text(path, "\n".join(lines) + "\n")


def _spoil_masks(table: Path, masks: Path) -> None:
    """Masks whose PNG is missing, torn or no PNG, and one beside the archives."""
    image_id = next(_rows(table))["ImageID"]
    sound = io.BytesIO()
    Image.new("1", (16, 16), 1).save(sound, "PNG")
    with zipfile.ZipFile(masks / "more-masks.zip", "w") as archive:
        archive.writestr(f"{image_id}_m01_torn.png", sound.getvalue()[:45])
        archive.writestr(f"{image_id}_m01_text.png", b"not a picture")
        archive.writestr(f"{image_id}_m01_empty.png", b"")
    (masks / f"{image_id}_m01_beside.png").write_bytes(sound.getvalue())
    names = ("nowhere", "torn", "text", "empty", "beside")
    add_rows(
        table,
        *({"MaskPath": f"{image_id}_m01_{name}.png"} for name in names),
        *BAD_MASKS,
        {"MaskPath": f"{image_id}_m01_beside.png", "PredictedIoU": "", "Clicks": ""},
        {"ImageID": ORPHAN},
    )
