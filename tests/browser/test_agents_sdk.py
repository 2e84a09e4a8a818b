"""OpenAI's JavaScript SDK in a browser: what needs neighbours that do as they are told."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from services.gateway.live_events import Refused, SpeechFailed
from services.gateway.realtime_events import events
from tests.browser.agents_call import calling, site
from tests.gateway.conftest import House
from tests.gateway.test_realtime_events import every_event

__all__ = ["site"]  # a fixture of theirs
pytestmark = pytest.mark.anyio


def url(house: House) -> str:
    return str(house.http.base_url)


async def test_a_function_is_called_and_its_result_is_answered(
    house: Callable[..., Any], chromium: Any, site: str
) -> None:
    async with house() as here:
        here.llm.call = {"name": "weather", "arguments": '{"city": "Paris"}'}
        async with calling(chromium, site, url(here), tools="weather") as caller:
            await caller.run("caller.type('Is it sunny?')")
            await caller.until("caller.count('response.done') == 2 && caller.history.length == 3")
            asked, called, answered = await caller.run("caller.history")
    assert asked["content"][0]["text"] == "Is it sunny?"
    assert (called["name"], called["output"]) == ("weather", "sunny in Paris")
    assert answered["content"][0]["text"] == "You said: sunny in Paris."


async def test_a_spoken_answer_is_heard_and_interrupted(house: Callable[..., Any], chromium: Any, site: str) -> None:
    async with (
        house(speech="espeak-ng", speech_lead_s=30) as here,
        calling(chromium, site, url(here), modality="audio") as caller,
    ):
        await caller.run("caller.type('a long story '.repeat(10))")
        await caller.until("caller.count('response.done')")
        seconds = await caller.run("caller.heard") / 48_000
        answer = (await caller.run("caller.history"))[-1]["content"][0]
        await caller.run("caller.interrupt()")
        await caller.until("caller.count('conversation.item.truncated')")
        await caller.run("caller.type('And then?')")
        await caller.until("caller.count('response.done') == 2")
        said = [m["content"] for m in here.llm.requests[-1]["messages"] if m["role"] == "assistant"]
    assert (answer["type"], answer["transcript"]) == ("output_audio", f"You said: {'a long story ' * 10}.")
    assert 5 < seconds < 30
    assert all(len(text) < len(answer["transcript"]) for text in said)


async def test_every_event_of_the_gateway_is_one_that_the_sdk_reads(chromium: Any, site: str) -> None:
    made = [event for told in every_event() if not isinstance(told, Refused | SpeechFailed) for event in events(told)]
    made.append({"type": "response.done", "response": {"id": "last"}})

    def server(socket: Any) -> None:
        def answer(_: str) -> None:
            for number, event in enumerate(made):
                socket.send(json.dumps(event | {"event_id": f"event_{number}"}))
            made.clear()

        socket.on_message(answer)

    async with calling(chromium, site, "http://gateway.example", tools="weather", server=server) as caller:
        await caller.until("caller.events.at(-1)?.response?.id == 'last'")
