"""Local folders whose content nobody else can have put there.

A folder in which several users build is shared: each has folders of their own in it, and trusts no
others. Links are never followed to one: they may lead anywhere.
"""

import contextlib
import errno
import os
import pwd
import stat
import tempfile

from transforms.storage.folders import FOLDER_FLAGS
from transforms.storage.regular import IrregularError, closing, open_unlinked

#: Permissions by which other users may write.
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


class ForeignError(PermissionError):
    """Another user's folder or file, or a link, is where one of ours should be.

    `strerror` says which, in a line without the remedy.
    """

    def __init__(self, text: str, path: str) -> None:
        super().__init__(errno.EPERM, text, path)


def owner(uid: int) -> str:
    """Returns the name of a user, for messages.

    >>> owner(0)
    'root'
    """
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def make_shared_folder(path: str) -> None:
    """Makes a folder in which the same users may write as in the one above, unless it is there.

    Raises:
        ForeignError: A link or file is there, or in a folder where nobody may rename what others
            have made, somebody else's folder.
        OSError: It can't be made.
    """
    above = os.stat(os.path.dirname(path) or ".")
    made = False
    with contextlib.suppress(FileExistsError):
        os.mkdir(path)
        made = True
    with closing(_open_folder(path)) as descriptor:
        found = os.fstat(descriptor)
        if made and above.st_mode & _OTHERS_WRITE:
            os.fchmod(descriptor, stat.S_IMODE(above.st_mode))
    if made:
        return
    friends = (os.geteuid(), 0, above.st_uid)
    if above.st_mode & stat.S_ISVTX and found.st_uid not in friends:
        raise ForeignError(f"{path} belongs to {owner(found.st_uid)}", path)
    if not os.access(path, os.W_OK | os.X_OK):
        text = f"{path} belongs to {owner(found.st_uid)}, who alone may write there"
        raise ForeignError(text, path)


def make_private_folder(path: str, for_group: bool = False) -> os.stat_result:
    """Makes a folder for this user alone; returns its status, as the file system set it.

    Args:
        path: of the folder.
        for_group: whether its group may use it too, as far as the umask allows.

    Raises:
        OSError: It can't be made, or something is there.
    """
    os.mkdir(path, 0o770 if for_group else 0o700)
    return os.lstat(path)


def is_private(path: str, fresh: os.stat_result) -> bool:
    """Returns whether a folder is one that this user has made, and no other could have written to.

    Args:
        path: of the folder, or of anything else.
        fresh: of a folder that was just made in the same file system. Not all keep owners and modes
            as they were set.
    """
    with contextlib.suppress(OSError):
        found = os.lstat(path)
        lax = found.st_mode & _OTHERS_WRITE & ~fresh.st_mode
        return stat.S_ISDIR(found.st_mode) and found.st_uid == fresh.st_uid and not lax
    return False


def own_temporary_folder() -> str:
    """Returns a folder in the system's temporary one that only this user can use, always the same.

    Raises:
        ForeignError: Somebody else has made it, or a link.
        OSError: It can't be made.
    """
    path = os.path.join(tempfile.gettempdir(), f"open-images-{os.geteuid()}")
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o700)
    with closing(_open_folder(path)) as descriptor:
        found = os.fstat(descriptor)
        if found.st_uid != os.geteuid():
            raise ForeignError(f"{path} belongs to {owner(found.st_uid)}", path)
        os.fchmod(descriptor, 0o700)
    return path


def _open_folder(path: str) -> int:
    try:
        return os.open(path, FOLDER_FLAGS)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise ForeignError(f"{path} is a link, or no folder", path) from None
        raise


def open_file(path: str, flags: int, mode: int = 0o600) -> int:
    """Opens a regular file with one name, and no link to one.

    Args:
        path: of the file.
        flags: as of `open_unlinked`.
        mode: of a new one.

    Returns:
        Its descriptor.

    Raises:
        ForeignError: A link, pipe or folder is there, or a second name of another file.
        OSError: It can't be opened.
    """
    with contextlib.suppress(IrregularError):
        descriptor = open_unlinked(path, flags, mode)
        if os.fstat(descriptor).st_nlink <= 1:
            return descriptor
        os.close(descriptor)
    raise ForeignError(f"{path} is a link, or no file", path)


def write_file(path: str, data: bytes | memoryview) -> None:
    """Writes a file of a name that others may foresee, with the permissions of any other file.

    Raises:
        ForeignError: A link, pipe or folder is there.
        OSError: It can't be written.
    """
    with open(open_file(path, os.O_WRONLY | os.O_CREAT, 0o666), "wb") as file:
        file.truncate(0)
        file.write(data)
