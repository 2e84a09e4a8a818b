"""What every voice does, and what only a voice behind HTTP can get wrong."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import numpy as np
import pytest

from services.gateway.espeak_voice import EspeakVoice
from services.gateway.http_voice import HttpVoice
from services.gateway.voice import Voice
from services.runtime.http import serving
from tests.gateway.speech_server import SpeechServer
from textpro.data.speech_engines import EspeakNg
from textpro.data.voices import STYLES, voices
from textpro.errors import SynthesisError

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def http_voice(server: SpeechServer, **settings: Any) -> AsyncIterator[HttpVoice]:
    async with serving(server.app(), "127.0.0.1", 0, drain_s=1) as port:
        chosen = {"model": "kokoro", "voice": "af_heart", "key": None, "timeout_s": 10.0, "max_connections": 4}
        voice = HttpVoice(f"http://127.0.0.1:{port}", **chosen | settings)
        try:
            yield voice
        finally:
            server.left.set()
            await voice.close()


@pytest.fixture(params=["espeak-ng", "openai"])
async def voice(request: pytest.FixtureRequest) -> AsyncIterator[Voice]:
    if request.param == "openai":
        async with http_voice(SpeechServer()) as opened:
            yield opened
    else:
        opened = EspeakVoice()
        yield opened
        await opened.close()


async def said(voice: Voice, text: str, speed: float = 1.0) -> list[bytes]:
    return [piece async for piece in voice.speak(text, speed)]


async def test_a_voice_says_more_of_a_longer_sentence_in_whole_samples(voice: Voice) -> None:
    short, long = [await said(voice, text) for text in ("Yes.", "The capital of France is Paris, on the Seine.")]
    assert all(len(piece) % 2 == 0 for piece in [*short, *long])
    seconds = [sum(map(len, pieces)) / voice.format.bytes_per_second for pieces in (short, long)]
    assert 0.1 < seconds[0] < seconds[1] < 10
    assert np.abs(np.frombuffer(b"".join(long), "<i2").astype(int)).max() > 1000


async def test_a_voice_speaks_for_many_at_once(voice: Voice) -> None:
    texts = ["One.", "Two and three.", "Four, five, six, seven."] * 4
    spoken = await asyncio.gather(*(said(voice, text) for text in texts))
    alone = [sum(map(len, await said(voice, text))) for text in texts[:3]]
    assert [sum(map(len, pieces)) for pieces in spoken] == pytest.approx(alone * 4, rel=0.05)


async def test_a_voice_may_be_cut_short_and_goes_on_with_the_next(voice: Voice) -> None:
    async with aclosing(voice.speak("The capital of France is Paris, on the Seine.")) as pieces:
        assert await anext(pieces)
    assert await said(voice, "Yes.")


async def test_espeak_speaks_as_fast_as_is_wished() -> None:
    voice = EspeakVoice("gmw/en-US+f3")
    slow, fast = [b"".join(await said(voice, "The capital of France is Paris.", speed)) for speed in (0.7, 1.5)]
    await voice.close()
    assert len(slow) > 1.5 * len(fast)


async def test_espeak_speaks_for_the_corpora_in_the_same_process() -> None:
    voice, corpora = EspeakVoice(), EspeakNg()
    spoken = await said(voice, "Hello.")
    assert len(
        corpora.speak(
            "Hello.", next(one for one in voices("seen") if one.engine == "espeak-ng"), STYLES[0].draw(random.Random(0))
        )
    )
    spoken += await said(voice, "Hello.")
    await voice.close()
    assert len(spoken) == 2


def test_a_voice_that_espeak_does_not_know_is_refused_at_the_start() -> None:
    with pytest.raises(SynthesisError, match="no voice 'nobody'"):
        EspeakVoice("nobody")


async def test_the_server_is_asked_in_openai_s_words() -> None:
    server = SpeechServer()
    async with http_voice(server, key="secret") as voice:
        await said(voice, "Hello.")
        await said(voice, "Hello.", 1.25)
    usual = {"model": "kokoro", "voice": "af_heart", "response_format": "pcm", "input": "Hello."}
    assert server.requests == [usual, usual | {"speed": 1.25}]
    assert server.keys == ["Bearer secret"] * 2


async def test_who_hangs_up_ends_the_server_s_work() -> None:
    server = SpeechServer(ends=False)
    async with http_voice(server) as voice:
        async with aclosing(voice.speak("Hello.")) as pieces:
            await anext(pieces)
        async with asyncio.timeout(10):
            await server.left.wait()


@pytest.mark.parametrize(
    ("server", "reason"),
    [
        (SpeechServer(status=404), "answers 404: no such voice"),
        (SpeechServer(kind="audio/mpeg"), "sends audio/mpeg; expected PCM"),
        (SpeechServer(ends=False), "more than 60 s"),
        (SpeechServer(stalls=True), "TEXTPRO_SPEECH_TIMEOUT_S"),
    ],
    ids=["refusal", "format", "endless", "stalled"],
)
async def test_a_server_that_fails_is_told(server: SpeechServer, reason: str) -> None:
    async with http_voice(server, timeout_s=0.3) as voice:
        with pytest.raises(SynthesisError, match=reason):
            await said(voice, "Hello.")


async def test_a_server_that_is_away_is_told(unused_url: str) -> None:
    voice = HttpVoice(unused_url, model="m", voice="v", key=None, timeout_s=1, max_connections=1)
    with pytest.raises(SynthesisError, match="does not answer"):
        await said(voice, "Hello.")
    await voice.close()
