import shutil

import numpy as np
import pytest

from tests.textpro.conftest import babble
from textpro.data.synthesis import speak
from textpro.data.voices import Delivery, voices
from textpro.guards import OFF, Guards, VoiceDetector, compression
from textpro.loudness import loudest_dbfs
from textpro.training.augment import noise

needs_espeak = pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")
SURE = {"log_probability": -0.1, "no_speech_probability": 0.01}


@pytest.fixture(scope="module")
def detector() -> VoiceDetector:
    return VoiceDetector()


@pytest.fixture(scope="module")
def yes() -> np.ndarray:
    voice = next(v for v in voices("seen") if v.engine == "espeak-ng")
    samples = speak("Yes.", voice, Delivery(style="neutral", pitch=50, range=50, rate_wpm=175, volume=100))
    return samples.astype(np.float32) / 32768


def test_silence_is_refused_and_a_dc_offset_does_not_make_it_sound() -> None:
    guards = Guards()
    assert guards.silent(np.zeros(16_000, np.float32))
    assert guards.silent(np.full(16_000, 0.25, np.float32))
    assert guards.silent(np.zeros(0, np.float32))
    assert not guards.silent(babble(1.0) * 0.01)


@pytest.mark.parametrize("seed", range(12))
def test_noise_of_any_colour_has_no_voice(detector: VoiceDetector, seed: int) -> None:
    sound = 0.1 * noise(np.random.default_rng(seed), 48_000)
    assert Guards().voiceless(detector(sound))


def test_white_noise_at_any_level_has_no_voice(detector: VoiceDetector) -> None:
    white = np.random.default_rng(0).standard_normal(48_000).astype(np.float32)
    assert all(Guards().voiceless(detector(white * level)) for level in (1.0, 0.1, 0.001))


@needs_espeak
@pytest.mark.parametrize("gain_db", [0, -20, -40, -45])
def test_one_short_word_is_heard_however_quiet(detector: VoiceDetector, yes: np.ndarray, gain_db: float) -> None:
    quiet = yes * np.float32(10 ** (gain_db / 20))
    assert not Guards().silent(quiet)
    assert not Guards().voiceless(detector(quiet))


@needs_espeak
def test_a_word_in_a_long_silence_is_heard(detector: VoiceDetector, yes: np.ndarray) -> None:
    around = np.zeros(5 * 16_000, np.float32)
    assert not Guards().voiceless(detector(np.concatenate([around, yes, around])))


def test_the_detector_leaves_its_input_alone_and_has_no_memory(detector: VoiceDetector) -> None:
    audio = babble(1.0)
    before = audio.copy()
    first = detector(audio)
    assert len(first) == -(-len(audio) // 512)
    np.testing.assert_array_equal(audio, before)
    np.testing.assert_array_equal(detector(audio), first)


@pytest.mark.parametrize("text", ["Yes.", "No, no, no.", "Please call me tomorrow morning."])
def test_sure_words_pass(text: str) -> None:
    assert Guards().after(text, **SURE) is None


@pytest.mark.parametrize(
    ("text", "told", "reason"),
    [
        ("", {}, "no_speech"),
        (" ...", {}, "no_speech"),
        ("Thank you.", {"no_speech_probability": 0.9, "log_probability": -0.9}, "no_speech"),
        ("Mumble.", {"log_probability": -5.0}, "unsure"),
        ("and the " * 30, {}, "repetition"),
        ("Who,,,,,, is there?", {}, "repetition"),
        ("No no no no no!", {}, None),
    ],
)
def test_what_a_model_invents_is_refused_with_its_reason(text: str, told: dict, reason: str) -> None:
    assert Guards().after(text, **SURE | told) == reason


def test_a_likely_no_speech_does_not_refuse_sure_words() -> None:
    assert Guards().after("Yes.", log_probability=-0.05, no_speech_probability=0.9) is None


def test_guards_that_are_off_refuse_no_words() -> None:
    assert not OFF.silent(np.zeros(10, np.float32))
    assert not OFF.voiceless(np.zeros(10))
    assert OFF.after("a " * 200, log_probability=-50.0, no_speech_probability=1.0) is None


def test_level_is_that_of_the_loudest_part() -> None:
    square = np.tile(np.array([0.5, -0.5], np.float32), 8_000)
    assert loudest_dbfs(square) == pytest.approx(-6.02, abs=0.01)
    assert loudest_dbfs(np.concatenate([np.zeros(51_200, np.float32), square])) == pytest.approx(-6.02, abs=0.1)


def test_repetition_compresses_and_sentences_do_not() -> None:
    assert compression("the cat the cat " * 20) > 5
    assert compression("Please call me tomorrow morning.") < 1.5
