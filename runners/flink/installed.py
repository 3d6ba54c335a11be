"""What `make flink` leaves in the Python environment."""

import sys
from pathlib import Path

from transforms.errors import UsageError

FOLDER = Path(sys.prefix) / "flink"
JOB_SERVER = FOLDER / "job-server.jar"
#: Beam's boot program, which starts a worker and installs the packages that were sent along.
BOOT = FOLDER / "boot"
#: A link to the Java that was found or installed.
JAVA = Path(sys.prefix) / "toolchain" / "tools" / "java"


def libraries() -> list[Path]:
    """The jars of a Flink cluster.

    Raises:
        UsageError: They aren't there.
    """
    found = sorted(FOLDER.glob("lib-*/*.jar"))
    if not found:
        raise UsageError(f"no Flink in {FOLDER}: run 'make flink' first")
    return found
