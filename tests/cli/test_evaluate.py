"""`textpro evaluate` with the embedded encoder and a tiny LLM."""

import shutil
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
SPOKEN = Path(__file__).resolve().parents[2] / "examples" / "capital.wav"


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    """Three questions, asked in silence."""
    with wave.open(str(tmp_path / "silence.wav"), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(bytes(16_000))
    clips = [Clip(str(i), "silence.wav", one.question, 0.5) for i, one in enumerate(questions()[:3])]
    manifest.write(tmp_path / "manifest.jsonl", clips)
    return tmp_path / "manifest.jsonl"


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """One recording ten times: a gender each, no accent, one clip of a rare pitch."""
    shutil.copy(SPOKEN, tmp_path / "a.wav")
    clips = [
        Clip(str(i), "a.wav", "What is the capital of France?", 2.0, {"gender": ("female", "male")[i % 2]})
        for i in range(10)
    ]
    clips[0].labels["pitch"] = "high"
    manifest.write(tmp_path / "manifest.jsonl", clips)
    return tmp_path / "manifest.jsonl"


def test_probing_leaves_out_what_the_corpus_does_not_label(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = corpus.with_name("probing.json")
    arguments = ["evaluate", "probing", "--manifest", str(corpus), "--bundle", ENCODER, "--hidden", "8"]
    assert main([*arguments, "--beam-size", "1", "--json", str(file)]) == 0
    shown = capsys.readouterr()
    assert "accent: probing needs two classes with 5 clips each; found none" in shown.err
    assert "pitch: probing needs two classes with 5 clips each; found 1 of high" in shown.err
    cells = {line.split()[0]: line.split()[1:] for line in shown.out.splitlines()}
    assert cells["accent"] == ["–", "–", "–", "0", "–"]
    assert cells["gender"][2:] == ["50.0%", "10", "2"]
    run = read(file)
    assert "gender" in run.numbers
    assert not {"accent", "pitch"} & set(run.numbers)
    assert run.settings == {"hidden": 8, "manifest": str(corpus), "limit": None, "beam_size": 1}


@pytest.mark.parametrize("label", ["accent", "pitch"])
def test_a_named_label_that_can_not_be_probed_is_refused_before_anything_is_heard(
    label: str, corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["evaluate", "probing", "--manifest", str(corpus), "--bundle", "/nowhere"]  # fails when it is loaded
    assert main([*arguments, "--label", "gender", "--label", label]) == 1
    assert f"{label}: probing needs two classes" in capsys.readouterr().err


def test_word_errors_are_kept_with_the_settings_they_depend_on(corpus: Path) -> None:
    file = corpus.with_name("wer.json")
    arguments = ["evaluate", "wer", "--manifest", str(corpus), "--bundle", ENCODER, "--limit", "1", "--snr", "15"]
    assert main([*arguments, "--json", str(file)]) == 0
    told = {"engine": "textpro", "snr_db": 15.0, "manifest": str(corpus), "limit": 1, "beam_size": 5}
    assert read(file).settings == told


def test_pytorch_alone_runs_on_no_gpu(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["evaluate", "wer", "--manifest", str(corpus), "--engine", "pytorch", "--device", "cuda"]
    assert main(asked) == 1
    assert "--engine pytorch runs on the CPU, not on cuda" in capsys.readouterr().err


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


@pytest.mark.parametrize("systems", [[], ["--system", "text", "cascade"]])
def test_forgetting_needs_a_bundle_that_learned_and_its_llm(
    systems: list[str], speech: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["evaluate", "modality-gap", "--speech", str(speech), "--bundle", ENCODER, "--forgetting", *systems]
    assert main(arguments) == 1
    assert "--forgetting compares the bundle's own LLM" in capsys.readouterr().err


def test_facts_can_not_be_measured_without_questions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "paralinguistic", "--turns", str(tmp_path), "--measure", "tone", "facts"]) == 1
    assert "--measure facts needs --facts" in capsys.readouterr().err


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
    assert {outcome.id: outcome.right for outcome in tone.outcomes} == {"a with b": 0, "b with a": 1}
