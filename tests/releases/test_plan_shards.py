"""When all buckets are built the exchange goes, unless the folder is another build's by now."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from transforms.releases import lease
from transforms.releases.publish import PlanShardsFn
from transforms.storage.files import DEFAULTS


@pytest.fixture
def exchange(tmp_path: Path) -> Path:
    """A build's, with a file in it."""
    exchange = tmp_path / "work" / "exchange"
    exchange.mkdir(parents=True)
    (exchange / "some.arrow").write_bytes(b"ARROW1")
    return exchange


def plan(exchange: Path, token: str | None = None) -> list:
    publication = SimpleNamespace(
        output=str(exchange.parent.parent),
        object_options=DEFAULTS,
        lease=token,
        shard_size=1,
        num_shards=None,
    )
    return list(PlanShardsFn(publication, str(exchange)).process(b"", []))


def test_it_goes(exchange: Path):
    for _ in range(2):  # retried
        assert plan(exchange) == []
        assert not exchange.exists()


def test_it_stays_where_the_lease_is_lost(exchange: Path):
    with pytest.raises(lease.LostLeaseError):
        plan(exchange, "its own")
    assert [path.name for path in exchange.iterdir()] == ["some.arrow"]
