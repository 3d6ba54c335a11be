"""Files that are there and aren't used, gathered so that a thousand of a kind are one line."""

import itertools
from collections import defaultdict

from transforms.elements import Notice
from transforms.formats.filenames import Name

#: Why pictures among annotations aren't used.
PICTURES_GO = "pictures go to --images, masks to --masks"
#: Files of one suffix and reason that are listed each.
_FEW = 5


class Unused:
    """Gathers files that aren't used, by suffix and reason."""

    def __init__(self) -> None:
        self._paths: dict[tuple[str, str], list[str]] = defaultdict(list)

    def add(self, path: str, suffix: str, reason: str) -> None:
        """Takes down a file."""
        self._paths[suffix, reason].append(path)

    def add_name(self, path: str, name: Name) -> None:
        """Takes down a file that isn't used for what its name says; a picture has no reason."""
        self.add(path, name.suffix, name.reason or PICTURES_GO)

    def notices(self) -> list[Notice]:
        """A notice of each file; one for several pictures, or for many of another kind alike."""
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
    """The folder that all of some files lie in, here or in a bucket."""
    first, last = (path.split("/")[:-1] for path in (min(paths), max(paths)))
    same = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))
    return "/".join(name for name, _ in same)
