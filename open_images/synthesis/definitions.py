"""The files that list classes, attributes and relationships."""

from pathlib import Path

from open_images.synthesis import vocabulary
from open_images.synthesis.kinds import KINDS
from open_images.synthesis.text import Row
from open_images.synthesis.vocabulary import all_classes, mid_of, read_text
from transforms.kinds import published
from transforms.kinds.csv_text import csv_bytes

SEGMENTABLE = 350
_TRIPLETS = (
    *((someone, "Hat", "wears") for someone in ("Man", "Woman", "Boy", "Girl")),
    *((someone, "Balloon", "holds") for someone in ("Man", "Woman", "Boy", "Girl")),
    ("Man", "Table", "at"),
    ("Cat", "Tree", "under"),
    ("Bottle", "Table", "on"),
    ("Table", "Wood", "is"),
)


def boxable_mids() -> list[str]:
    """Returns the MIDs of the boxable classes, those that scenes are made of first."""
    return vocabulary.by_popularity(vocabulary.boxable_classes(), [mid_of(name) for name in KINDS])


def write_definitions(annotations: Path, release: str) -> None:
    """Writes class names, class lists, hierarchy, attributes and relationships of a release.

    Args:
      annotations: the folder of the corpus's annotations.
      release: `v7` or `v3`.
    """
    files = _v7() if release == "v7" else _v3()
    for name, data in files.items():
        path = annotations / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def _v7() -> dict[str, bytes]:
    names = dict(all_classes())
    described = read_text("oidv6-relationships-description.csv").splitlines()
    names_described = {line.split(",")[0] for line in described}
    additions = {
        "attributes-description": [
            (mid_of(name), names[mid_of(name)]) for name in vocabulary.ATTRIBUTES
        ],
        "relationships-description": [
            (name, name) for name in vocabulary.RELATIONSHIPS if name not in names_described
        ],
        "relationship-triplets": [(mid_of(a), mid_of(b), name) for a, b, name in _TRIPLETS],
    }
    extended = {
        f"oidv6-{stem}.csv": read_text(f"oidv6-{stem}.csv").encode() + csv_bytes(rows)
        for stem, rows in additions.items()
    }
    return extended | {
        published.CLASS_NAMES: csv_bytes([published.CLASS_NAMES_HEADER, *all_classes()]),
        published.BOXABLE_NAMES: read_text(published.BOXABLE_NAMES).encode(),
        "classes-segmentation.txt": _lines(boxable_mids()[:SEGMENTABLE]),
        published.POINT_CLASSES: _point_classes(),
        # As published, with CRLF line ends and no final newline.
        published.HIERARCHY: read_text(published.HIERARCHY).encode(),
    }


def _v3() -> dict[str, bytes]:
    everything = [mid for mid, _ in all_classes()]
    boxable = boxable_mids()
    files = {
        "class-descriptions.csv": csv_bytes(all_classes()),
        "classes.txt": _lines(everything),
        "classes-trainable.txt": _lines(everything[::4]),
        "classes-bbox.txt": _lines(boxable),
        "classes-bbox-trainable.txt": _lines(boxable[:545]),
    }
    return {f"2017_11/{name}": data for name, data in files.items()}


def _point_classes() -> bytes:
    """Returns a ragged CSV, whose fields from the fifth on are other names of the class."""
    rows: list[Row] = [published.POINT_CLASSES_HEADER]
    for number, (mid, name) in enumerate(all_classes()[::5]):
        mentions = (name.lower(), f"{name.lower()}s", f"a {name.lower()}, maybe")[: number % 4]
        rows.append((mid, name, str(number % 97), str(97 + number % 89), *mentions))
    return csv_bytes(rows)


def _lines(texts: list[str]) -> bytes:
    return "".join(f"{text}\n" for text in texts).encode()
