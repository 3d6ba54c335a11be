"""Notices of files that aren't used: one line for many files of a kind."""

import itertools
from collections import defaultdict

from transforms.dataset.elements import Notice
from transforms.kinds.reading.filenames import Name

#: Why pictures among annotations aren't used.
PICTURES_GO = "pictures go to --images, masks to --masks"
#: Up to so many files of one suffix and reason have a notice each.
_FEW = 5


class Unused:
    """Gathers files that aren't used, by suffix and reason."""

    def __init__(self) -> None:
        self._paths: dict[tuple[str, str], list[str]] = defaultdict(list)

    def add(self, path: str, suffix: str, reason: str) -> None:
        """Adds a file with the reason."""
        self._paths[suffix, reason].append(path)

    def add_name(self, path: str, name: Name) -> None:
        """Adds a file with the reason that its name gives; for a picture, `PICTURES_GO`."""
        self.add(path, name.suffix, name.reason or PICTURES_GO)

    def notices(self) -> list[Notice]:
        """Returns a notice for each file, or one for all pictures, and for many files of a kind."""
        found: list[Notice] = []
        for (suffix, reason), paths in self._paths.items():
            few = 1 if reason == PICTURES_GO else _FEW
            if len(paths) <= few:
                found += [Notice(path, f"not used: {reason}") for path in paths]
                continue
            example = "" if few == 1 else f", such as {min(paths).rpartition('/')[2]},"
            files = f"{len(paths):,} {suffix} files" if suffix else f"{len(paths):,} files"
            found.append(Notice(_common_folder(paths), f"{files}{example} not used: {reason}"))
        return sorted(found)


def _common_folder(paths: list[str]) -> str:
    """Returns the deepest folder above all of some files, local or in a bucket."""
    first, last = (path.split("/")[:-1] for path in (min(paths), max(paths)))
    same = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))
    return "/".join(name for name, _ in same)
