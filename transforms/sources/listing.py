"""Listing folders and archives as tables that travel to the buckets of their members' images.

The members of a folder, tar or zip are walked without reading their bytes.
"""

import contextlib
import os
import posixpath
import re
import stat
from collections.abc import Callable, Iterator
from functools import partial
from typing import BinaryIO, Literal, NamedTuple

import pyarrow as pa

from transforms.dataset.failures import Failure, PixelError, Reason, Stage
from transforms.sources.members import Address, Member
from transforms.storage import files
from transforms.storage.archives import GZIP_MAGIC, ZIP_MAGICS
from transforms.storage.claims import FAR, ArchiveError, leads_out
from transforms.storage.folders import LOOP, NO_FILE, walk_linked
from transforms.storage.objects import is_remote
from transforms.storage.stamps import number_of, stamp_of
from transforms.storage.stores import ObjectOptions
from transforms.storage.tars import BLOCK, SPARSE, is_tar, read_members
from transforms.storage.zips import ZipEntry, find_directory, read_entries

#: Members and failures of a batch at most.
ROWS = 65_536

_SHOWN = 200  # characters of a name that a failure shows
_STREAM_BYTES = 8 << 20

#: One row a member: the ImageID, its name, and the fields of its `Address`.
SCHEMA = pa.schema(
    {
        "image_id": pa.string(),
        "name": pa.string(),
        "container": pa.string(),
        "offset": pa.int64(),
        "size": pa.int64(),
        "method": pa.uint16(),
        "crc32": pa.int64(),
        "stamp": pa.int64(),
    }
)

_COMPRESSED = (b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")


class Contents(NamedTuple):
    """What a source is listed for: which base names count, and the stage of its failures.

    `similar` matches base names of other pictures or PNGs, which may have been meant; messages call
    one of them `noun`, and say with `form` how it has to be named.
    """

    base_name: re.Pattern[str]  # its first group is the ImageID
    stage: Stage
    similar: re.Pattern[str]
    noun: str
    form: str


_PICTURE_ENDS = r"(?i:jpe?g|png|gif|webp|bmp|tiff?)"
_PICTURE = rf"([0-9a-f]{{16}})\.{_PICTURE_ENDS}"
_MASK = r"([0-9a-f]{16})_[a-z]\w+_\w+\.png"
#: `<imageid>.jpg` and the like; content decides about the format, later.
PICTURES = Contents(
    re.compile(_PICTURE),
    Stage.FETCH,
    re.compile(rf"(?!\.|(?a:{_MASK})$).*\.{_PICTURE_ENDS}", re.DOTALL),
    "picture",
    "by an ImageID",
)
#: `<imageid>_m<mid without slashes>_<boxid>.png`
MASKS = Contents(
    re.compile(_MASK, re.ASCII),
    Stage.MASK,
    re.compile(rf"(?!\.|{_PICTURE}$).*\.(?i:png)", re.DOTALL),
    "mask PNG",
    "IMAGE_ID_MID_BOX_ID.png",
)
#: `<dataset>_<imageid>_<annotator>.ogg` and the like
VOICES = Contents(
    re.compile(
        r"(?!\.)(?:.*[^0-9a-f])?([0-9a-f]{16})(?:[^0-9a-f].*)?\.(?i:og[ga]|opus)", re.DOTALL
    ),
    Stage.VOICE,
    re.compile(r"(?!\.).*\.(?i:og[ga]|opus|mp3|m4a|wav|flac|webm)", re.DOTALL),
    "recording",
    "DATASET_IMAGE_ID_ANNOTATOR.ogg",
)


_ARCHIVE = re.compile(r"\.(?i:tar|tgz|tar\.gz|zip)$")


class Unused(NamedTuple):
    """Files of a source that aren't used: how many, and the name of the first."""

    count: int = 0
    first: str = ""

    def followed_by(self, other: "Unused") -> "Unused":
        """Returns these and further ones as one."""
        return Unused(self.count + other.count, self.first or other.first)


class Listing(NamedTuple):
    """A batch of a listing: `table` has `SCHEMA`; `skipped` counts members that aren't used.

    Of these, `similar` match `Contents.similar`, and `others` are other files.
    """

    table: pa.Table
    skipped: int
    failures: list[Failure]
    similar: Unused = Unused()
    others: Unused = Unused()


def kind_of(
    path: str, options: ObjectOptions = files.DEFAULTS, stamp: str = ""
) -> Literal["folder", "tar", "zip", "tar.gz"]:
    """Returns the form of a source of pixels, by its content.

    Args:
        path: the source.
        options: how object stores are reached.
        stamp: of an archive that must be as it was planned.

    Raises:
        ChangedError: It has another stamp, or is gone.
        StorageError: The object store can't be read.
        ValueError: with one line that says what to do, when it is none of these.
    """
    if not stamp and files.is_folder(path, options):
        return "folder"
    if not stamp and not is_remote(path) and not os.path.exists(path):
        raise ValueError(f"{path}: no such folder or file; check the path")
    with files.open_file(path, options, stamp=stamp) as file:
        start = file.read(BLOCK)
        if start.startswith(GZIP_MAGIC):
            return "tar.gz"
        if start.startswith(_COMPRESSED):
            raise ValueError(f"{path}: of compressed tars only .tar.gz is supported; unpack it")
        if start.startswith(ZIP_MAGICS):
            return "zip"
        if not start:
            raise ValueError(f"{path} is empty: download it again")
        if start[:8].lstrip().startswith(b"<"):
            page = "a web page, the server's answer in place of the archive"
            raise ValueError(f"{path} is {page}: download it again")
        why = ""
        if is_tar(start):
            try:
                next(read_members(reader_of(path, file)), None)
                return "tar"
            except ArchiveError as error:
                why = f" (as a tar: {error})"
        with contextlib.suppress(ArchiveError):
            find_directory(file)  # with something in front, such as an unpacker
            return "zip"
    raise ValueError(f"{path}: neither a folder, a tar nor a zip{why}; give one of these")


def list_members(
    path: str, contents: Contents, options: ObjectOptions = files.DEFAULTS, stamp: str = ""
) -> Iterator[Listing]:
    """Lists the pictures, masks or recordings in a folder, tar or zip; nothing in it is opened.

    Members with an unsafe path, links and devices become failures; other names are skipped. In a
    folder the order is that of the names, in an archive its own.

    Args:
        path: a folder, tar or zip, local or in an object store.
        contents: `PICTURES`, `MASKS` or `VOICES`.
        options: how object stores are reached.
        stamp: of an archive that must be as it was planned; members of folders get their own.

    Yields:
        Batches of members and failures; none for an empty source.

    Raises:
        ValueError: when the path is none of these.
        ChangedError: The archive has another stamp, as opening, reading or closing finds.
        StorageError: The object store can't be read.
        PixelError: TRUNCATED or CORRUPT for a damaged archive, after what could still be listed.
    """
    kind = kind_of(path, options, stamp)
    if kind == "tar.gz":
        raise ValueError(f"{path}: compressed; unpack it first")
    if kind == "folder":
        members = walk_folder(path, options)
    else:
        members = (walk_tar if kind == "tar" else walk_zip)(path, options, stamp)
    rows: list[tuple] = []
    failures: list[Failure] = []
    skipped = 0
    similar = others = Unused()
    damage = None
    try:
        for member in members:
            name, address, _ = member
            base_name = name.rpartition("/")[2]
            match = contents.base_name.fullmatch(base_name)
            image_id = match and match[1]
            if refusal := refusal_of(member):
                reason, detail = refusal
                detail = f"{name[:_SHOWN]!a}: {detail}"
                failures.append(Failure(image_id, None, contents.stage, reason, detail, path))
            elif image_id is not None:
                rows.append((image_id, name, *address))
            else:
                skipped += 1
                if contents.similar.fullmatch(base_name):
                    similar = similar.followed_by(Unused(1, name))
                elif base_name and not _ARCHIVE.search(base_name):  # no directory either
                    others = others.followed_by(Unused(1, name))
            if len(rows) + len(failures) == ROWS:
                yield Listing(_table(rows), skipped, failures, similar, others)
                rows, failures, skipped = [], [], 0
                similar = others = Unused()
    except PixelError as error:
        damage = error
    if rows or failures or skipped:
        yield Listing(_table(rows), skipped, failures, similar, others)
    if damage:
        raise damage


def walk_folder(path: str, options: ObjectOptions = files.DEFAULTS) -> Iterator[Member]:
    """Its files, at any depth, in an order that depends on their names alone, with absolute paths.

    In an object store that is the order of their keys. Links are followed, wherever they lead; each
    folder is entered once. A file that vanishes while its folder is listed isn't there.
    """
    if is_remote(path):
        for found in files.walk(path, options):
            address = Address(found.path, 0, found.size, stamp=number_of(found.stamp))
            yield Member(posixpath.relpath(found.path, path), address)
        return
    for entry in walk_linked(os.path.realpath(path)):
        # The files behind a loop are listed without the link.
        if entry.trouble != LOOP and (status := entry.status()):
            reason = Reason.UNSAFE_PATH if entry.trouble == NO_FILE else Reason.MISSING
            refusal = (reason, entry.trouble) if entry.trouble else None
            stamp = number_of(stamp_of(status))
            yield Member(entry.name, Address(entry.path, 0, status.st_size, stamp=stamp), refusal)


def walk_tar(
    path: str, options: ObjectOptions = files.DEFAULTS, stamp: str = ""
) -> Iterator[Member]:
    """Yields the members of a plain tar in their order, with memory for one at a time.

    In an object store the tar is read through, since a request a header would take longer.

    Raises:
        ChangedError: The archive hasn't the stamp that is given.
        StorageError: The object store can't be read.
        PixelError: TRUNCATED or CORRUPT where the archive can't be followed further, after the
            members before that place.
    """
    with files.open_file(path, options, _STREAM_BYTES, stamp=stamp) as file, _damage():
        for name, start, size, refused, is_folder in read_members(reader_of(path, file)):
            reason = Reason.FORMAT_NOT_ALLOWED if refused == SPARSE else Reason.UNSAFE_PATH
            refusal = (reason, refused) if refused else None
            yield Member(name + "/" * is_folder, Address(path, start, size), refusal)


def reader_of(path: str, file: BinaryIO) -> Callable[[int, int], bytes]:
    """Returns what reads so many bytes from a place on."""
    if not is_remote(path):
        return lambda place, size: os.pread(file.fileno(), size, place)  # a third of the time
    return partial(files.read_at, file)


def walk_zip(
    path: str, options: ObjectOptions = files.DEFAULTS, stamp: str = ""
) -> Iterator[Member]:
    """Yields the members of a zip by its central directory, of which a MiB is in memory.

    Raises:
        ChangedError: The archive hasn't the stamp that is given.
        StorageError: The object store can't be read.
        PixelError: TRUNCATED or CORRUPT when that directory is missing or damaged.
    """
    with files.open_file(path, options, stamp=stamp) as file, _damage():
        for entry in read_entries(file):
            address = Address(path, entry.offset, entry.size, entry.method, entry.crc32)
            yield Member(entry.name, address, _zip_refusal(entry))


@contextlib.contextmanager
def _damage() -> Iterator[None]:
    """Turns the errors of an archive into failures."""
    try:
        yield
    except ArchiveError as error:
        reason = Reason.TRUNCATED if error.is_cut else Reason.CORRUPT
        raise PixelError(reason, str(error)) from None
    except OSError as error:
        raise PixelError(Reason.CORRUPT, str(error)) from None


def _zip_refusal(entry: ZipEntry) -> tuple[Reason, str] | None:
    if stat.S_IFMT(entry.attributes >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        return Reason.UNSAFE_PATH, "a link or device"
    if entry.overlaps:
        return Reason.CORRUPT, "its bytes are another member's too"
    return None


def describe_unused(
    contents: Contents, members: int, similar: Unused, others: Unused, is_empty: bool
) -> str:
    """Returns one line about the unused files of a source; empty if there is nothing to say.

    Args:
        contents: what the source was listed for.
        members: how many files of this kind it has.
        similar: files that match `contents.similar`.
        others: other files, which are named if there are no `similar` ones. Archives are sources of
            their own, so they aren't among them.
        is_empty: whether the source has no files at all.
    """
    noun, form = contents.noun, contents.form
    example = f"for example {(similar.first or others.first)!a}"
    if members and similar.count:
        return f"{noun}s that aren't named {form}, and so aren't used: {similar.count:,}, {example}"
    if members:
        return ""
    if similar.count == 1:
        return f"1 {noun} is there, not named {form}: {similar.first!a}"
    if similar.count:
        return f"{similar.count:,} {noun}s are there, none named {form}, {example}"
    if others.count:
        return f"no {noun}s are there, but other files: {others.count:,}, {example}"
    return f"no {noun}s are there, nor any other file" if is_empty else ""


def refusal_of(member: Member) -> tuple[Reason, str] | None:
    """Returns reason and detail where a member mustn't be read; None if it may."""
    if leads_out(member.name) or "\\" in member.name:
        return Reason.UNSAFE_PATH, "the name could lead out of the source"
    if not (0 <= member.address.offset < FAR and 0 <= member.address.size < FAR):
        return Reason.CORRUPT, "an impossible offset or size"
    return member.refusal


def _table(rows: list[tuple]) -> pa.Table:
    columns = list(zip(*rows, strict=True)) or [()] * len(SCHEMA)
    return pa.table(list(map(pa.array, columns, SCHEMA.types)), schema=SCHEMA)
