import wave
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from textpro.data import manifest
from textpro.data.manifest import Clip
from textpro.data.speech_qa import questions
from textpro.decoding import SpeechDecoder
from textpro.evaluation.modality_gap import Asked, SpeechError, cases, listen
from textpro.evaluation.multiple_choice import decide

ASKED = questions()[:4]


class Ear:
    """Hears every clip in capitals; nothing in the last, which is the shortest."""

    def decode(self, audio: Sequence[np.ndarray]) -> list[Any]:
        heard = []
        for samples in audio:
            i = len(samples) // 1600 - 1
            tokens, text = ([1, 2], ASKED[i].question.upper()) if i else ([], "")
            heard.append(SimpleNamespace(tokens=tokens, text=text, prosody=np.full((len(tokens), 4), i, np.float32)))
        return heard


def speak(folder: Path, texts: Sequence[str]) -> Path:
    for i in range(len(texts)):
        with wave.open(str(folder / f"{i}.wav"), "wb") as file:
            file.setparams((1, 2, 16_000, 0, "NONE", ""))
            file.writeframes(np.full(1600 * (i + 1), 3000, "<i2").tobytes())
    clips = [Clip(str(i), f"{i}.wav", text, 0.1 * (i + 1)) for i, text in enumerate(texts)]
    manifest.write(folder / "manifest.jsonl", clips)
    return folder / "manifest.jsonl"


@pytest.fixture
def heard(tmp_path: Path) -> list[Asked]:
    return listen(speak(tmp_path, [one.question for one in ASKED]), cast(SpeechDecoder, Ear()))


def test_clips_are_matched_with_the_questions_they_ask(heard: list[Asked]) -> None:
    assert [one.question for one in heard] == ASKED
    assert (heard[0].transcript, heard[0].prosody) == ("", None)
    assert heard[1].transcript == ASKED[1].question.upper()
    assert heard[1].prosody is not None
    assert heard[1].prosody.shape == (2, 4)


@pytest.mark.parametrize("texts", [[], ["Nobody asks this."]])
def test_what_asks_nothing_of_ours_is_refused(tmp_path: Path, texts: list[str]) -> None:
    with pytest.raises(SpeechError, match="no question of ours"):
        listen(speak(tmp_path, texts), cast(SpeechDecoder, Ear()))


def test_systems_differ_in_what_they_are_given_and_in_nothing_else(heard: list[Asked]) -> None:
    text, cascade, speech = (cases(heard, "letter", given) for given in ("text", "transcript", "speech"))
    assert [one.id for one in text] == [one.id for one in cascade] == [one.id for one in speech]
    assert [one.options for one in text] == [one.options for one in speech] == [tuple("ABCD")] * 4
    assert [one.turn.transcript for one in text] == [one.question for one in ASKED]
    assert [one.turn for one in cascade] == [one.turn for one in speech]
    assert not any(one.prosody is not None for one in [*text, *cascade])
    assert [one.prosody is not None for one in speech] == [False, True, True, True]


def test_what_reads_written_words_alone_loses_what_was_heard_wrongly(heard: list[Asked], clear: Callable) -> None:
    answers = {one.question: one.options[one.answer] for one in ASKED}
    reader = clear(lambda turn, _, option: float(answers.get(turn.transcript) == option))
    written, capitals = (decide(reader, cases(heard, "continuation", given)) for given in ("text", "transcript"))
    assert [outcome.hit for outcome in written] == [True] * 4
    assert [outcome.chosen for outcome in capitals] == [0] * 4
