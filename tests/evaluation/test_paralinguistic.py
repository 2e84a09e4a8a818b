from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from textpro.data.turns import ProsodyStore, Turn, TurnsError, TurnsWriter, place
from textpro.evaluation.multiple_choice import decide
from textpro.evaluation.paralinguistic import cases, say
from textpro.slm import TextProSLM

VOICES = {"c0": "calm", "c1": "sad", "c2": "angry"}
LETTERED = ("angry", "calm", "sad")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    turns = [
        Turn(f"{c}#0", "style", "Hello.", f"You sound {v}.", "How?", place(0, c), label=v) for c, v in VOICES.items()
    ]
    turns.append(Turn("c1#1", "style", "Hello.", "C. Sad", "A. B. C.", place(0, "c1"), LETTERED, "sad"))
    turns.append(Turn("c1#2", "style", "Hello.", "Sad.", "A. B. C.", place(0, "c1"), LETTERED, "sad"))
    turns.append(
        Turn("c2#1", "style", "Am I calm or upset?", "You seem upset.", "", place(0, "c2"), ("calm", "upset"), "upset")
    )
    turns.append(Turn("c2#2", "caption", "Hello.", "An angry voice.", "Describe it.", place(0, "c2")))
    rows = {c: torch.full((2 + i, 4), float(i)) for i, c in enumerate(VOICES)}
    TurnsWriter(tmp_path).add(0, turns, rows)
    return tmp_path


def test_the_options_of_a_question_are_its_own_or_all_labels(folder: Path) -> None:
    made = {case.id: case for case in cases(folder)}
    assert set(made) == {"c0#0", "c1#0", "c2#0", "c1#1", "c1#2", "c2#1"}  # a caption has no right option
    assert made["c0#0"].labels == ("angry", "calm", "sad")
    assert made["c0#0"].labels[made["c0#0"].right] == "calm"
    assert [word in text for word, text in zip(("angry", "calm", "sad"), made["c0#0"].options, strict=True)] == [
        True
    ] * 3
    assert made["c1#1"].options == ("A. Angry", "B. Calm", "C. Sad")
    assert made["c1#1"].options[made["c1#1"].right] == "C. Sad"
    assert made["c1#2"].options == ("Angry.", "Calm.", "Sad.")
    assert made["c2#1"].labels == ("calm", "upset")
    assert torch.equal(made["c2#1"].prosody, ProsodyStore(folder)["00000/c2"])


def test_a_folder_without_labels_is_refused(tmp_path: Path) -> None:
    TurnsWriter(tmp_path).add(0, [Turn("a", "chat", "Hi.", "Hello.")], {})
    with pytest.raises(TurnsError, match="no question"):
        cases(tmp_path)


def test_who_hears_the_voice_is_always_right(folder: Path, clear: Callable) -> None:
    words = [("calm",), ("sad", "upset"), ("angry", "upset")]
    ear = clear(lambda _, prosody, option: float(any(w in option.lower() for w in words[round(float(prosody.mean()))])))
    assert all(outcome.hit for outcome in decide(ear, cases(folder)))


def test_generated_answers_are_read_for_their_label(folder: Path, clear: Callable) -> None:
    llm = clear(lambda *_: 0.0)
    assert all(outcome.hit for outcome in say(llm, cases(folder)))
    llm.reply = lambda turn: "I can't tell."
    assert [outcome.chosen for outcome in say(llm, cases(folder))] == [None] * 6
    llm.reply = lambda turn: "You sound calm to me."
    assert {outcome.id for outcome in say(llm, cases(folder)) if outcome.hit} == {"c0#0"}


def test_a_real_model_answers_and_chooses(folder: Path, slm: TextProSLM) -> None:
    for outcomes in (decide(slm, cases(folder)), say(slm, cases(folder), max_tokens=3)):
        assert [outcome.options for outcome in outcomes] == [3, 3, 3, 3, 3, 2]
