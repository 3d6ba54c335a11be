"""The published names of columns, for peers in Python."""

#: Of a box's flags, in the order of `boxes.FLAGS`; MIAP's boxes have two other names.
FLAG_NAMES = ("IsOccluded", "IsTruncated", "IsGroupOf", "IsDepiction", "IsInside")
MIAP_FLAG_NAMES = (*FLAG_NAMES[:3], "IsDepictionOf", "IsInsideOf")

#: Of the texts of an image, by those of an example.
IMAGE_NAMES = {
    "original_url": "OriginalURL",
    "original_landing_url": "OriginalLandingURL",
    "license": "License",
    "author_profile_url": "AuthorProfileURL",
    "author": "Author",
    "title": "Title",
    "thumbnail_300k_url": "Thumbnail300KURL",
    "original_md5": "OriginalMD5",
}
