"""The dataset card of an output, `README.md`: what `datasets.load_dataset(OUTPUT)` goes by.

Without one it would read whatever Parquet it finds below the folder, of all versions and of their
failures. The card names the files of the version that `latest` names. It is written after `latest`,
so whoever reads it finds that version, or for a moment, or after a crash, the one before, which is
never removed as long as the card names it. The next build, `rollback` or `gc` mends what a crash
left, so a build whose card can't be written has succeeded all the same. A README.md that somebody
else wrote is left alone.

Format: https://huggingface.co/docs/hub/datasets-manual-configuration
"""

import os
import re
from collections.abc import Mapping

from transforms.dataset import naming
from transforms.formats.registry import FORMATS, find_format
from transforms.releases.manifest import Split
from transforms.storage import conditional, files
from transforms.storage.conditional import Mark
from transforms.storage.objects import AbsentError, is_remote
from transforms.storage.regular import IrregularError
from transforms.storage.stores import ObjectOptions

NAME = "README.md"

_MARKER = re.compile(r"^<!-- Written by pipelines\.build for version (\S+)\.$", re.MULTILINE)
#: Words of the comment, a few a line.
_TRACES = (b"<!-- Written", b"pipelines.build for", b"The next build writes", b"of your own here")
_NO_TEXT = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f\ufffd]")
_CARD = """\
---
license: cc-by-4.0
configs:
- config_name: default
  data_files:{data_files}
---
<!-- Written by pipelines.build for version {version}.
The next build writes it anew. To keep a text of your own here, remove these two lines, and the
configs above, which go on naming this version. -->

# Open Images as a training dataset

`datasets.load_dataset` of this folder reads the version that the file `latest` names,
`{version}`: {splits} examples.
Its `manifest.json` says what it was built from.

Annotations: Google LLC, CC BY 4.0. Pictures: CC BY 2.0 by their authors.
"""
#: In place of files: `datasets` shows it in its error.
_NO_FILES = "the latest version has no {title}, build with --format {name}"


def render(version: str, splits: Mapping[str, Split]) -> bytes:
    """Returns the card of a version.

    Args:
        version: its name.
        splits: as its manifest has them.
    """
    names = sorted(splits, key=naming.SPLITS.index)
    formats = set().union(*(split.formats for split in splits.values()))
    loadable = [form for form in FORMATS if find_format(form).data_files("")]
    form = next((form for form in loadable if form in formats), None)
    remedy = _NO_FILES.format(title=loadable[0].capitalize(), name=loadable[0])
    for folder in filter(None, (find_format(each).dataset_folder() for each in sorted(formats))):
        remedy += f", or load versions/{version}/{folder}"
    data_files = f' "{remedy}"'
    if form:
        data_files = "".join(
            f"\n  - split: {name}"
            f"\n    path: versions/{version}/{find_format(form).data_files(name)}"
            for name in names
        )
    counted = ", ".join(f"{splits[name].num_examples:,} {name}" for name in names)
    return _CARD.format(version=version, data_files=data_files, splits=counted).encode()


def version_of(card: bytes) -> str | None:
    """Returns the version that a card names; None if `render` didn't make it."""
    match = _MARKER.search(card.decode(errors="replace"))
    return match[1] if match else None


def was_card(text: bytes) -> bool:
    """Returns whether a README.md that is no card seems to be a damaged one.

    Somebody who puts a text of their own there removes the comment.
    """
    is_text = _NO_TEXT.search(text.decode(errors="replace")) is None
    return not is_text or any(trace in text for trace in _TRACES)


def read(output: str, options: ObjectOptions) -> bytes | None:
    """Returns the README.md of an output; None without one, and empty where it is no file.

    Raises:
        StorageError: The object store can't be read.
    """
    try:
        return files.read_unlinked(os.path.join(output, NAME), options)
    except (FileNotFoundError, NotADirectoryError, AbsentError):
        return None
    except IrregularError:
        return b""


def may_write(found: bytes | None) -> bool:
    """Returns whether what was found in a card's place may be replaced."""
    return found is None or version_of(found) is not None


def write(output: str, card: bytes, scratch: str, options: ObjectOptions) -> None:
    """Writes a card, unless there is a README.md of somebody else's.

    Args:
        output: where the version is published.
        card: of `render`.
        scratch: a local folder in the output's file system; not needed for an object store.
        options: how object stores are reached.

    Raises:
        StorageError: The object store can't be read, or written to.
    """
    path = os.path.join(output, NAME)
    if is_remote(output):
        write_as_seen(output, card, conditional.read(path, options), options)
    elif may_write(read(output, options)):
        files.write_file(path, card, scratch)


def write_as_seen(
    output: str, card: bytes, seen: tuple[bytes, Mark] | None, options: ObjectOptions
) -> None:
    """Writes a card to an object store, unless it isn't what was seen any more.

    Whoever has written it meanwhile has then looked at a later `latest`.
    """
    if may_write(seen[0] if seen else None):
        path = os.path.join(output, NAME)
        conditional.write(path, card, seen[1] if seen else None, options)
