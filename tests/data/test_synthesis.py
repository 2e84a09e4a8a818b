import wave
from pathlib import Path

import numpy as np
import pytest

from textpro.data import manifest
from textpro.data.speech_engines import SAMPLE_RATE, EspeakNg, Flite, SynthesisError, Synthesizer, engine
from textpro.data.synthesis import plan, speak, synthesize, trim
from textpro.data.voices import Delivery, Voice, voices

NEUTRAL = Delivery("neutral", 50, 50, 175, 100)
SENTENCE = "We are going to the market early this morning."
SENTENCES = [f"There are {number} apples in the bowl." for number in ("two", "three", "four", "five", "six")]


def voice_of(engine_name: str, gender: str = "male") -> Voice:
    return next(voice for voice in voices("seen") if (voice.engine, voice.gender) == (engine_name, gender))


def synthesizer_or_skip(name: str) -> Synthesizer:
    try:
        found = engine(name)
        found.speak("Hello.", voice_of(name), NEUTRAL)
    except SynthesisError as error:
        pytest.skip(str(error))
    return found


@pytest.fixture(params=["espeak-ng", "flite"])
def engine_name(request: pytest.FixtureRequest) -> str:
    synthesizer_or_skip(request.param)
    return request.param


@pytest.fixture
def espeak_voices() -> list[Voice]:
    synthesizer_or_skip("espeak-ng")
    return [voice for voice in voices("seen") if voice.engine == "espeak-ng"]


def f0_hz(samples: np.ndarray) -> float:
    """Median fundamental frequency by autocorrelation, of the frames that have one."""
    found = []
    frames = np.lib.stride_tricks.sliding_window_view(samples.astype(np.float64), 1024)[::512]
    for frame in frames[np.sqrt((frames**2).mean(axis=1)) > 500]:
        correlation = np.fft.irfft(np.abs(np.fft.rfft(frame - frame.mean(), 4096)) ** 2)[:267]
        correlation = correlation / correlation[0] / (1 - np.arange(267) / 1024)
        lag = 40 + int(correlation[40:].argmax())
        if correlation[lag] > 0.5:
            found.append(SAMPLE_RATE / lag)
    return float(np.median(found))


def test_an_engine_speaks_int16_of_plausible_length_and_level(engine_name: str) -> None:
    samples = speak(SENTENCE, voice_of(engine_name), NEUTRAL)
    assert samples.dtype == np.int16
    assert 1.5 < len(samples) / SAMPLE_RATE < 4.5
    assert np.sqrt((samples.astype(np.float64) ** 2).mean()) > 500


def test_an_engine_speaks_faster_when_asked(engine_name: str) -> None:
    voice = voice_of(engine_name)
    slow, fast = (len(speak(SENTENCE, voice, Delivery("neutral", 50, 50, rate, 100))) for rate in (120, 230))
    assert fast < 0.7 * slow


def test_an_engine_speaks_louder_when_asked(engine_name: str) -> None:
    voice = voice_of(engine_name)
    quiet, loud = (speak(SENTENCE, voice, Delivery("neutral", 50, 50, 175, volume)) for volume in (50, 100))
    assert np.abs(quiet.astype(int)).max() < 0.7 * np.abs(loud.astype(int)).max()


def test_an_engine_speaks_higher_when_asked(engine_name: str) -> None:
    voice = voice_of(engine_name)
    low, high = (f0_hz(speak(SENTENCE, voice, Delivery("neutral", pitch, 50, 175, 100))) for pitch in (10, 90))
    assert high > 1.2 * low


def test_an_engine_says_nothing_for_an_empty_text(engine_name: str) -> None:
    assert len(trim(speak("", voice_of(engine_name), NEUTRAL))) == 0


def test_women_speak_higher_than_men(engine_name: str) -> None:
    man, woman = (f0_hz(speak(SENTENCE, voice_of(engine_name, gender), NEUTRAL)) for gender in ("male", "female"))
    assert woman > 1.3 * man


def test_accents_differ_under_the_same_variant(espeak_voices: list[Voice]) -> None:
    text = "The car in the bath was bought for the other nurse, go home and dance."
    lengths = {len(speak(text, voice, NEUTRAL)) for voice in espeak_voices if voice.variant == "Andy"}
    assert len(lengths) == 8


def test_every_espeak_voice_in_the_catalogue_exists(espeak_voices: list[Voice]) -> None:
    for voice in espeak_voices + [voice for voice in voices("held_out") if voice.engine == "espeak-ng"]:
        assert len(speak("Go.", voice, NEUTRAL)) > 0, voice


def test_an_unknown_voice_is_refused_instead_of_spoken_in_another(espeak_voices: list[Voice]) -> None:
    with pytest.raises(SynthesisError, match="no voice 'en-nowhere'"):
        speak("Hello.", Voice("espeak-ng", "en-nowhere", "en-us", "male", "plain"), NEUTRAL)


def test_a_missing_espeak_library_is_named_with_its_remedy() -> None:
    with pytest.raises(SynthesisError, match="apt-get install espeak-ng"):
        EspeakNg("libno-such-library.so")


def test_a_missing_flite_is_named_with_its_remedy() -> None:
    with pytest.raises(SynthesisError, match="apt-get install espeak-ng flite"):
        Flite("no-such-program").speak("Hello.", voice_of("flite"), NEUTRAL)


def test_trimming_leaves_speech_and_a_short_edge() -> None:
    edge = int(0.15 * SAMPLE_RATE)
    speech = np.full(SAMPLE_RATE, 9000, np.int16)
    padded = np.concatenate([np.full(8000, 20, np.int16), speech, np.zeros(12_000, np.int16)])
    assert len(trim(padded)) == len(speech) + 2 * edge
    np.testing.assert_array_equal(trim(speech), speech)
    assert len(trim(np.zeros(5000, np.int16))) == 0


def test_a_clip_is_planned_alike_in_a_longer_corpus() -> None:
    short, long = (list(plan(SENTENCES, voices("seen"), clips=clips, seed=3)) for clips in (5, 50))
    assert long[:5] == short


def test_another_seed_plans_other_voices_for_the_same_sentences() -> None:
    one, two = (list(plan(SENTENCES, voices("seen"), clips=50, seed=seed)) for seed in (1, 2))
    assert [job.text for job in one] == [job.text for job in two]
    assert [job.voice for job in one] != [job.voice for job in two]


def test_men_and_women_speak_equally_often_and_flite_its_share() -> None:
    jobs = list(plan(SENTENCES, voices("seen"), clips=4000, seed=1, flite_share=0.1))
    assert 0.46 < sum(job.voice.gender == "female" for job in jobs) / len(jobs) < 0.54
    assert 0.08 < sum(job.voice.engine == "flite" for job in jobs) / len(jobs) < 0.12


def test_every_manifest_line_names_a_wav_of_its_length(tmp_path: Path, espeak_voices: list[Voice]) -> None:
    path = synthesize(SENTENCES, espeak_voices, tmp_path, clips=7, seed=1, workers=1)
    clips = manifest.read(path)
    assert [clip.text for clip in clips] == [*SENTENCES, *SENTENCES[:2]]
    for clip in clips:
        with wave.open(str(manifest.resolve(path, clip))) as file:
            assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (SAMPLE_RATE, 1, 2)
            assert file.getnframes() / SAMPLE_RATE == pytest.approx(clip.duration_s, abs=1e-3)


def test_two_workers_plan_the_corpus_that_one_does(tmp_path: Path, espeak_voices: list[Voice]) -> None:
    one, two = (
        manifest.read(synthesize(SENTENCES, espeak_voices, tmp_path / str(workers), clips=120, seed=1, workers=workers))
        for workers in (1, 2)
    )
    assert [(clip.id, clip.text, clip.labels) for clip in one] == [(clip.id, clip.text, clip.labels) for clip in two]


def test_an_interrupted_run_continues_without_redoing_its_clips(tmp_path: Path, espeak_voices: list[Voice]) -> None:
    path = synthesize(SENTENCES, espeak_voices, tmp_path, clips=6, seed=1, workers=1)
    whole = manifest.read(path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:3]) + lines[3][:20])
    kept = manifest.resolve(path, whole[0])
    kept.write_bytes(b"untouched")
    synthesize(SENTENCES, espeak_voices, tmp_path, clips=6, seed=1, workers=1)
    assert [(clip.id, clip.labels) for clip in manifest.read(path)] == [(clip.id, clip.labels) for clip in whole]
    assert kept.read_bytes() == b"untouched"


def test_a_folder_of_another_run_is_refused(tmp_path: Path, espeak_voices: list[Voice]) -> None:
    synthesize(SENTENCES, espeak_voices, tmp_path, clips=3, seed=1, workers=1)
    with pytest.raises(SynthesisError, match="another run"):
        synthesize(SENTENCES, espeak_voices, tmp_path, clips=3, seed=2, workers=1)


def test_clips_without_sound_or_too_long_are_left_out(tmp_path: Path, espeak_voices: list[Voice]) -> None:
    sentences = ["", "Hello there.", "and so on " * 60]
    path = synthesize(sentences, espeak_voices, tmp_path, clips=3, seed=1, workers=1)
    assert [clip.text for clip in manifest.read(path)] == ["Hello there."]
