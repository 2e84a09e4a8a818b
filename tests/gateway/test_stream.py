"""WS /v1/stream with a plain WebSocket client, and with hands that do wrong."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from urllib.parse import urlencode

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, ConnectionClosedOK, InvalidStatus

from services.contracts.errors import NotFound
from services.gateway.app import SPARE_CONNECTIONS
from services.gateway.formats import HEARD, Converter, Format
from tests.gateway.conftest import PATIENCE_S, House, hum

pytestmark = pytest.mark.anyio
Event = dict[str, Any]


def speech(ms: int) -> bytes:
    return hum(ms // 10).tobytes()


def silence(ms: int) -> bytes:
    return bytes(2 * 16 * ms)


@asynccontextmanager
async def called(house: House, **options: Any) -> AsyncIterator[ClientConnection]:
    url = f"{house.http.base_url}/v1/stream?{urlencode(options)}".replace("http://", "ws://")
    async with connect(url) as line:
        assert (await received(line))["type"] == "ready"
        yield line


async def received(line: ClientConnection) -> Event:
    async with asyncio.timeout(PATIENCE_S):
        return json.loads(await line.recv())


async def until(line: ClientConnection, kind: str) -> list[Event]:
    """All events up to the next of a kind."""
    seen = [await received(line)]
    while seen[-1]["type"] != kind:
        seen.append(await received(line))
    return seen


async def ended(line: ClientConnection) -> list[Event]:
    """All events to the end of the connection, which must be a good one."""
    seen: list[Event] = []
    try:
        while True:
            seen.append(await received(line))
    except ConnectionClosedOK:
        return seen


async def send(line: ClientConnection, kind: str, **content: Any) -> None:
    await line.send(json.dumps({"type": kind, **content}))


def kinds(events: list[Event]) -> list[str]:
    return [event["type"] for event in events]


async def test_a_plain_client_speaks_and_is_answered(spoken: Callable[..., Any]) -> None:
    async with spoken(partial_ms=0) as house, called(house) as line:
        await line.send(speech(960) + silence(320))
        seen = await until(line, "eager")
        await line.send(silence(1500))
        seen += await until(line, "done")
    assert kinds(seen) == ["speech_started", "eager", "speech_stopped", "transcript", "delta", "delta", "done"]
    transcript, done = seen[3], seen[-1]
    assert (transcript["prosody"], transcript["role"], transcript["final"]) == ("on", "user", True)
    assert {event["item_id"] for event in seen[:4]} == {transcript["item_id"]}
    assert done["reply"] == "".join(event["text"] for event in seen if event["type"] == "delta")
    assert done["reply"] == f"You said: {transcript['text']}."
    assert (done["status"], done["reason"], done["prosody"], done["eager"]) == ("completed", "stop", "on", True)
    assert done["usage"]["total_tokens"] == 25
    stages = [done["timing_ms"][name] for name in ("pause", "wait", "generate")]
    assert done["timing_ms"]["total"] == pytest.approx(sum(stages), abs=0.2)


@pytest.mark.parametrize(
    ("options", "form"),
    [
        ({"rate": 8000}, Format("pcm", 8000)),
        ({"rate": 24_000}, Format("pcm", 24_000)),
        ({"sample_rate": 48_000}, Format("pcm", 48_000)),
        ({"coding": "pcmu"}, Format("pcmu", 8000)),
        ({"coding": "pcma", "rate": 8000}, Format("pcma", 8000)),
    ],
    ids=str,
)
async def test_sound_in_any_format_is_heard_at_its_own_length(
    spoken: Callable[..., Any], options: Event, form: Format
) -> None:
    converter = Converter(HEARD, form)
    sound = converter.convert(speech(1000)) + converter.flush()
    async with spoken() as house, called(house, detection="none", **options) as line:
        for start in range(0, len(sound), 160):
            await line.send(sound[start : start + 160])
        await send(line, "commit")
        transcript = (await until(line, "transcript"))[-1]
    assert transcript["text"] in ("number 99", "number 100")  # the filter may take a step


async def test_the_ready_message_says_what_is_heard(spoken: Callable[..., Any]) -> None:
    async with spoken() as house:
        url = f"{house.http.base_url}/v1/stream?coding=pcmu&prosody=off".replace("http://", "ws://")
        async with connect(url) as line:
            ready = await received(line)
    assert ready["input"] == {"coding": "pcmu", "rate": 8000, "bytes": 0}
    assert (ready["output"], ready["prosody"], ready["detection"]) == (None, "off", "adaptive")
    assert ready["session_id"].startswith("s_")


async def test_options_reach_the_llm(spoken: Callable[..., Any]) -> None:
    options = {"instructions": "Be brief.", "max_tokens": 7, "temperature": 0, "prosody": "off"}
    async with spoken() as house, called(house, **options) as line:
        await line.send(speech(960) + silence(2000))
        seen = await until(line, "done")
        (request,) = house.llm.requests
    assert next(event for event in seen if event["type"] == "transcript")["prosody"] == "off"
    assert seen[-1]["prosody"] == "off"
    assert request["messages"][0] == {"role": "system", "content": "Be brief."}
    assert (request["max_tokens"], request["temperature"]) == (7, 0)
    assert isinstance(request["messages"][1]["content"], str)


async def test_the_house_s_instructions_are_those_of_who_brings_none(spoken: Callable[..., Any]) -> None:
    async with spoken(instructions="Be kind.") as house, called(house) as line:
        await send(line, "text", text="Hello")
        await until(line, "done")
        assert house.llm.requests[0]["messages"][0]["content"] == "Be kind."


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"rate": 44_100}, "rate"),
        ({"rate": "fast"}, "rate"),
        ({"coding": "opus"}, "coding"),
        ({"coding": "pcmu", "rate": 16_000}, "rate"),
        ({"prosody": "loud"}, "prosody"),
        ({"detection": "psychic"}, "detection"),
        ({"pause_ms": 500}, "pause_ms"),
        ({"detection": "fixed", "pause_ms": 1}, "pause_ms"),
        ({"max_tokens": 10**6}, "max_tokens"),
        ({"temperature": "nan"}, "temperature"),
        ({"instructions": "x" * 8001}, "instructions"),
        ({"voice": "alloy"}, "voice"),
        ({"speech": "on"}, "speech"),
        ({"speech": "loud"}, "speech"),
        ({"speech_rate": 1}, "speech_rate"),
    ],
)
async def test_a_bad_option_is_refused_before_the_upgrade(
    spoken: Callable[..., Any], options: Event, param: str
) -> None:
    async with spoken() as house:
        with pytest.raises(InvalidStatus) as refused:
            async with called(house, **options):
                pass
    response = refused.value.response
    error = json.loads(response.body)["error"]
    assert (response.status_code, error["type"], error["param"]) == (400, "invalid_request_error", param)
    assert param in error["message"]


async def test_a_full_house_refuses_before_the_upgrade(spoken: Callable[..., Any]) -> None:
    async with spoken(max_live=1) as house, called(house):
        with pytest.raises(InvalidStatus) as refused:
            async with called(house):
                pass
    assert refused.value.response.status_code == 429
    assert refused.value.response.headers["Retry-After"]


async def test_a_first_message_goes_before_the_query(spoken: Callable[..., Any]) -> None:
    async with spoken() as house, called(house, rate=8000, instructions="Query.") as line:
        await send(line, "start", sample_rate=16_000, detection="none")
        ready = await received(line)
        assert (ready["type"], ready["input"]["rate"], ready["detection"]) == ("ready", 16_000, "none")
        await line.send(speech(500))
        await send(line, "commit")
        seen = await until(line, "done")
        assert house.llm.requests[0]["messages"][0]["content"] == "Query."
    assert seen[0]["text"] == "number 50"


@pytest.mark.parametrize(
    ("content", "param"), [({"rate": 1}, "rate"), ({"voice": "x"}, "voice"), ({"coding": "pcmu"}, "rate")]
)
async def test_a_bad_first_message_is_told_and_changes_nothing(
    spoken: Callable[..., Any], content: Event, param: str
) -> None:
    async with spoken() as house, called(house, rate=16_000) as line:
        await send(line, "start", **content)
        told = await received(line)
        assert (told["type"], told["error"]["code"], told["error"]["param"]) == ("error", "invalid_value", param)
        await line.send(speech(960) + silence(2000))
        assert (await until(line, "done"))[-1]["status"] == "completed"


async def test_after_a_bad_first_message_a_good_one_may_follow(spoken: Callable[..., Any]) -> None:
    async with spoken() as house, called(house) as line:
        await send(line, "start", rate=1)
        assert (await received(line))["error"]["param"] == "rate"
        await send(line, "start", rate=8000)
        assert (await received(line))["input"]["rate"] == 8000
        await send(line, "start")
        assert (await received(line))["error"]["code"] == "already_started"


@pytest.mark.parametrize(
    ("message", "code", "param"),
    [
        ("{", "invalid_json", None),
        ("[]", "invalid_event", "type"),
        ('{"type": "nonsense"}', "invalid_value", "type"),
        ('{"type": "text"}', "invalid_value", "text"),
        ('{"type": "text", "text": " "}', "invalid_value", "text"),
        ('{"type": "start"}', "already_started", "type"),
        ('{"type": "commit"}', "input_audio_buffer_commit_empty", None),
        ('{"type": "cancel"}', "response_cancel_not_active", None),
        (b"\x01\x02\x03", "invalid_audio", None),
    ],
)
async def test_what_is_wrong_is_told_and_the_session_goes_on(
    spoken: Callable[..., Any], message: str | bytes, code: str, param: str | None
) -> None:
    async with spoken() as house, called(house) as line:
        await send(line, "clear")
        await line.send(message)
        cleared, told = await received(line), await received(line)
        assert cleared["type"] == "cleared"
        assert (told["type"], told["error"]["code"], told["error"]["param"]) == ("error", code, param)
        await send(line, "clear")
        assert (await received(line))["type"] == "cleared"


async def test_half_a_sample_shifts_nothing_of_what_follows(spoken: Callable[..., Any]) -> None:
    async with spoken() as house, called(house, detection="none") as line:
        await line.send(b"\x01")
        assert (await received(line))["error"]["code"] == "invalid_audio"
        await line.send(speech(500))
        await send(line, "commit")
        await until(line, "transcript")
        assert house.encoder.requests[0].pcm16 == speech(500)


async def test_what_a_client_commits_is_answered_and_silence_is_not(spoken: Callable[..., Any]) -> None:
    async with spoken() as house, called(house, detection="none") as line:
        await line.send(silence(500))
        await send(line, "commit")
        assert (await received(line))["text"] == ""
        await line.send(speech(500))
        await send(line, "commit")
        seen = await until(line, "done")
        assert len(house.llm.requests) == 1
        metrics = (await house.http.get("/metrics")).text
        assert 'textpro_no_speech_total{reason="silence",service="gateway"} 1.0' in metrics
        assert 'textpro_turns_total{outcome="no_speech",service="gateway"} 1.0' in metrics
    assert kinds(seen) == ["transcript", "delta", "delta", "done"]


async def test_what_was_cleared_is_not_heard(spoken: Callable[..., Any]) -> None:
    async with spoken() as house, called(house, detection="none") as line:
        await line.send(speech(500))
        await send(line, "clear")
        assert (await received(line))["type"] == "cleared"
        await line.send(speech(300))
        await send(line, "commit")
        assert (await until(line, "transcript"))[-1]["text"] == "number 30"


async def test_a_fixed_pause_ends_an_utterance_and_a_shorter_one_does_not(spoken: Callable[..., Any]) -> None:
    async with spoken() as house, called(house, detection="fixed", pause_ms=1000) as line:
        await line.send(speech(640) + silence(800) + speech(640) + silence(1500))
        seen = await until(line, "done")
    assert kinds(seen).count("transcript") == 1


async def test_speech_over_an_answer_clears_it_and_ends_it_once(spoken: Callable[..., Any]) -> None:
    async with spoken() as house, called(house) as line:
        house.llm.gate.clear()
        await line.send(speech(960) + silence(2000))
        await until(line, "delta")
        await line.send(speech(320))
        seen = await until(line, "speech_started")
        async with asyncio.timeout(PATIENCE_S):
            await house.llm.aborted.wait()
    assert kinds(seen) == ["clear", "done", "speech_started"]
    assert (seen[1]["status"], seen[1]["reason"], seen[1]["reply"]) == ("cancelled", "turn_detected", "You said: ")
    assert seen[0]["response_id"] == seen[1]["response_id"]


async def test_who_does_not_want_to_be_interrupted_is_not(spoken: Callable[..., Any]) -> None:
    async with spoken() as house, called(house, interrupt="off") as line:
        house.llm.gate.clear()
        await line.send(speech(960) + silence(2000))
        await until(line, "delta")
        await line.send(speech(320))
        await until(line, "speech_started")
        house.llm.gate.set()
        assert (await until(line, "done"))[-1]["status"] == "completed"


async def test_a_client_cancels_an_answer(spoken: Callable[..., Any]) -> None:
    async with spoken() as house, called(house) as line:
        house.llm.gate.clear()
        await send(line, "text", text="Hello")
        await until(line, "delta")
        await send(line, "cancel")
        seen = await until(line, "done")
    assert kinds(seen) == ["clear", "done"]
    assert seen[-1]["reason"] == "client_cancelled"


async def test_typed_words_are_answered_and_end_the_answer_before(spoken: Callable[..., Any]) -> None:
    async with spoken() as house, called(house) as line:
        house.llm.gate.clear()
        await send(line, "text", text="Hello")
        await until(line, "delta")
        house.llm.gate.set()
        await send(line, "text", text=" And you? ")
        first, second = (await until(line, "done"))[-1], (await until(line, "done"))[-1]
    assert first["status"] == "cancelled"
    assert second["reply"] == "You said: And you?."


async def test_more_speech_takes_an_eager_answer_back(spoken: Callable[..., Any]) -> None:
    async with spoken() as house, called(house) as line:
        await line.send(speech(960) + silence(320))
        eager = (await until(line, "eager"))[-1]
        await line.send(speech(320))
        resumed = (await until(line, "resumed"))[-1]
    assert resumed["item_id"] == eager["item_id"]


async def test_after_stop_what_was_said_is_answered_and_the_connection_ends(spoken: Callable[..., Any]) -> None:
    async with spoken(partial_ms=0) as house, called(house) as line:
        house.encoder.gate.clear()
        await line.send(speech(960))
        await send(line, "stop")
        await line.send(speech(960))
        await send(line, "text", text="Hello?")
        seen = await until(line, "error")
        house.encoder.gate.set()
        seen += await ended(line)
        assert len(house.encoder.requests) == 1
    refused = [event for event in seen if event["type"] == "error"]
    assert [event["error"]["code"] for event in refused] == ["stopped"]
    assert seen[-1]["type"] == "done"
    assert seen[-1]["reply"].startswith("You said: number ")


async def test_stop_ends_a_session_in_which_nothing_was_said(spoken: Callable[..., Any]) -> None:
    async with spoken() as house, called(house, detection="none") as line:
        await send(line, "stop")
        assert await ended(line) == []


async def test_words_that_are_lost_are_a_turn_that_failed(spoken: Callable[..., Any]) -> None:
    async with spoken() as house, called(house, detection="none") as line:
        house.encoder.error = NotFound("gone")
        await line.send(speech(500))
        await send(line, "commit")
        await until(line, "error")
        metrics = (await house.http.get("/metrics")).text
    assert 'textpro_turns_total{outcome="failed",service="gateway"} 1.0' in metrics


async def test_all_conversations_may_be_answered_at_once_and_the_llm_is_still_looked_for(
    spoken: Callable[..., Any],
) -> None:
    n_lines = SPARE_CONNECTIONS + 2
    async with spoken(max_turns=1, max_live=n_lines) as house, AsyncExitStack() as held:
        house.llm.gate.clear()
        for _ in range(n_lines):
            await send(await held.enter_async_context(called(house)), "text", text="Hello")
        async with asyncio.timeout(PATIENCE_S):
            for _ in range(n_lines):
                await house.llm.waiting.acquire()
        assert (await house.http.get("/readyz")).status_code == 200


async def test_cancel_ends_what_stop_waits_for(spoken: Callable[..., Any]) -> None:
    async with spoken() as house, called(house) as line:
        house.llm.gate.clear()
        await send(line, "text", text="Hello")
        await until(line, "delta")
        await send(line, "stop")
        await send(line, "cancel")
        assert kinds(await ended(line)) == ["clear", "done"]


async def test_what_fails_is_told_where_it_belongs(spoken: Callable[..., Any]) -> None:
    async with spoken() as house, called(house) as line:
        house.encoder.error = NotFound("gone")
        await line.send(speech(960) + silence(2000))
        lost = (await until(line, "error"))[-1]
        assert lost["item_id"].startswith("item_")
        house.encoder.error = None
        house.llm.refusal = (500, {"message": "broken"}, {})
        await send(line, "text", text="Hello")
        done = (await until(line, "done"))[-1]
    assert done["status"] == "failed"
    assert done["error"]["code"] == "unavailable"


async def test_who_hangs_up_ends_the_generation(spoken: Callable[..., Any]) -> None:
    async with spoken() as house:
        house.llm.gate.clear()
        async with called(house) as line:
            await send(line, "text", text="Hello")
            await until(line, "delta")
        async with asyncio.timeout(PATIENCE_S):
            await house.llm.aborted.wait()


async def test_a_message_without_end_is_not_taken(spoken: Callable[..., Any]) -> None:
    async with spoken(max_message_bytes=2**20) as house, called(house) as line:
        await line.send(bytes(2**21))
        with pytest.raises(ConnectionClosed) as broken:
            await received(line)
    assert broken.value.rcvd is not None
    assert broken.value.rcvd.code == 1009
