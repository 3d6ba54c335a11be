"""Ways for task managers to start workers, as `--environment_type PROCESS` takes them."""

import json
from pathlib import Path

from runners.flink import submit

#: Runs a program that sees an empty folder in place of another; $0 is the folder. In a chroot that
#: is no mount point how mounts propagate can't be changed.
_HIDE = (
    "unshare --mount true 2>/dev/null || as_it_is='--propagation unchanged'\n"
    "exec unshare --mount $as_it_is "
    'sh -c \'mount -t tmpfs tmpfs "$0" && exec "$@"\' {folder} {program} "$@"'
)


def by(command: str | Path | None = None, **variables: str) -> list[str]:
    """Flags for workers that a command starts, or else what starts them by default.

    Args:
        command: its path.
        variables: of its environment, beside those that find this very Python.
    """
    environment = json.loads(submit.start_worker())
    environment["env"] |= variables
    if command is not None:
        environment["command"] = str(command)
    return ["--environment_type=PROCESS", f"--environment_config={json.dumps(environment)}"]


def without(folder: Path, script: Path) -> Path:
    """Writes a program that starts a worker as on another machine, where a folder is empty."""
    hide = _HIDE.format(folder=folder, program=submit.START_WORKER)
    script.write_text(f"#!/bin/sh\n{hide}\n")
    script.chmod(0o755)
    return script


def never(script: Path) -> Path:
    """Writes a program that waits for something that never comes, instead of starting a worker."""
    script.write_text("#!/bin/sh\nexec sleep 600\n")
    script.chmod(0o755)
    return script
