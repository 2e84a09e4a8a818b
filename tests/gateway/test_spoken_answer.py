"""An answer's way from words to sound, with a voice that does as the test says."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from services.gateway.formats import HEARD
from services.gateway.outbox import SlowReader
from services.gateway.playback import Playback
from services.gateway.spoken_answer import CHUNKS_PER_SECOND, SpokenAnswer
from services.runtime.metrics import Metrics
from textpro.errors import SynthesisError

pytestmark = pytest.mark.anyio
PATIENCE_S = 10
USUAL: dict[str, Any] = {
    "speed": 1.0,
    "lead_s": 1e9,
    "max_held_s": 1e9,
    "max_characters": 100,
    "metrics": Metrics("gateway"),
}
CHUNK = HEARD.bytes_per_second // CHUNKS_PER_SECOND


@dataclass
class Second:
    """A voice to which a word is a second, in pieces of a tenth; with `gate` shut it stops before the last. `fails_on`
    is a word that it can't say."""

    fails_on: str = ""
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    said: list[str] = field(default_factory=list)
    format = HEARD

    def __post_init__(self) -> None:
        self.gate.set()

    async def speak(self, text: str, speed: float = 1.0) -> AsyncGenerator[bytes, None]:
        self.said.append(text)
        for number in range(n_pieces := len(text.split()) * CHUNKS_PER_SECOND):
            if number == n_pieces - 1:
                await self.gate.wait()
            if self.fails_on and self.fails_on in text:
                raise SynthesisError("it can't be said")
            yield bytes(CHUNK)

    async def close(self) -> None: ...


@dataclass
class Stage:
    """Whom it is shown to."""

    voice: Second
    answer: SpokenAnswer
    shown: list[bytes | SynthesisError]
    came: asyncio.Event

    async def until(self, n_shown: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while len(self.shown) < n_shown:
                self.came.clear()
                await self.came.wait()


@asynccontextmanager
async def staged(voice: Second | None = None, **settings: Any) -> AsyncIterator[Stage]:
    shown: list[bytes | SynthesisError] = []
    came, playback, voice = asyncio.Event(), Playback(), voice or Second()

    def show(content: bytes | SynthesisError) -> None:
        shown.append(content)
        came.set()
        if isinstance(content, bytes):
            seconds = len(content) / HEARD.bytes_per_second
            playback.add("i", seconds, asyncio.get_running_loop().time())

    answer = SpokenAnswer(voice, HEARD, playback, show, **USUAL | settings)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(answer.run())
        yield Stage(voice, answer, shown, came)
        running.cancel()


async def test_nothing_is_heard_before_it_begins_and_one_sentence_is_made() -> None:
    async with staged() as stage:
        stage.answer.add("One two. Three four. Five")
        for _ in range(100):
            await asyncio.sleep(0)
        assert stage.voice.said == ["One two."]
        assert not stage.shown
        stage.answer.begin()
        stage.answer.finish()
        await stage.until(50)
        assert stage.voice.said == ["One two.", "Three four.", "Five"]
        assert stage.answer.sentences == ((9, 2000.0), (12, 2000.0), (4, 1000.0))


async def test_what_is_wrong_with_whom_it_is_shown_to_ends_it_as_it_is() -> None:
    def show(_: bytes | SynthesisError) -> None:
        raise SlowReader("20 messages wait")

    answer = SpokenAnswer(Second(), HEARD, Playback(), show, **USUAL)
    answer.begin()
    answer.add("One two. Three")
    with pytest.raises(SlowReader):
        await asyncio.wait_for(answer.run(), PATIENCE_S)


async def test_a_voice_does_not_make_more_than_may_be_held() -> None:
    async with staged(lead_s=0.5, max_held_s=2.0) as stage:
        stage.answer.begin()
        stage.answer.add("One. " * 20)
        await stage.until(6)
        assert len(stage.voice.said) <= 4


async def test_the_length_of_a_sentence_that_is_still_made_is_guessed() -> None:
    voice = Second()
    voice.gate.clear()
    async with staged(voice) as stage:
        stage.answer.begin()
        stage.answer.add("A supercalifragilistic answer. And")
        await stage.until(29)
        ((letters, ms),) = stage.answer.sentences
        assert (letters, ms) == (31, 2900.0)
        voice.gate.set()
        stage.answer.finish()
        await stage.until(40)
        assert stage.answer.sentences == ((31, 3000.0), (3, 1000.0))


async def test_what_can_t_be_said_is_told_once_and_ends_the_sound() -> None:
    async with staged(Second(fails_on="Three")) as stage:
        stage.answer.begin()
        stage.answer.add("One two. Three. Four.")
        stage.answer.finish()
        await stage.until(21)
        assert [type(content) for content in stage.shown] == [bytes] * 20 + [SynthesisError]
        assert stage.voice.said == ["One two.", "Three."]
        assert stage.answer.has_failed
