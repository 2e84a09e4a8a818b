"""`textpro evaluate`'s measures of the LLM, with the embedded encoder and a tiny LLM."""

import wave
from pathlib import Path

import pytest
import torch

from services.cli import main
from textpro.bundle import EMBEDDED
from textpro.data import manifest
from textpro.data.manifest import Clip
from textpro.data.speech_qa import questions
from textpro.data.turns import Turn, TurnsWriter, place
from textpro.evaluation.results import CASCADE, TOPLINE, read

pytestmark = pytest.mark.embedded
ENCODER = str(EMBEDDED / "encoder")  # without a projector


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    """Three questions, asked in silence."""
    with wave.open(str(tmp_path / "silence.wav"), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(bytes(16_000))
    clips = [Clip(str(i), "silence.wav", one.question, 0.5) for i, one in enumerate(questions()[:3])]
    manifest.write(tmp_path / "manifest.jsonl", clips)
    return tmp_path / "manifest.jsonl"


def test_the_text_llm_reads_and_hears_and_both_are_written_down(
    speech: Path, tiny_llm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--bundle", ENCODER, "--llm", str(tiny_llm), "--json", str(tmp_path / "gap.json")]
    assert main(["evaluate", "modality-gap", "--speech", str(speech), *arguments]) == 0
    run = read(tmp_path / "gap.json")
    forms = ("continuation", "letter")
    assert [(one.system, one.form) for one in run.answers] == [(s, f) for s in (TOPLINE, CASCADE) for f in forms]
    assert all(len(one.outcomes) == 3 for one in run.answers)
    shown = capsys.readouterr().out
    assert "### Modality gap, options by letter" in shown
    assert "| Cascade |" in shown


def test_a_bundle_without_a_projector_can_not_be_asked_to_hear(
    speech: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["evaluate", "modality-gap", "--speech", str(speech), "--bundle", ENCODER, "--system", "textpro"]
    assert main(arguments) == 1
    assert "has no projector" in capsys.readouterr().err


def test_questions_about_voices_are_decided_answered_and_exchanged(
    speech: Path, tiny_llm: Path, tmp_path: Path
) -> None:
    labels = {"a": "calm", "b": "angry"}
    turns = [
        Turn(clip, "style", "Hello.", f"You sound {label}.", "How?", place(0, clip), label=label)
        for clip, label in labels.items()
    ]
    TurnsWriter(tmp_path / "turns").add(0, turns, {clip: torch.zeros(2, 4) for clip in labels})
    arguments = ["--bundle", ENCODER, "--llm", str(tiny_llm), "--name", "ours", "--json", str(tmp_path / "voice.json")]
    arguments += ["--facts", str(speech), "--seed", "2"]
    assert main(["evaluate", "paralinguistic", "--turns", str(tmp_path / "turns"), *arguments]) == 0
    run = read(tmp_path / "voice.json")
    assert run.seed == 2
    sizes = {one.form: len(one.outcomes) for one in run.answers}
    assert sizes == {"likelihood": 2, "generated": 2, "tone": 2}  # nobody asked for facts aloud
    tone = next(one for one in run.answers if one.form == "tone")
    assert {outcome.id: outcome.right for outcome in tone.outcomes} == {"a with 00000/b": 0, "b with 00000/a": 1}
