"""A client whose connection was lost goes on where it was: at the same gateway, or at another one of the same Redis."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from redis.asyncio import Redis
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.gateway.caller import Caller, called, realtime_url
from tests.gateway.conftest import House, OwnRedis

pytestmark = pytest.mark.anyio


async def test_what_was_missed_is_sent_again_and_nothing_twice(spoken: Callable[..., Any]) -> None:
    async with spoken() as house, called(house.url) as caller:
        house.llm.gate.clear()
        await caller.speak(960)
        await caller.silence(1000)
        await caller.until("response.output_text.delta")
        await caller.hang_up()
        house.llm.gate.set()
        resumed = await caller.come_back(house.url)
        assert resumed["input_audio_bytes"] == len(caller.sent)
        if "response.done" not in {event["type"] for event in caller.seen}:
            await caller.until("response.done")
    (text,) = caller.texts()
    assert text.startswith("You said: number")
    assert caller.numbers() == list(range(1, len(caller.seen) + 1))


async def test_the_conversation_goes_on(spoken: Callable[..., Any]) -> None:
    async with spoken() as house, called(house.url) as caller:
        for _ in range(3):
            await caller.speak(960)
            await caller.silence(1000)
            await caller.until("response.done")
            await caller.hang_up()
            await caller.come_back(house.url)
        assert len(house.llm.requests[-1]["messages"]) == 5
    assert len(caller.texts()) == 3


async def test_a_later_connection_takes_the_call_and_the_earlier_is_told(spoken: Callable[..., Any]) -> None:
    async with spoken() as house, called(house.url) as caller:
        first = caller.connection
        await caller.come_back(house.url)
        with pytest.raises(ConnectionClosed) as closed:
            await first.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008
        await caller.send("input_audio_buffer.clear")
        await caller.until("input_audio_buffer.cleared")


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ({"resume_token": "unknown", "last_event_seq": 1}, 404, "call_not_found"),
        ({"last_event_seq": 999}, 404, "resume_gap"),
        ({"last_event_seq": ""}, 400, "invalid_value"),
        ({"last_event_seq": "-1"}, 400, "invalid_value"),
    ],
)
async def test_what_can_t_be_resumed_is_refused(
    spoken: Callable[..., Any], query: dict[str, Any], status: int, code: str
) -> None:
    async with spoken() as house, called(house.url) as caller:
        assert await _refusal(house, **{"resume_token": caller.token, **query}) == (status, code)


async def test_another_gateway_goes_on_with_an_answer_that_broke_off(
    spoken: Callable[..., Any], redis_url: str
) -> None:
    async with spoken(redis_url) as first, spoken(redis_url) as second, called(first.url) as caller:
        first.llm.gate.clear()
        await caller.speak(960)
        await caller.silence(1000)
        await caller.until("response.output_text.delta")
        await caller.hang_up()
        await caller.come_back(second.url)
        broken = await caller.until("response.done")
        assert broken["response"]["status"] == "failed"
        assert (await caller.until("conversation.item.deleted"))["item_id"] == broken["response"]["output"][0]["id"]
        assert (await caller.until("response.done"))["response"]["status"] == "completed"
        (asked,) = second.llm.requests
        assert [message["role"] for message in asked["messages"]] == ["user"]
        assert asked["messages"][0]["content"][0]["type"] == "prosody"
    assert len(caller.texts()) == 1
    assert caller.numbers() == list(range(1, len(caller.seen) + 1))


async def test_another_gateway_hears_what_the_first_had_not_understood(
    spoken: Callable[..., Any], redis_url: str
) -> None:
    async with spoken(redis_url) as first, spoken(redis_url) as second, called(first.url) as caller:
        await caller.silence(2000)
        await caller.speak(960)
        await caller.until("input_audio_buffer.speech_started")
        await caller.hang_up()
        resumed = await caller.come_back(second.url)
        kept = resumed["input_audio_bytes"]
        assert 32 * 1600 <= kept <= 32 * 2000
        await caller.until("input_audio_buffer.cleared")
        await caller.sound(caller.sent[kept:])
        await caller.silence(1000)
        said = await caller.until("conversation.item.input_audio_transcription.completed")
        assert int(said["transcript"].split()[1]) >= 96
        await caller.until("response.done")
    assert len(caller.texts()) == 1


async def test_a_gateway_that_lost_a_call_has_no_more_say_in_it(spoken: Callable[..., Any], redis_url: str) -> None:
    async with spoken(redis_url) as first, spoken(redis_url) as second, called(first.url) as caller:
        stale = caller.connection
        await caller.come_back(second.url)
        await stale.send(json.dumps({"type": "input_audio_buffer.clear"}))
        with pytest.raises(ConnectionClosed) as closed:
            await stale.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008
        await caller.send("input_audio_buffer.clear")
        await caller.until("input_audio_buffer.cleared")
    assert caller.numbers() == list(range(1, len(caller.seen) + 1))


async def test_without_redis_a_call_goes_on_here_alone(spoken: Callable[..., Any], own_redis: OwnRedis) -> None:
    async with spoken(own_redis.url) as house, called(house.url) as caller:
        own_redis.stop()
        await caller.speak(960)
        await caller.silence(1000)
        await caller.until("response.done")
        await caller.hang_up()
        await caller.come_back(house.url)
    assert len(caller.texts()) == 1


async def test_a_call_that_redis_forgets_goes_on_here_alone(spoken: Callable[..., Any], own_redis: OwnRedis) -> None:
    async with spoken(own_redis.url) as house, called(house.url) as caller:
        async with Redis.from_url(own_redis.url) as redis:
            await redis.flushall()
        await caller.speak(960)
        await caller.silence(1000)
        await caller.until("response.done")
        await caller.hang_up()
        await caller.come_back(house.url)
    assert len(caller.texts()) == 1


async def test_who_says_goodbye_is_not_waited_for(spoken: Callable[..., Any]) -> None:
    async with spoken() as house, called(house.url) as caller:
        await caller.connection.close()
        await _is_gone(house, caller)


async def test_who_does_not_come_back_is_given_up(spoken: Callable[..., Any]) -> None:
    async with spoken(resume_s=0.05) as house, called(house.url) as caller:
        await caller.hang_up()
        await _is_gone(house, caller)


async def _is_gone(house: House, caller: Caller) -> None:
    async def is_gone() -> bool:
        return await _refusal(house, resume_token=caller.token, last_event_seq=999) == (404, "call_not_found")

    await house.until(is_gone)


async def _refusal(house: House, **query: Any) -> tuple[int, str]:
    with pytest.raises(InvalidStatus) as refused:
        async with connect(realtime_url(house.url, **query)):
            pass
    response = refused.value.response
    return response.status_code, json.loads(response.body)["error"]["code"]
