"""The names of all kinds of annotation files, which imports nothing heavy.

A kind is the object of its name in capitals, in the module of its name: `BOXES` in `boxes.py`. It
is added by that module and a line here; `registry` holds the objects.
"""

#: Tables, in the order of an example's columns.
TABLES = (
    "images",
    "image_labels",
    "boxes",
    "person_boxes",
    "masks",
    "relationships",
    "narratives",
    "points",
)

#: Small files that say what labels mean; they end in `classes.json`.
VOCABULARY = ("classes", "class_list", "hierarchy", "point_classes")

#: Small files that are recognised and carry nothing that an example or `classes.json` would hold.
UNUSED = ("relationship_names", "relationship_triplets")

#: All, as in `--annotations KIND=PATH`.
KINDS = (*TABLES, *VOCABULARY, *UNUSED)
