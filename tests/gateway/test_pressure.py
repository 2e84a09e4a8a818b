"""When the house is too busy for work that may be in vain."""

import pytest

from services.contracts.errors import Overloaded, Unavailable
from services.gateway.outbox import SlowReader
from services.gateway.pressure import REFUSED_S, Pressure


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_pressure_is_high_while_so_many_answers_are_made(clock: Clock) -> None:
    pressure = Pressure(2, clock)
    with pressure.generating():
        assert not pressure.is_high
        with pressure.generating():
            assert pressure.is_high
        assert not pressure.is_high


def test_a_refusal_is_remembered_for_a_while(clock: Clock) -> None:
    pressure = Pressure(2, clock)
    with pytest.raises(Overloaded), pressure.noticed():
        raise Overloaded("full")
    assert pressure.is_high
    clock.now_s += REFUSED_S
    assert not pressure.is_high


def test_other_failures_are_no_pressure(clock: Clock) -> None:
    pressure = Pressure(2, clock)
    with pytest.raises(Unavailable), pressure.generating():
        raise Unavailable("away")
    assert not pressure.is_high


def test_a_client_that_does_not_read_is_no_pressure(clock: Clock) -> None:
    pressure = Pressure(2, clock)
    with pytest.raises(SlowReader), pressure.generating():
        raise SlowReader("20 messages wait")
    assert not pressure.is_high


def test_with_no_answer_allowed_it_is_always_high(clock: Clock) -> None:
    assert Pressure(0, clock).is_high
