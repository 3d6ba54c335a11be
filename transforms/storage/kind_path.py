"""What `[KIND=]PATH` means, for all flags that take it."""

import os
from collections.abc import Collection


def split_kind(argument: str, kinds: Collection[str] | None = None) -> tuple[str | None, str]:
    """Splits `KIND=PATH`.

    Args:
        argument: of a flag.
        kinds: that there are; None takes any name for one.

    Returns:
        The kind and the path; None and the whole argument where it is a path alone, such as one
        that exists with a `=` in its name.

    >>> split_kind("boxes=train.csv", ("boxes", "masks"))
    ('boxes', 'train.csv')
    >>> split_kind("s3://bucket/day=1")
    (None, 's3://bucket/day=1')
    """
    kind, _, path = argument.partition("=")
    if not path or "/" in kind or os.path.exists(argument):
        return None, argument
    if kinds is not None and kind not in kinds:
        return None, argument
    return kind, path
