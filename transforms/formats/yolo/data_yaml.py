"""`data.yaml`, by which Ultralytics finds a dataset."""

from collections.abc import Collection, Sequence

from transforms.formats import yaml

#: Folders of the splits.
FOLDERS = {"train": "train", "validation": "val", "test": "test"}


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
    lines += [f"  {number}: {yaml.quote(name)}" for number, name in enumerate(names)]
    return "\n".join([*lines, ""])
