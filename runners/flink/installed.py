"""What `make flink` leaves in the Python environment, and the Java that runs it."""

import os
import shutil
import sys
from pathlib import Path

from transforms.errors import UsageError

FOLDER = Path(sys.prefix) / "flink"
JOB_SERVER = FOLDER / "job-server.jar"
#: Beam's boot program, which starts a worker and installs the packages that were sent along.
BOOT = FOLDER / "boot"
#: A link to the Java that was found or installed.
_JAVA = Path(sys.prefix) / "toolchain" / "tools" / "java"

_OPENED = (
    "java.lang",
    "java.lang.reflect",
    "java.net",
    "java.io",
    "java.nio",
    "java.text",
    "java.time",
    "java.util",
    "java.util.concurrent",
    "java.util.concurrent.atomic",
    "java.util.concurrent.locks",
    "sun.nio.ch",
)

#: The first two as in Flink's own configuration for Java 17. The next two make start-up faster, and
#: little data goes through Java. The last one leaves no file in the system's temporary folder.
JAVA_FLAGS = (
    *(f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in _OPENED),
    "--add-exports=java.base/sun.net.util=ALL-UNNAMED",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
)


def libraries() -> list[Path]:
    """Returns the jars of a Flink cluster.

    Raises:
        UsageError: They aren't there.
    """
    found = sorted(FOLDER.glob("lib-*/*.jar"))
    if not found:
        raise UsageError(f"no Flink in {FOLDER}: run 'make flink' first")
    return found


def find_java() -> str:
    """Returns the path of `java`: by JAVA_HOME, else by `make flink`, else by PATH.

    Raises:
        UsageError: There is none.
    """
    home = os.environ.get("JAVA_HOME")
    if home:
        found = shutil.which("java", path=os.path.join(home, "bin"))
    else:
        found = shutil.which(_JAVA) or shutil.which("java")
    if found is None:
        where = f"JAVA_HOME={home}" if home else "PATH"
        raise UsageError(f"no java by {where}: install Java 11 or 17 (openjdk-17-jre-headless)")
    return found
