"""WS /v1/realtime with OpenAI's own Python client, unmodified, and with hands that do wrong."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
from openai import AsyncOpenAI
from openai.resources.realtime.realtime import AsyncRealtimeConnection
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from services.contracts import encoder_pb2
from tests.gateway.conftest import PATIENCE_S, House, hum

pytestmark = pytest.mark.anyio
RATE = 24_000
HELLO: Any = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello"}]}


def base64_of(samples: np.ndarray) -> str:
    return base64.b64encode(samples.astype("<i2").tobytes()).decode()


def speech(ms: int) -> str:
    return base64_of(np.resize(hum(100), RATE * ms // 1000))


def silence(ms: int) -> str:
    return base64_of(np.zeros(RATE * ms // 1000))


@asynccontextmanager
async def called(house: House, **session: Any) -> AsyncIterator[AsyncRealtimeConnection]:
    client = AsyncOpenAI(api_key="none", base_url=f"{house.http.base_url}/v1", max_retries=0)
    async with client.realtime.connect(model="textpro") as connection:
        assert (await connection.recv()).type == "session.created"
        if session:
            await connection.session.update(session={"type": "realtime", **session})
            assert (await connection.recv()).type == "session.updated"
        yield connection


async def until(connection: AsyncRealtimeConnection, kind: str) -> list[Any]:
    """All events up to the next of a kind."""
    seen: list[Any] = []
    async with asyncio.timeout(PATIENCE_S):
        async for event in connection:
            seen.append(event)
            if event.type == kind:
                return seen
    raise AssertionError(f"the connection ended before {kind}")


@asynccontextmanager
async def raw(house: House, **options: Any) -> AsyncIterator[ClientConnection]:
    url = f"{house.http.base_url}/v1/realtime".replace("http://", "ws://")
    async with connect(url, **options) as connection:
        assert json.loads(await connection.recv())["type"] == "session.created"
        yield connection


async def event(connection: ClientConnection, kind: str) -> dict[str, Any]:
    """The next of a kind."""
    async with asyncio.timeout(PATIENCE_S):
        while (told := json.loads(await connection.recv()))["type"] != kind:
            continue
    return told


async def _without_end(connection: ClientConnection) -> None:
    while True:
        await connection.send('{"type": "nonsense"}')


async def test_a_stock_client_speaks_and_is_answered(spoken: Callable[..., Any]) -> None:
    async with spoken() as house, called(house, audio={"input": {"turn_detection": {"type": "server_vad"}}}) as line:
        await line.input_audio_buffer.append(audio=speech(960))
        await line.input_audio_buffer.append(audio=silence(1500))
        seen = await until(line, "response.done")
    kinds = [event.type for event in seen]
    order = ["input_audio_buffer.speech_started", "input_audio_buffer.speech_stopped", "input_audio_buffer.committed"]
    assert [kind for kind in kinds if kind in order] == order
    (transcript,) = [e.transcript for e in seen if e.type.endswith("transcription.completed")]
    text = "".join(event.delta for event in seen if event.type == "response.output_text.delta")
    assert text == f"You said: {transcript}."
    assert seen[-1].response.status == "completed"
    assert seen[-1].response.usage.total_tokens == 25


async def test_a_stock_client_commits_by_hand(spoken: Callable[..., Any]) -> None:
    async with spoken() as house, called(house, audio={"input": {"turn_detection": None}}) as line:
        await line.input_audio_buffer.append(audio=speech(500))
        await line.input_audio_buffer.commit()
        await line.response.create()
        seen = await until(line, "response.done")
    assert seen[-1].response.output[0].content[0].text == "You said: number 50."


async def test_a_stock_client_types(spoken: Callable[..., Any]) -> None:
    async with spoken() as house, called(house) as line:
        await line.conversation.item.create(item=HELLO)
        await line.session.update(session={"type": "realtime", "max_output_tokens": 7})
        await line.response.create(response={"instructions": "Be brief."})
        seen = await until(line, "response.done")
        assert house.llm.requests[0]["messages"][0]["content"] == "Be brief."
        assert house.llm.requests[0]["max_tokens"] == seen[-1].response.max_output_tokens == 7
    assert seen[-1].response.output[0].content[0].text == "You said: Hello."


async def test_a_client_cancels_the_answer_that_it_names_and_no_other(spoken: Callable[..., Any]) -> None:
    async with spoken() as house, raw(house) as line:
        house.llm.gate.clear()
        await line.send(json.dumps({"type": "conversation.item.create", "item": HELLO}))
        await line.send('{"type": "response.create"}')
        response_id = (await event(line, "response.created"))["response"]["id"]
        await line.send('{"type": "response.cancel", "response_id": "another"}')
        assert (await event(line, "error"))["error"]["code"] == "response_cancel_not_active"
        await line.send(json.dumps({"type": "response.cancel", "response_id": response_id}))
        ended = (await event(line, "response.done"))["response"]
    assert (ended["id"], ended["status"]) == (response_id, "cancelled")


async def test_where_the_llm_hears_no_tone_none_is_asked_for_and_the_answer_says_so(spoken: Callable[..., Any]) -> None:
    async with spoken() as house, raw(house) as line:
        house.llm.config = {"prosody": "unavailable", "wants": "pooled"}
        item = {"type": "message", "role": "user", "content": [{"type": "input_audio", "audio": speech(500)}]}
        await line.send(json.dumps({"type": "conversation.item.create", "item": item}))
        for wanted, told in [("on", "unavailable"), ("off", "off")]:
            await line.send(json.dumps({"type": "response.create", "response": {"prosody": wanted}}))
            assert (await event(line, "response.done"))["response"]["prosody"] == told
    assert house.encoder.requests[0].prosody == encoder_pb2.PROSODY_KIND_NONE


async def test_the_house_s_instructions_are_those_of_a_client_without_any(spoken: Callable[..., Any]) -> None:
    async with spoken(instructions="Be kind.") as house, called(house) as line:
        await line.conversation.item.create(item=HELLO)
        await line.response.create()
        await until(line, "response.done")
        assert house.llm.requests[0]["messages"][0]["content"] == "Be kind."


async def test_a_recording_may_be_an_item(spoken: Callable[..., Any]) -> None:
    message = {"type": "message", "role": "user", "content": [{"type": "input_audio", "audio": speech(500)}]}
    async with spoken() as house, called(house) as line:
        await line.conversation.item.create(item=message)
        await line.response.create()
        seen = await until(line, "response.done")
    assert seen[-1].response.output[0].content[0].text == "You said: number 50."


@pytest.mark.parametrize(
    ("message", "code", "param"),
    [
        ("{", "invalid_json", None),
        ("[1]", "invalid_event", "type"),
        ('{"type": "response.create", "response": {"temperature": NaN}}', "invalid_json", None),
        (r'{"type": "session.update", "session": {"instructions": "\ud800"}}', "invalid_json", None),
        ('{"type": "nonsense", "event_id": "e1"}', "invalid_value", "type"),
        ('{"type": "input_audio_buffer.append", "audio": "%", "event_id": "e1"}', "invalid_audio", "audio"),
        ('{"type": "input_audio_buffer.append", "audio": "\u00fc", "event_id": "e1"}', "invalid_audio", "audio"),
        ('{"type": "input_audio_buffer.append", "event_id": "e1"}', "invalid_value", "audio"),
        ('{"type": "input_audio_buffer.commit", "event_id": "e1"}', "input_audio_buffer_commit_empty", None),
        ('{"type": "response.cancel", "event_id": "e1"}', "response_cancel_not_active", None),
        (
            '{"type": "response.cancel", "response_id": "x", "event_id": "e1"}',
            "response_cancel_not_active",
            "response_id",
        ),
        (
            '{"type": "conversation.item.truncate", "item_id": "x", "audio_end_ms": 1' + "0" * 400 + "}",
            "invalid_value",
            "audio_end_ms",
        ),
        ('{"type": "conversation.item.delete", "item_id": "x", "event_id": "e1"}', "item_not_found", "item_id"),
        (
            '{"type": "session.update", "event_id": "e1", "session": {"audio": {"input": {"turn_detection": '
            '{"type": "server_vad", "threshold": 7}}}}}',
            "invalid_value",
            "session.audio.input.turn_detection.threshold",
        ),
        (
            '{"type": "conversation.item.create", "event_id": "e1", "item": {"type": "message", "role": "user", '
            '"content": [{"type": "input_image", "image_url": "x"}]}}',
            "invalid_value",
            "item.content.0",
        ),
        (
            '{"type": "conversation.item.create", "event_id": "e1", "item": {"type": "message", "role": "user", '
            '"content": [{"type": "input_audio", "audio": ""}, {"type": "input_text", "text": "What?"}]}}',
            "invalid_value",
            "item.content",
        ),
        (
            '{"type": "session.update", "session": {"tools": [{"type": "function", "name": "f", '
            '"parameters": ' + '{"a": ' * 400 + "1" + "}" * 400 + "}]}}",
            "invalid_json",
            None,
        ),
    ],
)
async def test_what_is_wrong_is_told_and_the_session_goes_on(
    spoken: Callable[..., Any], message: str, code: str, param: str | None
) -> None:
    async with spoken() as house, raw(house) as line:
        await line.send(message)
        told = json.loads(await line.recv())
        assert (told["type"], told["error"]["code"], told["error"]["param"]) == ("error", code, param)
        assert told["error"]["event_id"] == ("e1" if "e1" in message else None)
        await line.send('{"type": "input_audio_buffer.clear"}')
        assert json.loads(await line.recv())["type"] == "input_audio_buffer.cleared"


async def test_a_function_may_want_as_deep_an_object_as_is_read(spoken: Callable[..., Any]) -> None:
    parameters = json.loads('{"a": ' * 190 + "1" + "}" * 190)
    tool = {"type": "function", "name": "f", "parameters": parameters}
    async with spoken() as house, raw(house) as line:
        await line.send(json.dumps({"type": "session.update", "session": {"tools": [tool]}}))
        await line.send(json.dumps({"type": "conversation.item.create", "item": HELLO}))
        await line.send('{"type": "response.create"}')
        assert (await event(line, "session.updated"))["session"]["tools"][0]["parameters"] == parameters
        assert (await event(line, "response.done"))["response"]["status"] == "completed"
        assert house.llm.requests[0]["tools"][0]["function"]["parameters"] == parameters


async def test_a_full_house_refuses_before_the_upgrade(spoken: Callable[..., Any]) -> None:
    async with spoken(max_live=1) as house, raw(house):
        with pytest.raises(InvalidStatus) as refused:
            async with raw(house):
                pass
    response = refused.value.response
    assert response.status_code == 429
    assert response.headers["Retry-After"]
    assert response.headers["x-request-id"]
    assert json.loads(response.body)["error"]["code"] == "overloaded"


async def test_a_subprotocol_is_answered_only_when_it_was_offered(spoken: Callable[..., Any]) -> None:
    async with spoken() as house:
        async with raw(house, subprotocols=["realtime", "openai-insecure-api-key.SECRET"]) as line:
            assert line.subprotocol == "realtime"
        async with raw(house) as line:
            assert line.subprotocol is None


async def test_who_says_nothing_for_long_is_hung_up_on(spoken: Callable[..., Any]) -> None:
    async with spoken(live_idle_s=0.2) as house:
        async with raw(house) as line:
            with pytest.raises(ConnectionClosed) as ended:
                await line.recv()

        async def is_counted() -> bool:  # as what it is, and no fault of the house's
            return 'operation="realtime",outcome="live_idle"' in (await house.http.get("/metrics")).text

        await house.until(is_counted)
    assert ended.value.rcvd is not None
    assert ended.value.rcvd.code == 1013
    assert "TEXTPRO_LIVE_IDLE_S" in ended.value.rcvd.reason


async def test_a_message_without_end_is_not_taken(spoken: Callable[..., Any]) -> None:
    async with spoken(max_message_bytes=2**20) as house, raw(house) as line:
        await line.send("x" * 2**21)
        with pytest.raises(ConnectionClosed) as ended:
            await line.recv()
    assert ended.value.rcvd is not None
    assert ended.value.rcvd.code == 1009


async def test_who_does_not_read_is_hung_up_on_and_nobody_else(spoken: Callable[..., Any]) -> None:
    async with spoken(max_outbox=20) as house, raw(house, max_queue=1) as slow, raw(house) as other:
        with pytest.raises(ConnectionClosed):
            await asyncio.wait_for(_without_end(slow), PATIENCE_S)
        assert slow.close_code in (1013, 1006)  # the word itself may not come through to who does not read
        await other.send('{"type": "input_audio_buffer.clear"}')
        assert json.loads(await other.recv())["type"] == "input_audio_buffer.cleared"
