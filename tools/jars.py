"""Fetches jars from Maven's repositories by a list, and merges them into one.

A list has a line for each jar, `GROUP:ARTIFACT:VERSION SHA256`, in the order of the class path.
Only `lock`, which prints a list, resolves dependencies.
"""

import argparse
import contextlib
import hashlib
import re
import shutil
import sys
import urllib.request
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

_THREADS = 8
_TRIES = 3
_MANIFEST = "META-INF/MANIFEST.MF"
#: Files that hold for a single jar, and not for the merged one.
_OF_ONE_JAR = re.compile(
    r"META-INF/(MANIFEST\.MF|INDEX\.LIST|[^/]*\.(SF|DSA|RSA))|module-info\.class"
)
_JOINED = re.compile(r"META-INF/services/.+|reference\.conf")
_FIRST_DAY = (1980, 1, 1, 0, 0, 0)


class JarError(Exception):
    """A jar can't be fetched, or its checksum is wrong."""


class Jar(NamedTuple):
    """A line of a list."""

    coordinates: str
    sha256: str


def read_list(path: Path) -> list[Jar]:
    """Reads a list; what follows a `#` is a comment."""
    lines = (line.partition("#")[0].split() for line in path.read_text().splitlines())
    return [Jar(*words) for words in lines if words]


def fetch(jars: Sequence[Jar], download: Callable[[str], Path] | None = None) -> list[Path]:
    """Returns the jars' paths in Maven's cache (`~/.m2/repository`).

    Args:
        jars: the jars to fetch.
        download: returns the path of a jar by its coordinates, downloaded if it isn't there.

    Raises:
        JarError: A jar can't be fetched, or its checksum isn't that of the list.
    """
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(lambda jar: _fetch_one(jar, download or _download), jars))


def merge(paths: Iterable[Path], output: Path, main_class: str) -> None:
    """Writes the contents of jars into one that can be run.

    If several jars have a file, the first is taken; lists of services and Typesafe's
    `reference.conf` are concatenated.
    """
    joined: dict[str, list[bytes]] = {}
    taken = set()
    with _written(output) as part, zipfile.ZipFile(part, "w") as merged:

        def write(name: str, data: bytes) -> None:
            entry = zipfile.ZipInfo(name, _FIRST_DAY)
            kind = zipfile.ZIP_STORED if name.endswith("/") else zipfile.ZIP_DEFLATED
            merged.writestr(entry, data, kind, compresslevel=1)

        write(_MANIFEST, f"Manifest-Version: 1.0\r\nMain-Class: {main_class}\r\n\r\n".encode())
        for path in paths:
            with zipfile.ZipFile(path) as jar:
                for name in jar.namelist():
                    if _JOINED.fullmatch(name):
                        joined.setdefault(name, []).append(jar.read(name))
                    elif name not in taken and not _OF_ONE_JAR.fullmatch(name):
                        taken.add(name)
                        write(name, jar.read(name))
        for name, texts in joined.items():
            write(name, b"".join(text.rstrip(b"\n") + b"\n" for text in texts))


def take(source: str, output: Path, main_class: str) -> None:
    """Copies a jar from a path or URL, unless it was taken from there before.

    Raises:
        JarError: There is none, or it doesn't have the main class.
    """
    origin = output.with_suffix(".origin")
    if output.exists() and origin.exists() and origin.read_text() == source:
        return
    try:
        with _written(output) as part:
            url = source if "://" in source else Path(source).absolute().as_uri()
            urllib.request.urlretrieve(url, part)
            with zipfile.ZipFile(part) as jar:
                jar.getinfo(f"{main_class.replace('.', '/')}.class")
    except (OSError, ValueError) as error:
        raise JarError(f"{source}: {error}") from error
    except (zipfile.BadZipFile, KeyError) as error:
        raise JarError(f"{source}: no jar with {main_class}") from error
    origin.write_text(source)


def lock(roots: Sequence[str]) -> list[Jar]:
    """Resolves jars with all that they need."""
    import jgo

    artifacts = [
        f"{each.groupId}:{each.artifactId}:{each.version}" for each in jgo.resolve("+".join(roots))
    ]
    with ThreadPoolExecutor(_THREADS) as pool:
        paths = pool.map(_download, artifacts)
        return [Jar(name, _sha256(path)) for name, path in zip(artifacts, paths, strict=True)]


def _fetch_one(jar: Jar, download: Callable[[str], Path]) -> Path:
    problem = ""
    for _ in range(_TRIES):
        try:
            path = download(jar.coordinates)
        except (OSError, RuntimeError) as error:
            problem = str(error)
            continue
        if _sha256(path) == jar.sha256:
            return path
        problem = f"{path} isn't the jar whose SHA-256 is listed"
        path.unlink()  # a download that was cut, of an earlier run too
    raise JarError(f"{jar.coordinates}: {problem}")


def _download(coordinates: str) -> Path:
    from jgo.maven import MavenContext

    group, artifact, version = coordinates.split(":")
    context = MavenContext(timeout=60)
    return context.project(group, artifact).at_version(version).artifact().resolve()


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def _written(output: Path) -> Iterator[Path]:
    """Gives a path to write to, which becomes `output` once all of it is written."""
    output.parent.mkdir(parents=True, exist_ok=True)
    part = output.with_suffix(".part")
    try:
        yield part
        part.rename(output)
    finally:
        part.unlink(missing_ok=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("fetch", help="copy a jar into a folder")
    command.add_argument("jar", metavar="GROUP:ARTIFACT:VERSION")
    command.add_argument("sha256")
    command.add_argument("folder", type=Path)
    command = commands.add_parser("merge", help="merge the jars of a list into one")
    command.add_argument("list", type=Path)
    command.add_argument("jar", type=Path)
    command.add_argument("main_class")
    command = commands.add_parser("take", help="copy a jar that was merged elsewhere")
    command.add_argument("source", help="path or URL")
    command.add_argument("jar", type=Path)
    command.add_argument("main_class")
    command = commands.add_parser("lock", help="print the list of jars with all that they need")
    command.add_argument("coordinates", nargs="+", metavar="GROUP:ARTIFACT:VERSION")
    flags = parser.parse_args(arguments)
    try:
        if flags.command == "fetch":
            (path,) = fetch([Jar(flags.jar, flags.sha256)])
            flags.folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, flags.folder)
        elif flags.command == "merge":
            merge(fetch(read_list(flags.list)), flags.jar, flags.main_class)
        elif flags.command == "take":
            take(flags.source, flags.jar, flags.main_class)
        else:
            print("# python tools/jars.py lock", *flags.coordinates)
            for jar in lock(flags.coordinates):
                print(*jar)
    except JarError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
