"""bench/live.py measures what it says, against neighbours that answer at once."""

from collections.abc import Callable
from typing import Any

import pytest

from bench.live import SYSTEMS, Series, Spoken, converse, report, spoken_turns
from tests.gateway.conftest import hum

pytestmark = pytest.mark.anyio
SECOND = 32_000  # bytes


async def test_a_turn_is_measured_from_the_end_of_its_speech(spoken: Callable[..., Any]) -> None:
    turn = Spoken(hum(50).tobytes() + bytes(3 * SECOND), 0.5)
    async with spoken() as house:
        url = str(house.http.base_url)
        found = {name: await converse(url, SYSTEMS[name], [turn], 8) for name in ("eager", "sequential")}
    assert [one.n_eager for one in found.values()] == [1, 0]
    for one in found.values():
        assert one.first_text_ms[0] >= 500
        assert one.n_false_ends == 0
    assert found["eager"].counted["promoted"] == 1
    assert found["sequential"].counted["promoted"] == 0


async def test_an_answer_into_a_pause_is_a_false_end(spoken: Callable[..., Any]) -> None:
    quiet = bytes(SECOND)
    turn = Spoken(hum(50).tobytes() + quiet + hum(50).tobytes() + 3 * quiet, 2.0)
    async with spoken() as house:
        found = await converse(str(house.http.base_url), SYSTEMS["eager"], [turn], 8)
    assert found.n_false_ends == 1
    assert len(found.first_text_ms) == 1


def test_the_ways_are_compared_by_their_medians() -> None:
    stages = [{"pause": 500.0, "wait": 10.0}] * 3
    counted = {"wasted_tokens": 10.0, "wasted": 1.0, "promoted": 3.0, "completion_tokens": 30.0}
    first_text_ms = {"eager": 519.0, "sequential": 799.0, "adaptive": 319.0}
    series = {name: Series([ms, ms + 1, ms + 2], stages, 3, 0, counted) for name, ms in first_text_ms.items()}
    figures = report(series, 3)
    assert figures["eager_over_pause_ms"] == 20
    assert figures["eager_to_sequential"] == 0.65
    assert figures["adaptive"]["wasted_tokens"] == 0.25


def test_silence_follows_where_a_turn_says_that_it_ends() -> None:
    turns = spoken_turns(6, seed=1)
    assert len(turns) == 6
    assert all(1 < turn.end_s < len(turn.pcm16) / SECOND - 3 for turn in turns)
