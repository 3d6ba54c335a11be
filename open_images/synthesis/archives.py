"""Where pictures go: a folder, a tar or a zip for each split."""

import tarfile
import zipfile
from io import BytesIO
from pathlib import Path


class PictureStore:
    """Takes pictures as `{split}/{ImageID}.jpg`; archives have fixed dates and owners."""

    def __init__(self, folder: Path, form: str) -> None:
        """Will write into `folder` in `form`: `folder`, `tar` or `zip`."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._form = form
        self._archives: dict[str, tarfile.TarFile | zipfile.ZipFile] = {}

    def add(self, split: str, image_id: str, data: bytes) -> None:
        """Stores a picture."""
        name = f"{split}/{image_id}.jpg"
        if self._form == "folder":
            path = self._folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)
            return
        archive = self._archive(split)
        if isinstance(archive, zipfile.ZipFile):
            archive.writestr(zipfile.ZipInfo(name), data)
        else:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, BytesIO(data))

    def _archive(self, split: str) -> tarfile.TarFile | zipfile.ZipFile:
        if split not in self._archives:
            path = self._folder / f"{split}.{self._form}"
            kind = zipfile.ZipFile if self._form == "zip" else tarfile.TarFile
            self._archives[split] = kind(path, "w")
        return self._archives[split]

    def close(self) -> None:
        """Ends all archives."""
        for archive in self._archives.values():
            archive.close()
