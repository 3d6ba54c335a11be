"""What archives may say of themselves: sizes, names, and how much their data unpacks to."""

import re

#: A place beyond any file's end, with which 64-bit arithmetic can't overflow.
FAR = 1 << 62

# Absolute, climbing, with a null byte, or not text (undecodable bytes are surrogates).
_LEADS_OUT = re.compile(r"^/|\x00|(?:^|/)\.\.(?:/|$)|[\ud800-\udfff]")

# A small file mustn't fill a disk or take hours.
#: Bytes that any file may unpack to, and how many times its own it may unpack to beyond them.
#: Tables shrink to a tenth, flat masks with their headers to a thirtieth, zeros to a thousandth.
FREE_BYTES = 64 << 20
MAX_RATIO = 100


class ArchiveError(Exception):
    """An archive can't be followed further; the message says where.

    Attributes:
        is_cut: whether it ends early, and isn't damaged.
        member: the name of the member whose data is cut, if it is that.
    """

    def __init__(self, message: str, is_cut: bool = False, member: str = "") -> None:
        super().__init__(message)
        self.is_cut = is_cut
        self.member = member


def describe_excess(packed: int, inflated: int) -> str:
    """Returns why so many bytes are too many to come of so many; empty if they aren't."""
    if inflated <= FREE_BYTES + MAX_RATIO * packed:
        return ""
    limit = f"at most {FREE_BYTES >> 20} MiB and {MAX_RATIO} times as much"
    return f"{packed:,} bytes of it unpack to {inflated:,} or more: {limit}"


def leads_out(name: str) -> bool:
    """Returns whether a member's name could lead out of its archive, or is none.

    >>> leads_out("train/a.jpg"), leads_out("../a.jpg"), leads_out("/a.jpg")
    (False, True, True)
    """
    return bool(_LEADS_OUT.search(name))
