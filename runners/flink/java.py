"""Java: where it is, and what Flink wants its virtual machines to be told."""

import os
import shutil

from runners.flink import installed
from transforms.errors import UsageError

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

#: As in Flink's own configuration for Java 17; the next two make start-up faster, and little data
#: goes through Java. The last one leaves no file in the system's temporary folder.
FLAGS = (
    *(f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in _OPENED),
    "--add-exports=java.base/sun.net.util=ALL-UNNAMED",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
)


def find_java() -> str:
    """The program `java`: of JAVA_HOME, or else what `make flink` found, or the first in PATH.

    Raises:
        UsageError: There is none.
    """
    home = os.environ.get("JAVA_HOME")
    if home:
        found = shutil.which("java", path=os.path.join(home, "bin"))
    else:
        found = shutil.which(installed.JAVA) or shutil.which("java")
    if found is None:
        where = f"JAVA_HOME={home}" if home else "PATH"
        raise UsageError(f"no java by {where}: install Java 11 or 17 (openjdk-17-jre-headless)")
    return found
