"""Which addresses are refused, and when a request is tried again."""

import pytest

from transforms.sources import addresses
from transforms.storage.retry import Attempts, Retry, seconds_asked


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.255.255.254", "0.0.0.0", "0.1.2.3", "10.1.2.3", "172.16.0.1",
        "172.31.255.255", "192.168.1.1", "169.254.169.254", "100.64.0.1", "100.100.100.200",
        "168.63.129.16", "192.0.0.192", "192.0.2.1", "198.18.0.1", "198.51.100.7", "203.0.113.9",
        "192.88.99.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
        "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254",
        "64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "100::1", "2001::1",
        "2001:db8::1", "2002:7f00:1::", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%2",
        "fec0::1", "ff02::1", "4000::1",
    ],
)  # fmt: skip
def test_special_addresses_are_refused(address: str) -> None:
    assert address in (addresses.refusal(address) or "")


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "142.250.74.36", "2a00:1450:400f:80d::2004", "64:ff9b::8.8.8.8"]
)
def test_public_addresses_are_not_refused(address: str) -> None:
    assert addresses.refusal(address) is None


def test_waits_double_up_to_a_limit_and_stop_at_the_deadline() -> None:
    attempts = Attempts(Retry(retries=6, total_seconds=1000, first_wait=1, longest_wait=8))
    waits = [attempts.wait() for _ in range(7)]
    assert waits.pop() is None
    for wait, bound in zip(waits, [1, 2, 4, 8, 8, 8], strict=True):
        assert wait is not None
        assert 0 <= wait <= bound
    late = Attempts(Retry(retries=6, total_seconds=5, first_wait=1, longest_wait=60))
    assert late.wait(10) is None


def test_retry_after() -> None:
    assert seconds_asked(" 7 ") == 7
    assert seconds_asked("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert (seconds_asked("Wed, 21 Oct 2099 07:28:00 GMT") or 0) > 9e8
    assert [seconds_asked(text) for text in ("", "-1", "soon", "1.5", "٣")] == [None] * 5
