import wave

import pytest

from services.cli import main
from services.cli.demo import (
    CAPITALS,
    CHOICES,
    EXAMPLES,
    QUESTIONS,
    TONES,
    Question,
    complaints,
    toneless_complaints,
)

CAPITAL = Question("capital.wav", "What is the capital of France?", "Paris")


def test_a_right_turn_gives_no_complaint_however_it_is_punctuated() -> None:
    assert complaints(CAPITAL, {"transcript": "what is the capital of france", "reply": "It is paris."}) == []


@pytest.mark.parametrize(
    ("transcript", "reply", "complaint"),
    [
        ("What time is it in London?", "Paris.", "heard 'What time is it in London?'"),
        ("", "", "heard ''"),
        ("What is the capital of France?", "I do not know.", "does not say 'Paris'"),
        ("What is the capital of France?", " ", "got no answer"),
    ],
)
def test_a_wrong_turn_is_complained_of(transcript: str, reply: str, complaint: str) -> None:
    assert any(complaint in said for said in complaints(CAPITAL, {"transcript": transcript, "reply": reply}))


def test_answers_to_the_same_words_that_differ_without_prosody_are_complained_of() -> None:
    calm, upset = ({"transcript": "How do I sound?", "reply": f"You sound {mood}."} for mood in ("calm", "upset"))
    other = {"transcript": "How do I sign?", "reply": "With a pen."}
    assert toneless_complaints([calm, calm, other]) == []
    (complaint,) = toneless_complaints([calm, upset, other])
    assert "'How do I sound?' has several answers" in complaint


@pytest.mark.parametrize("file", [question.file for question in (*QUESTIONS, *TONES, *CHOICES, *CAPITALS)])
def test_the_recordings_are_small_16_khz_mono(file: str) -> None:
    path = EXAMPLES / file
    assert path.stat().st_size < 100_000
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16_000, 1, 2)


@pytest.mark.embedded
def test_the_demo_starts_everything_gets_three_answers_and_stops(capfd: pytest.CaptureFixture[str]) -> None:
    code = main(["demo"])
    said = capfd.readouterr()
    assert code == 0, said.err
    assert "Paris" in said.out
    assert said.out.count("\n  prosody  on") == 3
