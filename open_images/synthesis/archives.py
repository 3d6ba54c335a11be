"""Archives of pictures, mask PNGs and recordings, the same bytes whenever they are written."""

import tarfile
import zipfile
from io import BytesIO
from pathlib import Path


class Archives:
    """The zips or tars of a folder, each made with its first member; or plain files instead."""

    def __init__(self, folder: Path, form: str) -> None:
        """Will write into `folder` in `form`: `folder`, `tar` or `zip`."""
        self._folder = folder
        self._form = form
        self._archives: dict[str, tarfile.TarFile | zipfile.ZipFile] = {}

    def add(self, archive_name: str, name: str, data: bytes) -> None:
        """Adds a member to an archive, whose name lacks the suffix."""
        if self._form == "folder":
            path = self._folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            return
        if archive_name not in self._archives:
            self._folder.mkdir(parents=True, exist_ok=True)
            kind = zipfile.ZipFile if self._form == "zip" else tarfile.TarFile
            self._archives[archive_name] = kind(self._folder / f"{archive_name}.{self._form}", "w")
        archive = self._archives[archive_name]
        # Infos of either kind have a fixed date and owner.
        if isinstance(archive, zipfile.ZipFile):
            archive.writestr(zipfile.ZipInfo(name), data)
        else:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, BytesIO(data))

    def close(self) -> None:
        """Completes all archives."""
        for archive in self._archives.values():
            archive.close()
