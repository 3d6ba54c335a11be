"""What columns of an example hold, in a line each."""

_OF_COLUMNS = {
    "image_id": "ImageID: 16 hex digits, or their 64 bits as a signed number",
    "open_images_id": "ImageID, 16 hex digits",
    "split": "train, validation or test",
    "image": "the encoded picture",
    "width": "of the picture, in pixels",
    "height": "of the picture, in pixels",
    "original_width": "of the picture at its source, in pixels",
    "original_height": "of the picture at its source, in pixels",
    "rotation": "degrees counter-clockwise by which the picture has yet to be turned",
    "published_rotation": "degrees counter-clockwise, as published",
    "license": "of the picture",
    "author": "of the picture",
    "original_size": "of the picture at Flickr, in bytes",
    "original_md5": "of the picture at Flickr, in base64",
    "image_labels": "classes that are, or are not, in the picture",
    "bboxes": "boxes around objects",
    "person_boxes": "boxes around people, of MIAP",
    "masks": "segmentation masks",
    "relationships": "pairs of boxes, and how they relate",
    "narratives": "descriptions of the picture by voice and mouse",
    "points": "classes that are, or are not, at points",
    "instance_map": "16-bit PNG of mask numbers from 1",
    "semantic_map": "16-bit PNG of class indices from 1",
    "objects": "boxes in pixels, for training object detectors",
    "objects/id": "place of the box in bboxes",
    "objects/bbox": "left, top, width and height, in pixels",
    "objects/area": "in pixels",
    "classes": "the classes in index order; label is a MID",
}
#: Of members of annotations, wherever they occur.
_OF_MEMBERS = {
    "label": "MID of the class, or its number in huggingface/classes.csv",
    "confidence": "0 to 1; of labels by people, 1 is present and 0 is absent",
    **dict.fromkeys(("xmin", "xmax"), "fraction of the picture's width"),
    **dict.fromkeys(("ymin", "ymax"), "fraction of the picture's height"),
    **dict.fromkeys(
        ("is_occluded", "is_truncated", "is_group_of", "is_depiction", "is_inside"),
        "1, 0, or -1 where it isn't known",
    ),
    "size": "height and width of the mask, in pixels",
    "counts": "run lengths of the mask, compressed as COCO does",
    "timed_caption": "words with start and end, in seconds",
    "traces": "the mouse: fractions of width and height, and seconds",
}


def describe(path: str) -> str:
    """Returns what a column holds, or a member by its path; empty where the name says it.

    >>> describe("bboxes/xmin")
    "fraction of the picture's width"
    """
    member = path.rpartition("/")
    return _OF_COLUMNS.get(path) or (_OF_MEMBERS.get(member[2], "") if member[0] else "")
