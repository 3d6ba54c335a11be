"""Open Images' own files, as they are published: what its toolkits and this build read.

Below `openimages/` there are `annotations/`, `images/<split>/<ImageID>.jpg` and
`masks/<split>/<MaskPath>`, in the folders in which datumaro and CVAT look for them, and recordings
as `voices/<voice_recording>`.
"""

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

from transforms.dataset.naming import numbers
from transforms.formats.format import Content, NewFiles, Shards, SharedFiles
from transforms.formats.loose import FileList, LooseFile, LooseFormat, read_files, verify_parts
from transforms.formats.openimages import image_metas, tables
from transforms.formats.openimages.class_files import make_class_files
from transforms.formats.openimages.writer import ANNOTATIONS, FOLDER, OpenImagesWriter, TableWriter
from transforms.formats.part import HashingFile, StoredPart
from transforms.formats.settings import FormatSettings

_MOST_HEADER_BYTES = 1024


class Tables(SharedFiles):
    """Published tables, and what goes with them."""

    writer = TableWriter

    def concatenate(
        self, parts: Iterable[StoredPart], destination: HashingFile, new_files: NewFiles
    ) -> None:
        """Writes the tables, and to `destination` their list."""
        verified = verify_parts(parts)
        headers: dict[str, bytes] = {}
        for part in verified:
            for file in read_files(part.path):
                headers[file.path] = max(headers.get(file.path, b""), _header(file), key=len)
        listed = FileList(destination, new_files)
        with contextlib.ExitStack() as stack:
            opened = {
                path: stack.enter_context(_open(listed, path, headers[path]))
                for path in sorted(headers)
            }
            for part in verified:
                for file in read_files(part.path):
                    opened[file.path].write(_rows(file, headers[file.path]))


class OpenImages(LooseFormat):
    """Published tables, pictures, PNGs of masks and recordings."""

    name = "openimages"
    writer = OpenImagesWriter
    shared = Tables()
    needs_classes = True

    def refusal(self, image_encoding: str) -> str:
        return "readers of Open Images look for JPEG" if image_encoding == "webp" else ""

    def shard_path(self, settings: FormatSettings, split: str, index: int, shards: int) -> str:
        return f"{FOLDER}/files/{split}-{numbers(index, shards)}.sha256"

    def documents(self, content: Content, shards: Shards) -> dict[str, Any]:
        files = make_class_files(content.classes)
        return {f"{ANNOTATIONS}/{name}": document for name, document in files.items()}

    def loading_code(self, folder: str, settings: FormatSettings, split: str) -> str:
        return (
            "from datumaro import Dataset; "
            f"dataset = Dataset.import_from({f'{folder}/{FOLDER}'!r}, 'open_images')"
            f".subsets()[{split!r}]"
        )


FORMAT = OpenImages()


def _header(file: LooseFile) -> bytes:
    """Returns the first line of a piece of CSV; nothing for other files."""
    if not file.path.endswith(".csv"):
        return b""
    data = memoryview(file.data)
    return bytes(data[:_MOST_HEADER_BYTES]).partition(b"\n")[0] + b"\n"


def _rows(file: LooseFile, header: bytes) -> Any:
    """Returns what a piece adds to its file, whose header may be a longer one."""
    own = _header(file)
    rows = memoryview(file.data)[len(own) :]
    return rows if own == header else tables.widen(bytes(rows), own, header)


@contextlib.contextmanager
def _open(listed: FileList, path: str, header: bytes) -> Iterator[HashingFile]:
    """Opens a file of pieces, and writes what comes before and after them."""
    is_pickle = path.endswith(".pkl")
    with listed.open(path) as file:
        file.write(image_metas.START if is_pickle else header)
        yield file
        if is_pickle:
            file.write(image_metas.END)
