"""bench/turn.py measures what it says, against neighbours that answer at once."""

import argparse
import json

import pytest

from bench.turn import Addresses, Series, measure, report

pytestmark = pytest.mark.anyio


async def test_both_ways_give_the_same_reply_and_the_figures_are_written(house, recording, tmp_path, capsys) -> None:
    audio, out = tmp_path / "a.wav", tmp_path / "out" / "turn.json"
    audio.write_bytes(recording(70))
    chosen = argparse.Namespace(audio=audio, out=out, rounds=3, warm_up=1, max_tokens=8)
    async with house() as here:
        await measure(Addresses(str(here.http.base_url), f"127.0.0.1:{here.encoder.port}", here.llm.url), chosen)
    figures = json.loads(out.read_text())
    assert figures["same_reply"] is True
    assert figures["rounds"] == 3
    assert figures["first_token_ms"]["chat"] <= figures["total_ms"]["chat"]
    assert "overhead" in capsys.readouterr().out
    first, second = (request["messages"] for request in here.llm.requests[:2])
    assert first == second  # the same prompt both ways


async def test_the_overhead_is_the_median_of_the_rounds_own_differences() -> None:
    direct = Series(first_token_ms=[1, 10, 100], total_ms=[2, 20, 200], reply="a")
    chat = Series(first_token_ms=[2, 12, 103], total_ms=[3, 25, 210], stages_ms=[{"decode": 1.0}] * 3, reply="a")
    figures = report(direct, chat)
    assert figures["total_ms"]["overhead"] == 5
    assert figures["first_token_ms"]["overhead"] == 2
