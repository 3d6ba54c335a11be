"""Published files: the names and headers of the tables of a release.

The names are those of V7, among which are files of V5 and V6 that V7 hasn't replaced, and of V3.
"""

_IMAGES = (
    "ImageID,Subset,OriginalURL,OriginalLandingURL,License,AuthorProfileURL,Author,Title,"
    "OriginalSize,OriginalMD5,Thumbnail300KURL"
)
_BOXES_8 = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax"
_BOXES_13 = _BOXES_8 + ",IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside"
_BOXES_21 = _BOXES_13 + "".join(f",XClick{i}{axis}" for axis in "XY" for i in (1, 2, 3, 4))
#: Headers of boxes: as V3 has them, with flags, and with clicks too. Each begins with the one
#: before.
BOX_HEADERS = (_BOXES_8, _BOXES_13, _BOXES_21)
_LABELS = "ImageID,Source,LabelName,Confidence"

_HEADERS = {
    "images": _IMAGES + ",Rotation",
    "boxes": _BOXES_13,
    "person_boxes": (
        "ImageID,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,"
        "IsDepictionOf,IsInsideOf,GenderPresentation,AgePresentation"
    ),
    "masks": "MaskPath,ImageID,LabelName,BoxID,BoxXMin,BoxXMax,BoxYMin,BoxYMax,PredictedIoU,Clicks",
    "relationships": (
        "ImageID,LabelName1,LabelName2,XMin1,XMax1,YMin1,YMax1,XMin2,XMax2,YMin2,YMax2,"
        "RelationshipLabel"
    ),
    "points": "ImageId,X,Y,Label,EstimatedYesNo,Source,YesVotes,NoVotes,UnsureVotes,TextLabel",
    "human_labels": _LABELS,
    "boxable_labels": _LABELS,
    "machine_labels": _LABELS,
    "narratives": "",
}

#: Names of files by release and table; `short` is `val` for validation.
_FILES = {
    "v7": {
        "images": "{split}-images-with-rotation.csv",
        "boxes": "{split}-annotations-bbox.csv",
        "person_boxes": "open_images_extended_miap_boxes_{short}.csv",
        "masks": "{split}-annotations-object-segmentation.csv",
        "relationships": "oidv6-{split}-annotations-vrd.csv",
        "narratives": "open_images_{split}_localized_narratives.jsonl",
        "points": "oidv7-{short}-annotations-point-labels.csv",
        "human_labels": "oidv7-{short}-annotations-human-imagelabels.csv",
        "boxable_labels": "{split}-annotations-human-imagelabels-boxable.csv",
        "machine_labels": "oidv7-{short}-annotations-machine-imagelabels.csv",
    },
    "v3": {
        "images": "2017_11/{split}/images.csv",
        "boxes": "2017_11/{split}/annotations-human-bbox.csv",
        "human_labels": "2017_11/{split}/annotations-human.csv",
        "machine_labels": "2017_11/{split}/annotations-machine.csv",
    },
}
_V6_BOXES = "oidv6-train-annotations-bbox.csv"

CLASS_NAMES = "oidv7-class-descriptions.csv"
CLASS_NAMES_HEADER = ("LabelName", "DisplayName")
BOXABLE_NAMES = "class-descriptions-boxable.csv"
HIERARCHY = "bbox_labels_600_hierarchy.json"
#: The root of the hierarchy, which no file of names has.
ENTITY = "/m/0bl9f"
POINT_CLASSES = "oidv7-point-classes.csv"
#: A row's further fields are one more text mention each.
POINT_CLASSES_HEADER = ("LabelName", "DisplayName", "YesPoints", "Points", "TextMentions")


def header_of(release: str, table: str, split: str) -> str:
    """Returns the header line without line end; empty for a table without one."""
    if table == "boxes" and split == "train":
        return _BOXES_8 if release == "v3" else _BOXES_21
    return _IMAGES if table == "images" and release == "v3" else _HEADERS[table]


def file_of(release: str, table: str, split: str) -> str:
    """Returns the name of a table's file, relative to the annotations folder.

    Args:
        release: `v7` or `v3`.
        table: such as `boxes` or `human_labels`.
        split: `train`, `validation` or `test`.
    """
    if (release, table, split) == ("v7", "boxes", "train"):
        return _V6_BOXES
    short = "val" if split == "validation" else split
    return _FILES[release][table].format(split=split, short=short)
