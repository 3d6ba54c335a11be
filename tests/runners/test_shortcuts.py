"""Shortcuts change how long Beam takes and nothing else."""

import apache_beam as beam
import pytest
from apache_beam.internal import pickler
from apache_beam.runners.worker import statesampler
from apache_beam.transforms import core, userstate
from apache_beam.transforms.userstate import CombiningValueStateSpec
from apache_beam.utils.counters import CounterFactory

from runners import shortcuts

COUNT = beam.DoFn.StateParam(CombiningValueStateSpec("count", sum))


class PlainFn(beam.DoFn):
    def process(self, element, side, other=3):
        yield element, side, other


class CountFn(beam.DoFn):
    def process(self, element, count=COUNT):
        count.add(1)
        yield element


@pytest.mark.parametrize("step", [PlainFn(), CountFn(), beam.Map(print, end="").fn])
def test_steps_have_the_same_arguments(step: beam.DoFn):
    def look() -> tuple:
        arguments = [core.get_function_arguments(step, name) for name in ("process", "setup")]
        return arguments, userstate.get_dofn_specs(step)

    expected = look()
    with shortcuts.taken():
        assert look() == expected
        core.get_function_arguments(step, "process")[0].append("a name of the caller's")
        assert look() == expected


def test_pickles_are_read_back():
    value = {"some": [1, 2.5, None, b"bytes" * 1000]}
    with shortcuts.taken():
        pickled = pickler.dumps(value)
        assert pickler.loads(pickled) == value


def test_other_runners_get_what_beam_writes():
    value = list(range(100))
    before = pickler.dumps(value)
    with shortcuts.taken():
        assert pickler.dumps(value) != before
    assert pickler.dumps(value) == before
    assert pickler.loads(before) == value


def test_beam_looks_more_often_where_a_worker_is():
    def period() -> int:
        return statesampler.StateSampler("stage", CounterFactory()).sampling_period_ms

    usual = period()
    with shortcuts.taken():
        assert 0 < period() < usual
    assert period() == usual
