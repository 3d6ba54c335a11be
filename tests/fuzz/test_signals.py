"""A few of the signals of `make fuzz`."""

from tests.fuzz import signals

#: With which workers come to be killed, and a single one interrupted, early and late.
SEEDS = range(300, 312)


def test_builds_end_after_a_signal():
    with signals.setting() as where:
        outcomes, findings = signals.run(SEEDS, where)
    assert findings == []
    # Where the machine is busy, more signals come when a build is over.
    assert outcomes["interrupted"] > 2
