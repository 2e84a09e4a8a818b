"""Voice activity along a stream, and along many at once."""

import asyncio
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from services.gateway.silero import WINDOW, VoiceModel
from services.gateway.vad import GATHER_S, VoiceActivity, VoiceBatcher
from textpro.audio import SAMPLE_RATE, decode

NEAR = 1e-5
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture(scope="module")
def model() -> VoiceModel:
    return VoiceModel()


@pytest.fixture(scope="module")
def speech() -> bytes:
    return pcm16(decode((EXAMPLES / "capital.wav").read_bytes()))


def pcm16(audio: np.ndarray) -> bytes:
    return (audio * 32_767).astype("<i2").tobytes()


def noise(seconds: float, level: float) -> bytes:
    return pcm16(np.random.default_rng(0).standard_normal(int(seconds * SAMPLE_RATE)) * level)


def test_speech_is_told_from_silence_and_noise(model: VoiceModel, speech: bytes) -> None:
    assert np.mean(np.array(VoiceActivity(model).hear(speech)) > 0.5) > 0.6
    for quiet in (bytes(2 * SAMPLE_RATE), noise(1, 0.003), noise(1, 0.05)):
        assert max(VoiceActivity(model).hear(quiet)) < 0.5


@pytest.mark.parametrize("size", [1, 2, 320, 333, 2048, 5000])
def test_it_does_not_matter_how_the_stream_is_cut(model: VoiceModel, speech: bytes, size: int) -> None:
    part = speech[: 2 * (20 * WINDOW + 100)]
    streamed = VoiceActivity(model)
    found = [p for start in range(0, len(part), size) for p in streamed.hear(part[start : start + size])]
    assert found == VoiceActivity(model).hear(part)
    assert len(found) == 20


def test_streams_do_not_hear_one_another(model: VoiceModel, speech: bytes) -> None:
    alone, beside, other = VoiceActivity(model), VoiceActivity(model), VoiceActivity(model)
    expected = alone.hear(speech)
    found: list[float] = []
    for start in range(0, len(speech), 2 * WINDOW):
        found += beside.hear(speech[start : start + 2 * WINDOW])
        other.hear(noise(WINDOW / SAMPLE_RATE, 0.2))
    assert found == expected


def test_what_is_forgotten_has_no_part_in_what_comes(model: VoiceModel, speech: bytes) -> None:
    stream = VoiceActivity(model)
    first = stream.hear(speech[: 40 * 2 * WINDOW])
    stream.forget()
    assert stream.hear(speech[: 40 * 2 * WINDOW]) == first


class Counting:
    """A voice model that keeps how many windows it was asked for at a time."""

    def __init__(self, model: VoiceModel) -> None:
        self._model, self.calls = model, list[int]()

    def judge(self, samples: np.ndarray, hidden: np.ndarray, cell: np.ndarray) -> tuple[np.ndarray, ...]:
        self.calls.append(len(samples))
        return self._model.judge(samples, hidden, cell)


class Broken:
    def judge(self, *_: np.ndarray) -> tuple[np.ndarray, ...]:
        raise ArithmeticError("broken")


@pytest.fixture
def counting(model: VoiceModel) -> Counting:
    return Counting(model)


@pytest.fixture
def batcher(counting: Counting) -> VoiceBatcher:
    return VoiceBatcher(cast(VoiceModel, counting))


async def heard(batcher: VoiceBatcher, stream: VoiceActivity, pcm16: bytes) -> list[float]:
    stream.add(pcm16)
    found: list[float] = []
    while stream.has_window:
        found.append(await batcher.judge(stream))
    return found


@pytest.mark.anyio
async def test_streams_that_sound_together_are_judged_together(batcher, counting, model, speech) -> None:
    sounds = [speech, speech[WINDOW:], noise(1, 0.05), bytes(len(speech))]
    found = await asyncio.gather(*(heard(batcher, VoiceActivity(model), sound) for sound in sounds))
    for each, sound in zip(found, sounds, strict=True):
        np.testing.assert_allclose(each, VoiceActivity(model).hear(sound), atol=NEAR)
    assert counting.calls[0] == len(sounds)
    assert len(counting.calls) == max(map(len, found))  # as often as the longest has windows


@pytest.mark.anyio
async def test_a_stream_that_sounds_alone_does_not_wait_for_others(batcher, model, monkeypatch) -> None:
    loop, waits = asyncio.get_running_loop(), list[float]()
    call_later = loop.call_later
    monkeypatch.setattr(loop, "call_later", lambda delay, *rest: waits.append(delay) or call_later(delay, *rest))
    await heard(batcher, VoiceActivity(model), bytes(2 * WINDOW * 2))
    await asyncio.gather(*(heard(batcher, VoiceActivity(model), bytes(2 * WINDOW)) for _ in range(2)))
    assert waits == [0, 0, 0]
    await heard(batcher, VoiceActivity(model), bytes(2 * WINDOW * 2))  # there were others a moment ago
    assert waits[3:] == [GATHER_S, 0]


@pytest.mark.anyio
async def test_a_window_whose_listener_is_cancelled_is_judged_later(batcher, counting, model, speech) -> None:
    part = speech[: 2 * 10 * WINDOW]
    stream, beside = VoiceActivity(model), VoiceActivity(model)
    listener = asyncio.create_task(heard(batcher, stream, part))
    other = asyncio.create_task(heard(batcher, beside, part))
    await asyncio.sleep(0)  # both wait
    listener.cancel()
    assert await other == pytest.approx(VoiceActivity(model).hear(part), abs=NEAR)
    assert await heard(batcher, stream, b"") == pytest.approx(VoiceActivity(model).hear(part), abs=NEAR)
    assert counting.calls[0] == 1  # nobody waited for the cancelled one


@pytest.mark.anyio
async def test_what_is_wrong_with_the_model_is_told_to_all_who_wait(model, speech) -> None:
    batcher = VoiceBatcher(cast(VoiceModel, Broken()))
    tried = (heard(batcher, VoiceActivity(model), bytes(2 * WINDOW)) for _ in range(2))
    found = await asyncio.gather(*tried, return_exceptions=True)
    assert [str(error) for error in found] == ["broken", "broken"]
