"""How much compressed data may unpack to, so that a small file can't fill a disk or take hours."""

#: Bytes that any file may unpack to, and how many times its own it may unpack to beyond them.
#: Tables shrink to a tenth, flat masks with their headers to a thirtieth, zeros to a thousandth.
FREE_BYTES = 64 << 20
MAX_RATIO = 100


def describe_excess(packed: int, inflated: int) -> str:
    """Returns why so many bytes are too many to come of so many; empty if they aren't."""
    if inflated <= FREE_BYTES + MAX_RATIO * packed:
        return ""
    limit = f"at most {FREE_BYTES >> 20} MiB and {MAX_RATIO} times as much"
    return f"{packed:,} bytes of it unpack to {inflated:,} or more: {limit}"
