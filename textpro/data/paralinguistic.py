"""What can be asked about a voice: the attributes with their labels, many phrasings of question and answer, and what an
answer says. The text lies in `text/paralinguistic/`, a file an attribute; test phrasings never stand in training.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from textpro.data.sentences import TEXT_FOLDER, normalise, with_article
from textpro.errors import TextProError

Split = Literal["train", "test"]
ATTRIBUTES = ("style", "gender", "age", "accent", "pitch", "rate", "caption")
LETTERS = "ABCD"

_FOLDER = TEXT_FOLDER / "paralinguistic"
_OFFER = re.compile(r"\[([^]]+)]")
# `B. Sad`, `(B)`, `The answer is B`; not `A calm voice`.
_LETTER = re.compile(
    r"\W*([A-D])(?:[.):,]|\s*$)|.*\b(?i:answer|option|choice)(?i: is)?:? *\(?([A-D])\b(?!\s+[a-z])", re.DOTALL
)
_ARTICLE = re.compile(r"(?:an?|the) ", re.IGNORECASE)
# What names no label: what is denied or asked, to the end of the clause; what the LLM says of itself (`I'm afraid`).
_UNNAMED = re.compile(
    r"(?:\b(?:not|cannot|never|unable|whether|how)\b|n['’]t\b)(?:(?!\bbut\b)[^.,;:!?\n])*"
    r"|\bi(?:['’]m|['’]d be| am| would be) \w+|\bhappy to (?!me\b)"
)


class ParalinguisticError(TextProError, ValueError):
    """An attribute that does not exist, or clips that can't be asked about it."""


@dataclass(frozen=True)
class Question:
    """A phrasing. offers: what an either-or question names (`Am I calm or upset?`); empty for an open one."""

    text: str
    offers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Phrases:
    """The questions of a split: those that are typed behind a transcript, and those that the user says."""

    typed: tuple[Question, ...]
    spoken: tuple[Question, ...]


@dataclass(frozen=True)
class Attribute:
    """Something about a voice.

    keys: the labels of a manifest that tell it. labels: each with the words that mean it, first the one that answers
    say; none for captions, which are free text. values: what corpora call a label. groups: words that mean several.
    answers: `{label}` stands for the word, `{a}` for the word with its article.
    """

    name: str
    keys: tuple[str, ...]
    labels: Mapping[str, tuple[str, ...]]
    values: Mapping[str, str]
    groups: Mapping[str, tuple[str, ...]]
    phrases: Mapping[Split, Phrases]
    answers: tuple[str, ...]

    def label_of(self, labels: Mapping[str, str | float]) -> str | None:
        """The label of a clip with these manifest labels; None where they tell nothing that is known here."""
        for key in self.keys:
            value = str(labels.get(key, "")).strip()
            if not self.labels and value:
                return value
            label = self.values.get(value.lower(), value).lower()
            for known in self.labels:
                if known.lower() == label:
                    return known
        return None

    def covered(self, word: str) -> tuple[str, ...]:
        """The labels that a word means, by itself or as a group; empty for a word that is not known here."""
        means = (label for label, words in self.labels.items() if word == label or word in words)
        return self.groups.get(word) or tuple(means)

    def say(self, template: str, label: str) -> str:
        """An answer in a sentence. label: a label, or an offer."""
        word = self.labels[label][0] if label in self.labels else label
        return template.format(label=word, a=with_article(word))

    def words(self, option: str) -> set[str]:
        """What means an option, without articles: itself and the words of all labels that it covers."""
        means = {option}
        for label in self.covered(option):
            means |= {label, *self.labels[label]}
        return {_ARTICLE.sub("", word) for word in means}


@cache
def attribute(name: str) -> Attribute:
    """An attribute by its name or by a manifest's key for it (`emotion` is style). Raises ParalinguisticError."""
    for known in ATTRIBUTES:
        found = _load(known)
        if name == known or name in found.keys:
            return found
    raise ParalinguisticError(f"there is no attribute {name!r}; there are {', '.join(ATTRIBUTES)}")


def spoken_questions(split: Split, names: Iterable[str] = ATTRIBUTES) -> list[str]:
    """The sentences to synthesise so that the question itself is what is spoken."""
    return [question.text for name in names for question in attribute(name).phrases[split].spoken]


def asked_aloud(sentence: str, split: Split) -> Sequence[tuple[str, Question]]:
    """The attributes and questions that a spoken sentence is, if it is one; of any other sentence none."""
    return _spoken(split).get(normalise(sentence), ())


def is_asked_aloud(sentence: str) -> bool:
    """Whether a sentence is a question of either split."""
    return bool(asked_aloud(sentence, "train") or asked_aloud(sentence, "test"))


@cache
def layouts(split: Split) -> tuple[str, ...]:
    """How a multiple-choice question is laid out: `{question}`, and `{lines}` or `{row}` for the options."""
    return tuple(_toml("multiple_choice")[split])


def with_options(layout: str, question: str, options: Sequence[str]) -> str:
    """A multiple-choice question as text: the options follow with their letters."""
    lettered = [option_line(options, option) for option in options]
    return layout.format(question=question, lines="\n".join(lettered), row=" ".join(lettered))


def option_line(options: Sequence[str], option: str) -> str:
    """An option as the question lists it and as an answer by letter names it: `B. Sad`."""
    return f"{LETTERS[options.index(option)]}. {option[0].upper()}{option[1:]}"


def option_alone(option: str) -> str:
    """An option as an answer in words names it: `Sad.`"""
    return f"{option[0].upper()}{option[1:]}."


def read_label(answer: str, name: str, options: Sequence[str] = ()) -> str | None:
    """The label that an answer gives: one of the options, or of the attribute's labels when there are no options.

    None when it names none or more than one of them, or only denies it. A letter that begins the answer or follows
    `answer`, `option` or `choice` counts before the words. Raises ParalinguisticError when there is no such attribute.
    """
    found = attribute(name)
    if options and (match := _LETTER.match(answer)):
        place = LETTERS.index(match[1] or match[2])
        return options[place] if place < len(options) else None
    meant = {word.lower(): option for option in options or found.labels for word in found.words(option)}
    named: set[str] = set()
    rest = _UNNAMED.sub(" ", answer.lower())
    # The language, not an accent: `you speak English with …`, `an American English accent`.
    rest = re.sub(rf"\b(speak(?:ing)?|in|{'|'.join(map(re.escape, meant))}) english\b", r"\1", rest)
    for word in sorted(meant, key=len, reverse=True):
        # Taken out once found: who says `young adult` does not say `adult`.
        rest, times = re.subn(rf"(?<!\w){re.escape(word)}(?!\w)", " ", rest)
        if times:
            named.add(meant[word])
    return named.pop() if len(named) == 1 else None


def _load(name: str) -> Attribute:
    raw = _toml(name)
    phrases: dict[Split, Phrases] = {split: _phrases(raw[split]) for split in ("train", "test")}
    return Attribute(
        name=name,
        keys=tuple(raw["keys"]),
        labels={label: tuple(words) for label, words in raw.get("labels", {}).items()},
        values=raw.get("values", {}),
        groups={group: tuple(labels) for group, labels in raw.get("groups", {}).items()},
        phrases=phrases,
        answers=tuple(raw["answers"]),
    )


@cache
def _spoken(split: Split) -> dict[str, list[tuple[str, Question]]]:
    questions: dict[str, list[tuple[str, Question]]] = {}
    for name in ATTRIBUTES:
        for question in attribute(name).phrases[split].spoken:
            questions.setdefault(normalise(question.text), []).append((name, question))
    return questions


def _phrases(raw: Mapping[str, Sequence[str]]) -> Phrases:
    spoken = tuple(map(_question, raw["spoken"]))
    # What a user says, he may type as well.
    return Phrases(typed=(*map(_question, raw["typed"]), *spoken), spoken=spoken)


def _question(text: str) -> Question:
    return Question(_OFFER.sub(r"\1", text), tuple(_OFFER.findall(text)))


@cache
def _toml(name: str) -> dict[str, Any]:
    return tomllib.loads((_FOLDER / f"{name}.toml").read_text(encoding="utf-8"))
