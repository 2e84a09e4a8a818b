import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from textpro.data import manifest
from textpro.data.manifest import Clip, ManifestError
from textpro.evaluation.wer import evaluate, word_errors, words


class Parrot:
    """Says back what it was told at the clip's length, which is how it knows the clip."""

    def __init__(self, by_length: dict[int, str]) -> None:
        self.by_length = by_length
        self.heard: list[np.ndarray] = []

    def transcribe(self, audio: Sequence[np.ndarray]) -> list[str]:
        self.heard += audio
        return [self.by_length[len(samples)] for samples in audio]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    texts = ["Good morning, all.", "It's twenty past five", "Where is it?", "No."]
    clips: list[Clip] = []
    for i, text in enumerate(texts):
        n_samples = 1600 * (i + 1)
        with wave.open(str(tmp_path / f"{i}.wav"), "wb") as file:
            file.setparams((1, 2, 16_000, n_samples, "NONE", ""))
            file.writeframes(np.full(n_samples, 3000, "<i2").tobytes())
        labels: dict[str, str | float] = {"engine": "flite" if i % 2 else "espeak-ng"}
        clips.append(
            Clip(str(i), f"{i}.wav", text, n_samples / 16_000, labels | ({"held_out": "pair"} if i == 3 else {}))
        )
    manifest.write(tmp_path / "manifest.jsonl", clips)
    return tmp_path / "manifest.jsonl"


HEARD = {1600: "good morning all", 3200: "it's twenty five", 4800: "where was it", 6400: ""}


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("Hello, World!", ["hello", "world"]),
        ("It's O'Brien’s.", ["it's", "o'brien's"]),
        ("twenty-one 21", ["twenty", "one", "21"]),
        ("'Quoted' — no", ["quoted", "no"]),
        ("Straße, Ünï", ["strasse", "ünï"]),
        ("हिन्दी में, बोलो!", ["हिन्दी", "में", "बोलो"]),
        ("...", []),
    ],
)
def test_case_and_punctuation_do_not_count(text: str, want: list[str]) -> None:
    assert words(text) == want


@pytest.mark.parametrize(
    ("said", "heard", "errors"),
    [
        ("a b c", "a b c", 0),
        ("a b c", "a x c", 1),
        ("a b c", "a c", 1),
        ("a c", "a b c", 1),
        ("a b", "", 2),
        ("", "a", 1),
    ],
)
def test_errors_are_the_fewest_edits(said: str, heard: str, errors: int) -> None:
    assert word_errors(said.split(), heard.split()) == errors


def test_word_errors_are_symmetric_and_obey_the_triangle() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        a, b, c = (rng.integers(0, 4, rng.integers(0, 7)).astype(str).tolist() for _ in range(3))
        assert word_errors(a, b) == word_errors(b, a)
        assert word_errors(a, c) <= word_errors(a, b) + word_errors(b, c)


def test_the_whole_and_each_label_are_scored(corpus: Path) -> None:
    report = evaluate(corpus, Parrot(HEARD), by=("engine", "held_out", "nothing"))
    scores = {s.label: s for s in report.scores}
    assert list(scores) == ["all", "engine=espeak-ng", "engine=flite", "held_out=pair"]
    assert (scores["all"].words, scores["all"].errors, scores["all"].empty) == (11, 3, 1)
    assert report.wer == pytest.approx(3 / 11)
    assert scores["engine=espeak-ng"].wer == pytest.approx(1 / 6)
    assert scores["held_out=pair"].wer == 1.0
    assert "held_out=pair" in report.table()
    assert len(report.table().splitlines()) == 5


def test_a_corpus_without_clips_has_no_word_error_rate(tmp_path: Path) -> None:
    (tmp_path / "manifest.jsonl").write_text("")
    with pytest.raises(ManifestError, match="no clips"):
        evaluate(tmp_path / "manifest.jsonl", Parrot({}))


def test_a_limit_is_the_same_choice_each_time(corpus: Path) -> None:
    first, second = (evaluate(corpus, Parrot(HEARD), limit=2) for _ in range(2))
    assert first.scores[0].clips == 2
    assert [t.clip.id for t in first.transcripts] == [t.clip.id for t in second.transcripts]


def test_noise_is_added_at_the_ratio_asked_for(corpus: Path) -> None:
    clean, noisy = Parrot(HEARD), Parrot(HEARD)
    evaluate(corpus, clean)
    evaluate(corpus, noisy, snr_db=10.0)
    for quiet, loud in zip(clean.heard, noisy.heard, strict=True):
        ratio = 10 * np.log10(np.mean(quiet**2) / np.mean((loud - quiet) ** 2))
        assert ratio == pytest.approx(10.0, abs=0.5)
