"""How many files this process, and those that it starts, may have open at once."""

import contextlib
import resource

#: As many as a build opens at most, with room: a few hundred in each process.
_NEEDED = 1024
#: Some systems have no limit, and libraries that look at each descriptor there might be.
_ENOUGH = 1 << 16


def raise_limit() -> str | None:
    """Raises the soft limit; returns a warning if it stays too low."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return None
    most = _ENOUGH if hard == resource.RLIM_INFINITY else min(hard, _ENOUGH)
    if soft < most:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
            soft = most
    if soft >= _NEEDED:
        return None
    return (
        f"only {soft:,} files may be open at once, and a build may need {_NEEDED:,}: should it "
        "fail for that, raise the hard limit (ulimit -Hn)"
    )
