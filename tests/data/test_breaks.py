import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest

from textpro.data import manifest
from textpro.data.ages import Age
from textpro.data.speech_engines import SAMPLE_RATE, SynthesisError, engine
from textpro.data.ssml import with_breaks
from textpro.data.synthesis import plan, speak, synthesize, trim
from textpro.data.voices import AGES, STYLES, Delivery, Style, voices

STRAIGHT = Delivery("sad", 50, 50, 150, 100)
SENTENCE = "My brother wants to visit that old museum near his river tomorrow morning"
SENTENCES = [SENTENCE, "The kettle is on the stove.", "Tom & Ann said: 2 < 3."]
MARKED = {"calm", "sad", "angry"}


def paused(break_ms: int, words_per_break: int) -> Delivery:
    return replace(STRAIGHT, break_ms=break_ms, words_per_break=words_per_break)


def silence_s(samples: np.ndarray) -> float:
    """Seconds under 2 % of the loudest 10 ms, within the speech."""
    frames = trim(samples).astype(np.float64)
    frames = frames[: len(frames) // 160 * 160].reshape(-1, 160)
    level = np.sqrt((frames**2).mean(axis=1))
    return float((level < 0.02 * level.max()).sum() / 100)


@pytest.fixture
def spoken() -> None:
    try:
        engine("espeak-ng")
    except SynthesisError as error:
        pytest.skip(str(error))


def test_breaks_change_nothing_else_about_a_corpus() -> None:
    straight = list(plan(SENTENCES, voices("seen"), clips=300, seed=3, ages=AGES))
    broken = list(plan(SENTENCES, voices("seen"), clips=300, seed=3, ages=AGES, breaks=True))
    assert not any(job.delivery.break_ms or "break_ms" in job.labels() for job in straight)
    assert [replace(job, delivery=replace(job.delivery, break_ms=0, words_per_break=0)) for job in broken] == straight


def test_a_style_with_breaks_says_so_in_the_labels_of_voices_that_make_them() -> None:
    for job in plan(SENTENCES, voices("seen"), clips=300, seed=3, flite_share=0.5, breaks=True):
        heard = job.delivery.style in MARKED and job.voice.engine == "espeak-ng"
        assert ("break_ms" in job.labels()) == ("words_per_break" in job.labels()) == heard


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.name)
def test_a_style_draws_its_breaks_within_its_bounds(style: Style) -> None:
    rng = Random(1)
    for _ in range(200):
        delivery = style.paused(style.draw(rng), rng)
        assert style.break_ms[0] <= delivery.break_ms <= style.break_ms[1]
        assert style.words_per_break[0] <= delivery.words_per_break <= style.words_per_break[1]
        assert (delivery.break_ms > 0) == (delivery.words_per_break > 0) == (style.name in MARKED)


def test_marked_up_text_keeps_its_words_and_has_no_break_at_the_end() -> None:
    tree = ElementTree.fromstring(with_breaks("Tom & Ann said: 2 < 3.", paused(200, 2)))
    assert "".join(tree.itertext()).split() == ["Tom", "&", "Ann", "said:", "2", "<", "3."]
    assert [dict(mark.attrib) for mark in tree] == [{"time": "200ms"}] * 3
    assert (tree[-1].tail or "").strip() == "3."
    assert with_breaks("Go.", paused(200, 1)) == "<speak>Go.</speak>"


def test_no_break_parts_an_article_from_its_noun() -> None:
    marked = with_breaks("A cat and the dog", paused(50, 1))
    assert marked.replace('<break time="50ms"/>', "|") == "<speak>A cat | and | the dog</speak>"


@pytest.mark.usefixtures("spoken")
@pytest.mark.parametrize("words_per_break", [1, 3])
def test_a_break_is_heard_for_as_long_as_it_was_asked(words_per_break: int) -> None:
    voice = voices("seen")[0]
    n_breaks = with_breaks(SENTENCE, paused(100, words_per_break)).count("<break")
    short, long = (speak(SENTENCE, voice, paused(ms, words_per_break)) for ms in (50, 300))
    assert (len(long) - len(short)) / SAMPLE_RATE == pytest.approx(0.25 * n_breaks, rel=0.1)
    assert silence_s(long) - silence_s(short) == pytest.approx(0.25 * n_breaks, rel=0.15)
    assert silence_s(short) > silence_s(speak(SENTENCE, voice, STRAIGHT))


@pytest.mark.usefixtures("spoken")
def test_a_clip_with_breaks_leaves_none_in_the_next() -> None:
    voice = voices("seen")[0]
    before = len(speak(SENTENCE, voice, STRAIGHT))
    speak(SENTENCE, voice, paused(300, 2))
    # espeak-ng's own speech differs by some 10 ms from call to call.
    assert len(speak(SENTENCE, voice, STRAIGHT)) == pytest.approx(before, abs=0.05 * SAMPLE_RATE)


def test_a_childs_breaks_are_stretched_for_the_shortening() -> None:
    child = Age("child", shortening=1.25)
    assert child.slowed(paused(200, 3)).break_ms == 250
    assert child.slowed(STRAIGHT).break_ms == 0


@pytest.mark.usefixtures("spoken")
def test_a_corpus_without_breaks_is_not_continued_with_them(tmp_path: Path) -> None:
    speakers = [voice for voice in voices("seen") if voice.engine == "espeak-ng"]
    path = synthesize(SENTENCES, speakers, tmp_path / "with", clips=9, seed=1, workers=1, breaks=True)
    assert any("break_ms" in clip.labels for clip in manifest.read(path))
    assert [clip.text for clip in manifest.read(path)] == SENTENCES * 3
    with pytest.raises(SynthesisError, match="another run"):
        synthesize(SENTENCES, speakers, tmp_path / "with", clips=9, seed=1, workers=1)
