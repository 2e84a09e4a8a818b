"""Voice activity along a stream."""

from pathlib import Path

import numpy as np
import pytest

from services.gateway.vad import WINDOW, VoiceActivity, VoiceModel
from textpro.audio import SAMPLE_RATE, decode

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
