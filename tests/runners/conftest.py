"""A Flink cluster on this machine."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from runners.flink import cluster


@pytest.fixture(scope="module")
def flink(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cluster.Cluster]:
    """A job manager and two task managers of one slot, each a process of its own."""
    started = cluster.up(tmp_path_factory.mktemp("flink"), task_managers=2, slots=1)
    yield started
    cluster.down(cluster.find(Path(started.folder)))
