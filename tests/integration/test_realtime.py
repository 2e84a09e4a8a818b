"""OpenAI's own client in a spoken conversation with the real services."""

import asyncio
import base64
from typing import Any

import numpy as np
import pytest
from openai import AsyncOpenAI

from services.cli.demo import EXAMPLES, TONES, Question, complaints
from services.gateway.formats import HEARD, Converter, Format
from tests.integration.conftest import Stack
from textpro.audio import decode

pytestmark = [pytest.mark.embedded, pytest.mark.anyio]
PCM_24 = Format("pcm", 24_000)
PATIENCE_S = 60
CHUNK = 4800  # 100 ms


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def recording(name: str) -> bytes:
    """24 kHz PCM16, with a second and a half of silence behind it."""
    samples = (decode((EXAMPLES / name).read_bytes()) * 32_767).astype("<i2")
    quiet = np.zeros(24_000, "<i2")
    return Converter(HEARD, PCM_24).convert(np.concatenate([samples, quiet]).tobytes())


async def send(connection: Any, sound: bytes) -> None:
    for start in range(0, len(sound), CHUNK):
        await connection.input_audio_buffer.append(audio=base64.b64encode(sound[start : start + CHUNK]).decode())


async def turn(connection: Any) -> list[Any]:
    """Its events."""
    seen: list[Any] = []
    async with asyncio.timeout(PATIENCE_S):
        async for event in connection:
            seen.append(event)
            if event.type == "response.done":
                return seen
    raise AssertionError("the connection ended")


@pytest.mark.parametrize("detection", ["server_vad", "semantic_vad"])
async def test_a_stock_client_holds_a_spoken_conversation(stack: Stack, detection: str) -> None:
    client = AsyncOpenAI(api_key="none", base_url=f"{stack.client.base_url}/v1", max_retries=0)
    session = {"type": "realtime", "audio": {"input": {"turn_detection": {"type": detection}}}, "temperature": 0}
    async with client.realtime.connect(model="textpro") as connection:
        await connection.session.update(session=session)
        turns = []
        for name in ("sum.wav", "capital.wav"):
            await send(connection, recording(name))
            turns.append(await turn(connection))
    for seen, words in zip(turns, ("two", "paris"), strict=True):
        assert words in "".join(event.delta for event in seen if event.type == "response.output_text.delta").lower()
        assert seen[-1].response.status == "completed"
        assert seen[-1].response.prosody == "on"


async def test_a_stock_client_says_itself_when_it_has_spoken(stack: Stack) -> None:
    client = AsyncOpenAI(api_key="none", base_url=f"{stack.client.base_url}/v1", max_retries=0)
    session = {"type": "realtime", "audio": {"input": {"turn_detection": None}}, "temperature": 0}
    async with client.realtime.connect(model="textpro") as connection:
        await connection.session.update(session=session)
        await send(connection, recording("capital.wav"))
        await connection.input_audio_buffer.commit()
        await connection.response.create()
        seen = await turn(connection)
    kinds = [event.type for event in seen]
    assert "input_audio_buffer.speech_started" not in kinds
    assert kinds.count("input_audio_buffer.committed") == kinds.count("response.created") == 1
    (transcript,) = [event.transcript for event in seen if event.type.endswith("transcription.completed")]
    assert "capital of France" in transcript
    assert "Paris" in seen[-1].response.output[0].content[0].text


@pytest.mark.parametrize("question", TONES, ids=lambda question: question.file)
async def test_the_tone_is_heard_in_a_live_turn_too(stack: Stack, question: Question) -> None:
    client = AsyncOpenAI(api_key="none", base_url=f"{stack.client.base_url}/v1", max_retries=0)
    async with client.realtime.connect(model="textpro") as connection:
        await connection.session.update(session={"type": "realtime", "temperature": 0})
        await send(connection, recording(question.file))
        seen = await turn(connection)
    (transcript,) = [event.transcript for event in seen if event.type.endswith("transcription.completed")]
    said = {"transcript": transcript, "reply": seen[-1].response.output[0].content[0].text}
    assert complaints(question, said) == []
