from collections.abc import Iterator
from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import pytest

from textpro.data.kokoro import KOKORO_RATE, KOKORO_STYLES, KOKORO_VOICES, Kokoro
from textpro.data.speech_engines import SAMPLE_RATE, SynthesisError, engine
from textpro.data.synthesis import plan
from textpro.data.voices import Delivery


def test_pieces_become_one_clip_at_the_rate_and_loudness_of_the_delivery() -> None:
    asked = []

    def pipeline(text: str, *, voice: str, speed: float) -> Iterator[SimpleNamespace]:
        asked.append((text, voice, speed))
        for second in (0.5, None, 0.25):
            yield SimpleNamespace(audio=None if second is None else np.full(int(second * KOKORO_RATE), 0.5, np.float32))

    voice = next(voice for voice in KOKORO_VOICES if voice.name == "bm_george")
    accents = []
    kokoro = Kokoro(lambda accent: accents.append(accent) or pipeline)
    samples = kokoro.speak("Hello.", voice, Delivery("neutral", 50, 50, 210, 80))
    assert (asked, accents) == ([("Hello.", "bm_george", 1.2)], ["b"])
    assert samples.dtype == np.int16
    assert len(samples) == int(0.75 * SAMPLE_RATE)
    assert np.median(samples) == pytest.approx(0.5 * 0.8 * 32767, rel=0.01)


def test_nothing_to_say_is_an_empty_clip() -> None:
    samples = Kokoro(lambda _: lambda *_, **__: []).speak("", KOKORO_VOICES[0], Delivery("neutral", 50, 50, 175, 100))
    assert len(samples) == 0


def test_a_voice_is_labelled_by_its_name() -> None:
    labels = {voice.name: (voice.accent, voice.gender) for voice in KOKORO_VOICES}
    assert labels["af_heart"] == ("en-us", "female")
    assert labels["bm_george"] == ("en-gb", "male")
    jobs = plan(["Hello."], KOKORO_VOICES, clips=50, seed=0, flite_share=0, deliveries=KOKORO_STYLES)
    assert {(job.labels()["style"], job.labels()["pitch"]) for job in jobs} == {("neutral", "middle")}


@pytest.mark.skipif(find_spec("kokoro") is not None, reason="Kokoro is installed")
def test_a_missing_package_is_named_with_its_remedy() -> None:
    with pytest.raises(SynthesisError, match="pip install kokoro"):
        engine("kokoro")
