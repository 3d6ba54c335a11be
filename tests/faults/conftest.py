"""Outputs with a version in them, here and in an S3."""

import dataclasses
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipelines import versions
from tests.builds import Build, Version, run_build
from tests.emulators import S3Server
from tests.faults import launcher
from tests.faults.launcher import Fault, Launched
from tests.faults.reader import Reader
from transforms.releases import card, heartbeat
from transforms.storage import files, objects
from transforms.storage.stores import ObjectOptions

IMAGES = 12
BUCKET = "faults"


@dataclasses.dataclass(frozen=True)
class Target:
    """An output, and how builds come to it.

    Attributes:
        path: a folder or URI.
        flags: of a build whose result isn't what is there already.
        options: how the object store is reached.
        folder: a local one that nobody else uses.
    """

    path: str
    flags: list[str]
    options: ObjectOptions
    folder: Path

    @property
    def is_remote(self) -> bool:
        return objects.is_remote(self.path)

    def launch(
        self, fault: Fault, *more: str, quick: bool = False, bound: bool = False
    ) -> Launched:
        """Starts a build with a fault."""
        arguments = [*self.flags, "--output", self.path, "--num_workers", "1", *more]
        return Launched(fault, arguments, self.folder / f"log{uuid.uuid4().hex}", quick, bound)

    def build(self, *more: str) -> Build:
        """Builds in this process."""
        return run_build(*self.flags, "--output", self.path, *more)

    def collect(self, capfd: pytest.CaptureFixture[str]) -> None:
        """Removes what dead builds have left."""
        endpoint = self.options.s3_endpoint_url
        more = ["--s3_endpoint_url", endpoint] if endpoint else []
        code = versions.main([self.path, "gc", "--keep", "9", *more])
        assert code == 0, capfd.readouterr().err

    def reader(self) -> Reader:
        return Reader(self.path, self.options)

    def content(self) -> dict[str, bytes]:
        """All files by path."""
        paths = files.list_files(self.path, self.options)
        return {os.path.relpath(p, self.path): files.read_file(p, self.options) for p in paths}

    def latest(self) -> str:
        return files.read_file(f"{self.path}/latest", self.options).decode().strip()

    def assert_clean(self, whole: dict[str, str]) -> None:
        """Asserts that there are whole versions, `latest` and the dataset card alone, which both
        name one that is another's equal."""
        content = self.content()
        assert {name.split("/")[0] for name in content} == {"README.md", "latest", "versions"}
        assert card.version_of(content["README.md"]) == self.latest()
        if not self.is_remote:
            assert sorted(os.listdir(self.path)) == ["README.md", "latest", "versions"]
        folder = self.folder / uuid.uuid4().hex
        for name, data in content.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        found = {path.name: Version(path) for path in (folder / "versions").iterdir()}
        for version in found.values():
            version.assert_whole()
        digests = found[self.latest()].digests()
        if self.is_remote:  # where it knows shards by their ETags
            digests["lineage/parts.parquet"] = whole["lineage/parts.parquet"]
        assert digests == whole
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def fork_server() -> Iterator[None]:
    with launcher.server():
        yield


@pytest.fixture(autouse=True)
def _none_outlives_its_test() -> Iterator[None]:
    yield
    launcher.end_all()


@pytest.fixture(scope="session")
def inputs(make_corpus: Callable[[str, int], Path]) -> Iterator[list[str]]:
    """The flags of a build, whose files anybody may read."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        corpus = make_corpus("v7", IMAGES)
        for part in ("annotations", "images"):
            shutil.copytree(corpus / part, Path(folder, part))
        # No class files, which take half a second to read.
        for path in Path(folder, "annotations").glob("*class*"):
            path.unlink()
        yield [
            text for part in ("annotations", "images") for text in (f"--{part}", f"{folder}/{part}")
        ]


@pytest.fixture(scope="session")
def before(inputs: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output with a version of other flags."""
    output = tmp_path_factory.mktemp("before") / "output"
    assert run_build(*inputs, "--format", "parquet", "--output", output).returncode == 0
    return output


@pytest.fixture(scope="session")
def whole(inputs: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The digests of what an undisturbed build publishes."""
    output = tmp_path_factory.mktemp("whole") / "output"
    built = run_build(*inputs, "--output", output)
    assert built.returncode == 0, built.stderr
    return built.version.digests()


@pytest.fixture
def local(before: Path, inputs: list[str], tmp_path: Path, fork_server: None) -> Target:
    output = tmp_path / "output"
    shutil.copytree(before, output)
    return Target(str(output), inputs, files.DEFAULTS, tmp_path)


def in_store(url: str, before: Path, inputs: list[str], folder: Path) -> Target:
    """The same in a store, where all work is done."""
    options = ObjectOptions(s3_endpoint_url=url)
    uri = f"s3://{BUCKET}/{uuid.uuid4().hex}"
    for path in sorted(before.rglob("*")):
        if path.is_file():
            objects.upload(f"{uri}/{path.relative_to(before)}", path, options)
    flags = [*inputs, "--exchange", "engine", "--s3_endpoint_url", url]
    return Target(uri, flags, options, folder)


@pytest.fixture
def s3(
    s3_server: S3Server,
    store_options: ObjectOptions,
    before: Path,
    inputs: list[str],
    tmp_path: Path,
    fork_server: None,
) -> Target:
    s3_server.make_bucket(BUCKET)
    return in_store(s3_server.url, before, inputs, tmp_path)


@pytest.fixture
def target(request: pytest.FixtureRequest) -> Target:
    """By the name of one of the fixtures above."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases in stores have expired at once, for those who come now; clocks tell whole seconds."""
    monkeypatch.setattr(heartbeat, "EXPIRY_SECONDS", -2.0)
