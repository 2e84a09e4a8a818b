"""Everyday knowledge to be asked aloud: our own four-way questions, which a small text model answers (paper 4.2).

`text/questions/TOPIC.jsonl` holds `{"id", "topic", "question", "options", "answer"}`, one a line. No sentence that
speech is composed of is among them, nearly all of their words are.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, get_args

from textpro.data.paralinguistic import LETTERS, option_line
from textpro.data.sentences import TEXT_FOLDER, normalise
from textpro.data.turns import Turn
from textpro.errors import TextProError

Format = Literal["continuation", "letter"]
FORMATS: tuple[Format, ...] = get_args(Format)
INSTRUCTION = "Answer with the letter of the right option."
FOLDER = TEXT_FOLDER / "questions"


class QuestionError(TextProError, ValueError):
    """A line that is no question; the message names the file and line."""


@dataclass(frozen=True)
class Question:
    """What is asked, the four texts to choose from, and the place of the right one."""

    id: str
    topic: str
    question: str
    options: tuple[str, ...]
    answer: int

    def turn(self, transcript: str, form: Format) -> Turn:
        """The turn that asks it. Continuation: the question alone; letter: the options follow it as text."""
        if form == "continuation":
            return Turn(self.id, self.topic, transcript, self.options[self.answer])
        lines = [option_line(self.options, option) for option in self.options]
        return Turn(self.id, self.topic, transcript, LETTERS[self.answer], "\n".join([*lines, INSTRUCTION]))

    def continuations(self, form: Format) -> tuple[str, ...]:
        """What the LLM may answer, in the order of the options: their texts, or their letters."""
        return self.options if form == "continuation" else tuple(LETTERS[: len(self.options)])


def questions(folder: Path = FOLDER) -> list[Question]:
    """All questions, by topic. Raises QuestionError."""
    found: list[Question] = []
    for path in sorted(folder.glob("*.jsonl")):
        lines = path.read_text(encoding="utf-8").splitlines()
        found += [_parse(line, f"{path}:{number}") for number, line in enumerate(lines, 1) if line.strip()]
    return found


@cache
def _by_words() -> dict[str, Question]:
    return {normalise(question.question): question for question in questions()}


def asked(sentence: str) -> Question | None:
    """The question that a sentence is, whatever its case and punctuation."""
    return _by_words().get(normalise(sentence))


def _parse(line: str, where: str) -> Question:
    try:
        entry = json.loads(line)
        question = Question(**entry | {"options": tuple(entry["options"])})
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise QuestionError(f"{where}: no question: {error!r}") from error
    if not _whole(question.options, question.answer):
        raise QuestionError(f"{where}: expected four different options and the place of the right one")
    return question


def _whole(options: Sequence[str], answer: object) -> bool:
    return len(set(options)) == len(options) == len(LETTERS) and answer in range(len(options))
