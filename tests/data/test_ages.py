from random import Random

import numpy as np
import pytest

from textpro.data.ages import SHORTENING, Age
from textpro.data.manifest import Clip
from textpro.data.questionnaire import ask
from textpro.data.speech_engines import SAMPLE_RATE
from textpro.data.synthesis import plan
from textpro.data.voices import AGES, Delivery, voices

SENTENCES = ["We are going to the market early this morning.", "The kettle is on the stove."]
TONE = (8000 * np.sin(2 * np.pi * 200 * np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE)).astype(np.int16)


def f0_hz(samples: np.ndarray) -> np.ndarray:
    """The frequency of a tone every 20 ms, by the distance of its upward crossings of zero."""
    x = samples.astype(np.float64)
    before = np.flatnonzero((x[:-1] < 0) & (x[1:] >= 0))
    crossings = before + x[before] / (x[before] - x[before + 1])
    return np.interp(np.arange(3200, len(x) - 3200, 320), crossings[1:], SAMPLE_RATE / np.diff(crossings))


def test_a_childs_voice_is_higher_and_what_it_says_takes_as_long() -> None:
    child = Age.draw("child", Random(1))
    assert SHORTENING[0] <= child.shortening <= SHORTENING[1]
    made = child.put_on(TONE)
    assert made.dtype == np.int16
    assert np.median(f0_hz(made)) == pytest.approx(200 * child.shortening, rel=1e-3)
    slowed = child.slowed(Delivery("neutral", 50, 50, 180, 100))
    assert len(made) / len(TONE) == pytest.approx(slowed.rate_wpm / 180, rel=0.01)


def test_an_old_voice_trembles_around_its_own_pitch() -> None:
    old = Age.draw("elderly", Random(1))
    heard = f0_hz(old.put_on(TONE))
    assert heard.mean() == pytest.approx(200, rel=0.01)
    assert np.ptp(heard) / 2 == pytest.approx(200 * old.tremor, rel=0.15)
    assert len(old.put_on(TONE)) == len(TONE)


def test_an_adults_voice_stays_as_it_is() -> None:
    np.testing.assert_array_equal(Age.draw("adult", Random(1)).put_on(TONE), TONE)


def test_ages_change_nothing_else_about_a_corpus() -> None:
    plain = list(plan(SENTENCES, voices("seen"), clips=300, seed=3))
    aged = list(plan(SENTENCES, voices("seen"), clips=300, seed=3, ages=AGES))
    assert "age_group" not in plain[0].labels()
    assert [job.delivery for job in plain] == [job.delivery for job in aged]
    assert all(one.voice == two.voice for one, two in zip(plain, aged, strict=True) if two.age.name != "child")


def test_children_have_womens_voices_and_no_gender() -> None:
    aged = list(plan(SENTENCES, voices("seen"), clips=300, seed=3, ages=AGES))
    children = [job for job in aged if job.age.name == "child"]
    assert 70 < len(children) < 130
    assert {job.voice.gender for job in children} == {"female"}
    assert all(("gender" in job.labels()) == (job.labels()["age_group"] != "child") for job in aged)


def test_a_corpus_with_ages_can_be_asked_about_them() -> None:
    aged = plan(SENTENCES, voices("seen"), clips=90, seed=3, ages=AGES)
    clips = [Clip(job.id, "a.wav", job.text, 2.0, job.labels()) for job in aged]
    asked = ask(clips, ["age"], split="train", per_clip=2, seed=0)
    assert {one.label for one in asked if not one.options} == set(AGES)
