import json
from importlib.util import find_spec
from pathlib import Path

import pytest

from services.cli import main
from textpro.data import turns
from textpro.data.paralinguistic import spoken_questions
from textpro.data.speech_engines import SynthesisError, engine
from textpro.language_model import identity


@pytest.fixture
def espeak() -> None:
    try:
        engine("espeak-ng")
    except SynthesisError as error:
        pytest.skip(str(error))


def test_questions_are_printed_one_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "questions", "--attributes", "style", "--split", "test"]) == 0
    assert capsys.readouterr().out.splitlines() == spoken_questions("test", ["style"])


@pytest.mark.embedded
@pytest.mark.usefixtures("espeak")
def test_texts_become_turns_that_a_second_call_leaves_as_they_are(
    tiny_llm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "texts.jsonl").write_text('{"id": "a", "text": "What is the capital of France?"}\n')
    command = ["data", "distill", "--text", str(tmp_path / "texts.jsonl"), "--out", str(tmp_path / "turns")]
    command += ["--llm", str(tiny_llm), "--temperature", "0.7", "--max-tokens", "200", "--flite-share", "0"]
    assert main(command) == main(command) == 0
    assert json.loads((tmp_path / "turns" / "run.json").read_text())["settings"]["teacher"] == identity(str(tiny_llm))
    # An untrained LLM may come to the end of a sentence or not.
    assert ("dropped" in capsys.readouterr().out) != ([turn.id for turn in turns.read(tmp_path / "turns")] == ["a"])


@pytest.mark.parametrize(
    ("options", "message"),
    [(["--styles", "sad"], "don't speak in the style sad; they know neutral"), ([], "pip install kokoro")],
)
@pytest.mark.skipif(find_spec("kokoro") is not None, reason="Kokoro is installed")
def test_kokoro_is_asked_for_what_it_can_do(
    options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["synthesize", "--voices", "kokoro", "--clips", "2", "--out", str(tmp_path), *options]) == 1
    assert message in capsys.readouterr().err


@pytest.mark.embedded
@pytest.mark.usefixtures("espeak")
def test_spoken_questions_become_turns_in_which_the_speech_asks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "questions.txt").write_text("How do I sound?\nAm I calm or upset?\n")
    corpus, out = tmp_path / "corpus", tmp_path / "turns"
    made = ["synthesize", "--out", str(corpus), "--sentences", str(tmp_path / "questions.txt"), "--clips", "12"]
    assert main([*made, "--flite-share", "0", "--workers", "1"]) == 0
    asked = ["data", "paralinguistic", "--manifest", str(corpus / "manifest.jsonl"), "--out", str(out)]
    assert main([*asked, "--attributes", "style", "--per-clip", "1"]) == 0
    assert " of 12 clips\n" in capsys.readouterr().out
    made_turns = turns.read(out)
    assert made_turns
    assert all(turn.task == "style" and turn.question == "" and turn.label for turn in made_turns)
