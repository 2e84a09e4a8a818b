"""Answers that are spoken, over both protocols, by a real gateway; its voice is a speech server of the test's, or
espeak-ng."""

import asyncio
import base64
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from openai import AsyncOpenAI
from openai.resources.realtime.realtime import AsyncRealtimeConnection
from websockets.asyncio.client import ClientConnection, connect

from services.gateway.settings import GatewaySettings
from services.runtime.settings import SettingsError
from tests.gateway.conftest import PATIENCE_S, House, hum
from tests.gateway.speech_server import MS_PER_LETTER, SpeechServer, speech_server

pytestmark = pytest.mark.anyio
Message = dict[str, Any] | bytes
MS = 32  # bytes of a millisecond at 16 kHz


@pytest.fixture
async def server() -> AsyncIterator[SpeechServer]:
    async with speech_server() as opened:
        yield opened


@pytest.fixture
def aloud(spoken: Callable[..., Any], server: SpeechServer) -> Callable[..., Any]:
    """`aloud(**settings)`: a house with the speech server as its voice."""
    return lambda **settings: spoken(**{"speech": "openai", "speech_url": server.url} | settings)


def speech(ms: int) -> bytes:
    return hum(ms // 10).tobytes()


# --------------------------------------------------------------------------------------------------------- /v1/stream
@asynccontextmanager
async def called(house: House, query: str = "speech=on") -> AsyncIterator[ClientConnection]:
    async with connect(f"{house.http.base_url}/v1/stream?{query}".replace("http://", "ws://")) as line:
        yield line


async def received(line: ClientConnection) -> Message:
    async with asyncio.timeout(PATIENCE_S):
        message = await line.recv()
    return message if isinstance(message, bytes) else json.loads(message)


async def until(line: ClientConnection, kind: str) -> list[Message]:
    """All messages up to the next of a kind; `sound` is a binary one."""
    seen: list[Message] = []
    while not seen or kinds(seen)[-1] != kind:
        seen.append(await received(line))
    return seen


def kinds(messages: list[Message]) -> list[str]:
    return ["sound" if isinstance(message, bytes) else message["type"] for message in messages]


def sound_ms(messages: list[Message]) -> float:
    return sum(len(message) for message in messages if isinstance(message, bytes)) / MS


async def typed(line: ClientConnection, text: str) -> None:
    await line.send(json.dumps({"type": "text", "text": text}))


async def metric(house: House, name: str) -> float:
    lines = (await house.http.get("/metrics")).text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name))


async def test_a_plain_client_hears_the_answer_between_its_first_words_and_its_end(
    aloud: Callable[..., Any], server: SpeechServer
) -> None:
    async with aloud() as house, called(house) as line:
        ready = (await until(line, "ready"))[0]
        assert ready["output"] == {"coding": "pcm", "rate": 16_000}
        await typed(line, "One. Two")
        seen = await until(line, "done")
        assert await metric(house, "textpro_spoken_seconds_total") == pytest.approx(sound_ms(seen) / 1000)
        for moment in ("first_token", "first_audio"):
            assert await metric(house, f'textpro_stage_seconds_count{{service="gateway",stage="{moment}"}}') == 1
    assert [request["input"] for request in server.requests] == ["You said: One.", "Two."]
    assert sound_ms(seen) == pytest.approx(len("You said: One.Two.") * MS_PER_LETTER, abs=1)
    order = kinds(seen)
    assert order.index("delta") < order.index("sound") < len(order) - 1
    timing = seen[-1]["timing_ms"]
    assert timing["total"] == pytest.approx(sum(timing[k] for k in ("pause", "wait", "generate", "speak")), abs=0.2)
    assert timing["first_token"] <= timing["first_audio"] <= timing["total"] + 0.1


async def test_a_sentence_is_spoken_while_the_next_is_still_written(aloud: Callable[..., Any]) -> None:
    async with aloud() as house, called(house) as line:
        house.llm.begins, house.llm.gate = "One is said. Two is", asyncio.Event()
        await typed(line, "x")
        seen = await until(line, "sound")
        assert "done" not in kinds(seen)
        house.llm.gate.set()
        await until(line, "done")


async def test_sound_is_sent_no_further_ahead_than_its_lead(aloud: Callable[..., Any]) -> None:
    async with aloud(speech_lead_s=0.5) as house, called(house) as line:
        await typed(line, "1234567890" * 2)
        await until(line, "sound")
        begun_s = asyncio.get_running_loop().time()
        seen = await until(line, "done")
        took_s = asyncio.get_running_loop().time() - begun_s
    assert took_s >= sound_ms(seen) / 1000 - 0.5 - 0.05


async def test_a_client_chooses_the_rate_of_what_it_hears(aloud: Callable[..., Any]) -> None:
    async with aloud() as house, called(house, "speech=on&coding=pcmu&speech_rate=48000") as line:
        ready = (await until(line, "ready"))[0]
        await typed(line, "One")
        seen = await until(line, "done")
    assert ready["output"] == {"coding": "pcm", "rate": 48_000}
    assert sound_ms(seen) == pytest.approx(3 * len("You said: One.") * MS_PER_LETTER, abs=3)


async def test_an_eager_answer_is_made_to_sound_in_the_pause_and_heard_after_it(
    aloud: Callable[..., Any], server: SpeechServer
) -> None:
    async with aloud() as house, called(house) as line:
        await line.send(speech(960) + bytes(320 * MS))
        seen = await until(line, "eager")
        async with asyncio.timeout(PATIENCE_S):
            await server.asked.acquire()
        await line.send(bytes(1500 * MS))
        seen += await until(line, "sound")
        assert kinds(seen)[-4:] == ["transcript", "delta", "delta", "sound"]
        assert len(server.requests) == 1


async def test_speech_over_sound_that_was_all_sent_clears_it_and_the_llm_reads_what_was_heard(
    aloud: Callable[..., Any],
) -> None:
    async with aloud(speech_lead_s=30) as house, called(house) as line:
        await typed(line, "a very long story " * 10)
        done = (await until(line, "done"))[-1]
        await line.send(speech(320))
        seen = await until(line, "speech_started")
        assert kinds(seen) == ["clear", "speech_started"]
        assert seen[0]["response_id"] == done["response_id"]
        await line.send(bytes(2000 * MS))
        await until(line, "done")
        said = [m["content"] for m in house.llm.requests[-1]["messages"] if m["role"] == "assistant"]
    assert done["status"] == "completed"
    assert len("".join(said)) < len(done["reply"])
    assert done["reply"].startswith("".join(said))


async def test_speech_over_an_answer_stops_the_voice_and_what_was_not_sent(
    aloud: Callable[..., Any], server: SpeechServer
) -> None:
    server.ends = False
    async with aloud() as house, called(house) as line:
        await typed(line, "Hello")
        await until(line, "sound")
        await line.send(speech(320))
        seen = await until(line, "speech_started")
        async with asyncio.timeout(PATIENCE_S):
            await server.left.wait()
        await line.send(json.dumps({"type": "clear"}))
        after = await until(line, "cleared")
    assert kinds(seen)[-3:] == ["clear", "done", "speech_started"]
    assert (seen[-2]["status"], seen[-2]["reason"]) == ("cancelled", "turn_detected")
    assert "You said: Hello.".startswith(seen[-2]["reply"])
    assert "sound" not in kinds(after)


@pytest.mark.parametrize("how", ["cancel", "text"])
async def test_a_client_may_silence_what_it_still_plays(aloud: Callable[..., Any], how: str) -> None:
    async with aloud(speech_lead_s=30) as house, called(house) as line:
        await typed(line, "a very long story " * 10)
        await until(line, "done")
        await line.send(json.dumps({"type": how, "text": "Stop."}))
        assert (await until(line, "clear"))[-1]["type"] == "clear"


async def test_a_voice_that_fails_is_told_and_the_words_go_on(aloud: Callable[..., Any], server: SpeechServer) -> None:
    server.status = 500
    async with aloud() as house, called(house) as line:
        await typed(line, "One. Two")
        seen = await until(line, "done")
        server.status = 200
        await typed(line, "Three")
        again = await until(line, "done")
        name = 'textpro_requests_total{operation="speak",outcome="speech_unavailable"'
        assert await metric(house, name) == 1
    (error,) = [message for message in seen if isinstance(message, dict) and message["type"] == "error"]
    assert (error["error"]["code"], error["error"]["type"]) == ("speech_unavailable", "service_unavailable_error")
    assert error["item_id"].startswith("item_")
    assert (seen[-1]["status"], seen[-1]["reply"]) == ("completed", "You said: One. Two.")
    assert "sound" not in kinds(seen)
    assert "sound" in kinds(again)


async def test_espeak_ng_speaks_in_the_gateway_itself(spoken: Callable[..., Any]) -> None:
    async with spoken(speech="espeak-ng", speech_lead_s=30) as house, called(house) as line:
        await typed(line, "One. Two")
        seen = await until(line, "done")
    assert 500 < sound_ms(seen) < 5000


@pytest.mark.parametrize("with_redis", [False, True])
async def test_who_comes_back_hears_the_rest_and_nothing_twice(
    aloud: Callable[..., Any], redis_url: str, with_redis: bool
) -> None:
    async with aloud(speech_lead_s=30, redis_url=redis_url if with_redis else None) as house:
        async with called(house) as line:
            token = (await until(line, "ready"))[0]["resume_token"]
            await typed(line, "a very long story " * 3)
            seen = await until(line, "sound")
            line.transport.abort()
        read = 1 + len(seen)  # sound counts among the messages
        async with called(house, f"resume_token={token}&last_event_seq={read}") as line:
            rest = await until(line, "done")
            if "ready" not in kinds(rest):  # it comes behind what was missed
                await until(line, "ready")
    letters = len("You said: " + "a very long story " * 3)
    assert sound_ms([*seen, *rest]) == pytest.approx(letters * MS_PER_LETTER, abs=60)


async def test_another_gateway_gives_a_spoken_answer_anew(
    aloud: Callable[..., Any], server: SpeechServer, redis_url: str
) -> None:
    server.ends = False
    async with aloud(redis_url=redis_url) as first, aloud(redis_url=redis_url) as second:
        async with called(first) as line:
            token = (await until(line, "ready"))[0]["resume_token"]
            await typed(line, "Hello")
            seen = await until(line, "sound")
            line.transport.abort()
        server.ends = True
        async with called(second, f"resume_token={token}&last_event_seq={1 + len(seen)}") as line:
            broken = (await until(line, "done"))[-1]
            again = await until(line, "done")
    assert (broken["status"], broken["reason"]) == ("failed", "lost")
    assert (again[-1]["status"], again[-1]["reply"]) == ("completed", "You said: Hello.")
    assert sound_ms(again) == pytest.approx(len("You said: Hello.") * MS_PER_LETTER, abs=1)


def test_a_gateway_whose_voice_is_not_there_does_not_start() -> None:
    wishes = {"TEXTPRO_SPEECH": "espeak-ng", "TEXTPRO_SPEECH_VOICE": "nobody", "TEXTPRO_PORT": "0"}
    command = [sys.executable, "-m", "services.gateway"]
    ended = subprocess.run(command, env=os.environ | wishes, capture_output=True, text=True, timeout=PATIENCE_S)
    assert ended.returncode == 1
    assert "no voice 'nobody'" in ended.stderr + ended.stdout


def test_a_speech_server_has_to_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXTPRO_SPEECH", "openai")
    with pytest.raises(SettingsError, match="TEXTPRO_SPEECH_URL"):
        GatewaySettings.load()


# ------------------------------------------------------------------------------------------------------- /v1/realtime
@asynccontextmanager
async def stock(house: House, **session: Any) -> AsyncIterator[AsyncRealtimeConnection]:
    """OpenAI's own client, told to want sound."""
    client = AsyncOpenAI(api_key="none", base_url=f"{house.http.base_url}/v1", max_retries=0)
    async with client.realtime.connect(model="textpro") as connection:
        assert (await connection.recv()).type == "session.created"
        await connection.session.update(session={"type": "realtime", "output_modalities": ["audio"], **session})
        assert (await connection.recv()).type == "session.updated"
        yield connection


async def asked(line: AsyncRealtimeConnection, text: str, **wishes: Any) -> list[Any]:
    message = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
    await line.conversation.item.create(item=message)
    await line.response.create(response=wishes)
    return await events(line, "response.done")


async def events(line: AsyncRealtimeConnection, kind: str) -> list[Any]:
    seen: list[Any] = []
    async with asyncio.timeout(PATIENCE_S):
        async for event in line:
            seen.append(event)
            if event.type == kind:
                return seen
    raise AssertionError(f"the connection ended before {kind}")


async def test_a_stock_client_hears_the_answer_in_openai_s_order(aloud: Callable[..., Any]) -> None:
    async with aloud() as house, stock(house) as line:
        seen = await asked(line, "One")
    order = [event.type for event in seen if event.type.startswith("response.")]
    assert list(dict.fromkeys(order)) == [
        "response.created",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_audio_transcript.delta",
        "response.output_audio.delta",
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.done",
    ]
    sound = b"".join(base64.b64decode(event.delta) for event in seen if event.type == "response.output_audio.delta")
    assert len(sound) / 48 == pytest.approx(len("You said: One.") * MS_PER_LETTER, abs=1)
    response = seen[-1].response
    assert response.output_modalities == ["audio"]
    assert response.output[0].content[0].type == "output_audio"
    assert response.output[0].content[0].transcript == "You said: One."


async def test_a_stock_client_s_telephone_gets_g711(aloud: Callable[..., Any]) -> None:
    async with aloud() as house, stock(house, audio={"output": {"format": {"type": "audio/pcmu"}}}) as line:
        seen = await asked(line, "One")
    sound = b"".join(base64.b64decode(event.delta) for event in seen if event.type == "response.output_audio.delta")
    assert len(sound) / 8 == pytest.approx(len("You said: One.") * MS_PER_LETTER, abs=2)


async def test_one_answer_may_be_text_where_the_others_sound(aloud: Callable[..., Any], server: SpeechServer) -> None:
    async with aloud() as house, stock(house) as line:
        seen = await asked(line, "One", output_modalities=["text"])
    assert "response.output_text.done" in [event.type for event in seen]
    assert not server.requests


@pytest.mark.parametrize(
    ("end_ms", "heard"),
    [(700, "You said: One."), (799, "You said: One."), (850, "You said: One. Two"), (0, None)],
)
async def test_a_client_s_truncation_is_exact_to_the_sentence(
    aloud: Callable[..., Any], end_ms: int, heard: str | None
) -> None:
    async with aloud() as house, stock(house) as line:
        seen = await asked(line, "One. Two times. Three")  # 14 letters, 10, 6
        item = seen[-1].response.output[0]
        await line.conversation.item.truncate(item_id=item.id, content_index=0, audio_end_ms=end_ms)
        assert (await events(line, "conversation.item.truncated"))[-1].audio_end_ms == end_ms
        await asked(line, "And?")
        said = [m["content"] for m in house.llm.requests[-1]["messages"] if m["role"] == "assistant"]
    assert said == ([] if heard is None else [heard])


async def test_a_stock_client_is_told_what_was_heard_of_an_answer_that_was_all_sent(aloud: Callable[..., Any]) -> None:
    wishes = {"input": {"turn_detection": {"type": "server_vad"}, "format": {"type": "audio/pcm", "rate": 24_000}}}
    async with aloud(speech_lead_s=30) as house, stock(house, audio=wishes) as line:
        seen = await asked(line, "a very long story " * 10)
        item = seen[-1].response.output[0]
        await line.input_audio_buffer.append(audio=base64.b64encode(speech(640)).decode())
        seen = await events(line, "input_audio_buffer.speech_started")
        assert [event.type for event in seen] == ["conversation.item.truncated", "input_audio_buffer.speech_started"]
        assert seen[0].item_id == item.id
        # What the client itself says of it then is no error, though it may be more.
        await line.conversation.item.truncate(item_id=item.id, content_index=0, audio_end_ms=5000)
        await events(line, "conversation.item.truncated")


async def test_where_there_is_no_voice_sound_is_refused_and_nothing_changes(spoken: Callable[..., Any]) -> None:
    async with spoken() as house, AsyncExitStack() as opened:
        url = f"{house.http.base_url}/v1/realtime".replace("http://", "ws://")
        line = await opened.enter_async_context(connect(url))
        await received(line)
        for kind, of in (("session.update", "session"), ("response.create", "response")):
            await line.send(json.dumps({"type": kind, "event_id": "e1", of: {"output_modalities": ["audio"]}}))
            error = (await until(line, "error"))[-1]["error"]
            assert (error["code"], error["param"]) == ("no_voice", f"{of}.output_modalities")
            assert "TEXTPRO_SPEECH" in error["message"]
        await line.send(json.dumps({"type": "session.update", "session": {}}))
        assert (await until(line, "session.updated"))[-1]["session"]["output_modalities"] == ["text"]
