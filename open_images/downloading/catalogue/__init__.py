"""What Open Images publishes: addresses, sizes and checksums.

Gathered in November 2026 from what public tools record of them. The annotation files and masks of
V5 to V7, and V3's archives, have an MD5; V4's files and the tars of pictures a SHA-256. Where
neither is known, size and checksum are empty. Published files don't change: a new release has new
names.
"""

import csv
import dataclasses
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

from transforms.dataset.naming import SPLITS
from transforms.errors import UsageError

#: The project's own copy of the facts.
PUBLISHED = Path(__file__).with_name("files.tsv")

#: The public bucket of pictures.
PICTURES_URL = "https://open-images-dataset.s3.amazonaws.com/{split}/{image_id}.jpg"

#: Recordings of narratives, which name the rest of the path; and what is before it on a mirror.
VOICES_PATH = "/localized-narratives/voice-recordings"
VOICES_URL = f"https://storage.googleapis.com{VOICES_PATH}/{{voice_recording}}"
#: The kind of these, which are no files of the catalogue.
VOICES = "voices"

#: Downloaded only where `--kinds` names them: pixels, rows that other files hold too, and MIAP,
#: which annotates the people of the box tables once more.
OPTIONAL_KINDS = ("mask_pngs", "image_tars", "all_images", "boxable_image_labels", "person_boxes")

#: Splits that image lists name; no file is of the last one.
LIST_SPLITS = (*SPLITS, "challenge2018")

_FOLDERS = {"mask_pngs": "masks", "image_tars": "images"}


@dataclasses.dataclass(frozen=True)
class Entry:
    """A published file; `split` is empty where it holds all of them."""

    releases: tuple[str, ...]
    kind: str
    split: str
    url: str
    size: int | None
    checksum: str  # `md5:` or `sha256:` and hexadecimal digits, or empty

    @property
    def name(self) -> str:
        return self.url.rsplit("/", 1)[1]

    @property
    def folder(self) -> str:
        """Where it goes below the output folder: what `pipelines.build` takes it from."""
        return _FOLDERS.get(self.kind, "annotations")

    def addresses(self, base_url: str | None) -> list[str]:
        """Returns its own URL, or on a mirror its published path and ends of that."""
        if base_url is None:
            return [self.url]
        parts = urlsplit(self.url).path.strip("/").split("/")
        return [f"{base_url.rstrip('/')}/{'/'.join(parts[i:])}" for i in range(len(parts))]


def read(path: Path = PUBLISHED) -> list[Entry]:
    """Returns the entries of a catalogue file."""
    with open(path, encoding="utf-8", newline="") as file:
        return [
            Entry(
                tuple(row["releases"].split(",")),
                row["kind"],
                row["split"],
                row["url"],
                int(row["bytes"]) if row["bytes"] else None,
                row["checksum"],
            )
            for row in csv.DictReader(file, delimiter="\t")
        ]


def names(entries: Iterable[Entry]) -> tuple[list[str], list[str]]:
    """Returns all releases and all kinds, in a fixed order."""
    entries = list(entries)
    releases = {release for entry in entries for release in entry.releases}
    return sorted(releases, reverse=True), list(dict.fromkeys(entry.kind for entry in entries))


def optional_kinds(entries: Iterable[Entry], release: str) -> list[str]:
    """Returns the `OPTIONAL_KINDS` that a release has."""
    there = {entry.kind for entry in entries if release in entry.releases}
    return [kind for kind in OPTIONAL_KINDS if kind in there]


def select(
    entries: Iterable[Entry], release: str, kinds: Iterable[str] | None, splits: Iterable[str]
) -> list[Entry]:
    """Returns the files of a release.

    Args:
        entries: the catalogue.
        release: such as `v7`.
        kinds: which; `None` is all but `OPTIONAL_KINDS`.
        splits: which; a file that holds all of them is selected for any.

    Raises:
        UsageError: The release lacks one of the kinds, or one in these splits.
    """
    ours = [entry for entry in entries if release in entry.releases]
    there = dict.fromkeys(entry.kind for entry in ours)
    if kinds is None:
        kinds = [kind for kind in there if kind not in OPTIONAL_KINDS]
    kinds, splits = list(kinds), list(splits)
    for kind in kinds:
        if kind not in there:
            raise UsageError(
                f"--kinds: {release} has no {kind}: choose of {', '.join(there) or 'nothing'}"
            )
    chosen = [e for e in ours if e.kind in kinds and (not e.split or e.split in splits)]
    if not chosen:
        raise UsageError(f"--splits: {release} has no {kinds[0]} of {', '.join(splits)}")
    return chosen
