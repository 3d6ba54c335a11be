"""`data.yaml`, by which Ultralytics finds a dataset."""

import json
import re
from collections.abc import Collection, Sequence

#: Folders of the splits.
FOLDERS = {"train": "train", "validation": "val", "test": "test"}
#: What may be in JSON as it is, and not in YAML: other line breaks, controls, and no characters.
_SPECIAL = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


def describe(splits: Collection[str], names: Sequence[str]) -> str:
    """Returns the content of the file.

    It has no `path`, so that readers look for pictures beside it, wherever the folder is moved.
    `train` and `val` are always there, since readers demand both, and null where the split isn't.

    Args:
        splits: that the dataset has.
        names: of the classes, by number from 0.
    """
    lines = [
        f"{folder}: {f'images/{folder}' if split in splits else 'null'}"
        for split, folder in FOLDERS.items()
        if split in splits or split != "test"
    ]
    lines += [f"nc: {len(names)}", "names:"]
    lines += [f"  {number}: {_quote(name)}" for number, name in enumerate(names)]
    return "\n".join([*lines, ""])


def _quote(text: str) -> str:
    """Returns a text in double quotes, which YAML reads as JSON does but for some characters."""
    quoted = json.dumps(text, ensure_ascii=False)
    return _SPECIAL.sub(lambda match: f"\\u{ord(match[0]):04x}", quoted)
