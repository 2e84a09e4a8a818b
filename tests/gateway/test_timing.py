"""A stopwatch's account always adds up."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.timing import Stopwatch, stages_only


class Clock:
    """Moves only when told to."""

    def __init__(self) -> None:
        self.now_s = 5.0

    def __call__(self) -> float:
        return self.now_s


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 100), st.floats(0, 100)), max_size=8))
def test_stages_and_the_rest_sum_to_the_total(steps: list[tuple[str, float, float]]) -> None:
    clock = Clock()
    watch = Stopwatch(clock)
    for name, inside_s, outside_s in steps:
        with watch.stage(name):
            clock.now_s += inside_s
        clock.now_s += outside_s
    report = watch.report()
    assert sum(stages_only(report).values()) == pytest.approx(report["total"], abs=0.01)
    assert min(stages_only(report).values()) >= -0.001


def test_a_callees_own_stages_never_exceed_the_call_and_the_wire_takes_the_rest() -> None:
    clock = Clock()
    watch = Stopwatch(clock)
    inner: dict[str, float] = {}
    with watch.remote("encoder", inner):
        clock.now_s += 0.1
        inner.update(queue=20, decode=30)
    with watch.remote("boasting", inner := {}):
        clock.now_s += 0.01
        inner.update(decode=1000)
    report = watch.report()
    assert (report["encoder_queue"], report["encoder_decode"]) == (20, 30)
    assert report["encoder_wire"] == pytest.approx(50, abs=0.01)
    assert report["boasting_decode"] == pytest.approx(10, abs=0.01)
    assert report["total"] == pytest.approx(110, abs=0.01)


def test_a_stage_that_fails_is_still_measured() -> None:
    clock = Clock()
    watch = Stopwatch(clock)
    with contextlib.suppress(ValueError), watch.stage("decode"):
        clock.now_s += 0.002
        raise ValueError
    assert watch.report()["decode"] == pytest.approx(2)


def test_only_the_first_token_is_marked() -> None:
    clock = Clock()
    watch = Stopwatch(clock)
    clock.now_s += 0.003
    watch.first_token()
    clock.now_s += 1
    watch.first_token()
    assert watch.report()["first_token"] == pytest.approx(3)
