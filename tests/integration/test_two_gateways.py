"""A conversation that outlives its gateway: two of them with one Redis, the real encoder and the real LLM."""

from pathlib import Path

import pytest

from services.cli.demo import EXAMPLES
from tests.gateway.caller import called
from tests.gateway.conftest import OwnRedis, free_port
from tests.integration.conftest import Stack
from textpro.audio import SAMPLE_RATE, decode, pcm16_of

pytestmark = [pytest.mark.embedded, pytest.mark.anyio]
TURNS, FATAL = 20, 9
SILENCE = bytes(2 * SAMPLE_RATE)
RECORDINGS = ("capital.wav", "capital-calm.wav", "capital-excited.wav")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_twenty_turns_are_answered_once_each_though_a_gateway_is_killed(stack: Stack, tmp_path: Path) -> None:
    questions = [pcm16_of(decode((EXAMPLES / name).read_bytes())) for name in RECORDINGS]
    redis = OwnRedis(free_port(), tmp_path)
    redis.start()
    try:
        first, second = (stack.add_gateway(name, TEXTPRO_REDIS_URL=redis.url) for name in ("first", "second"))
        async with called(first) as caller:
            await caller.send("session.update", session={"temperature": 0, "max_output_tokens": 16})
            for turn in range(TURNS):
                await caller.sound(questions[turn % len(questions)] + SILENCE)
                if turn == FATAL:
                    await caller.until("response.output_text.delta")
                    stack.kill("first")
                    resumed = await caller.come_back(second)
                    await caller.sound(caller.sent[resumed["input_audio_bytes"] :], again=True)
                while len(caller.texts()) <= turn:
                    await caller.until("response.done")
    finally:
        for name in ("first", "second"):
            stack.kill(name)
        redis.stop()
    assert len(caller.texts()) == TURNS
    assert all("Paris" in text for text in caller.texts())
    assert caller.numbers() == list(range(1, len(caller.seen) + 1))
