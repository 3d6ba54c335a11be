"""When all buckets are built the exchange goes, unless the folder is another build's by now."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from transforms.releases import lease
from transforms.releases.publish import PlanShardsFn
from transforms.storage.files import DEFAULTS


@pytest.fixture
def config(tmp_path: Path) -> SimpleNamespace:
    """A build's, with a file in its exchange."""
    exchange = tmp_path / "work" / "exchange"
    exchange.mkdir(parents=True)
    (exchange / "some.arrow").write_bytes(b"ARROW1")
    return SimpleNamespace(
        exchange="files",
        exchange_folder=str(exchange),
        output=str(tmp_path),
        object_options=DEFAULTS,
        lease=None,
        shard_size=1,
        num_shards=None,
    )


def test_it_goes(config: SimpleNamespace):
    for _ in range(2):  # retried
        assert list(PlanShardsFn(config).process(b"", [])) == []
        assert not Path(config.exchange_folder).exists()


def test_it_stays_where_the_lease_is_lost(config: SimpleNamespace):
    config.lease = "its own"
    with pytest.raises(lease.LostLeaseError):
        list(PlanShardsFn(config).process(b"", []))
    assert [path.name for path in Path(config.exchange_folder).iterdir()] == ["some.arrow"]
