import re
from collections import Counter
from pathlib import Path

import pytest

from textpro.data.sentences import ALLOWED, material, normalise, words
from textpro.data.speech_qa import LETTERS, QuestionError, asked, questions

ALL = questions()


def test_there_are_enough_of_many_topics() -> None:
    assert len(ALL) >= 450
    assert min(Counter(question.topic for question in ALL).values()) >= 15
    assert len({question.topic for question in ALL}) >= 12


def test_each_is_asked_once() -> None:
    assert len({question.id for question in ALL}) == len(ALL)
    assert len({normalise(question.question) for question in ALL}) == len(ALL)


def test_each_can_be_said_and_has_four_options() -> None:
    for question in ALL:
        assert ALLOWED.fullmatch(question.question), question
        assert question.question.endswith("?"), question
        assert len({option.lower() for option in question.options}) == 4, question
        assert not any(re.search(r"\d", option) for option in question.options), question


def test_the_right_option_stands_in_every_place_equally_often() -> None:
    places = Counter(question.answer for question in ALL)
    assert max(places.values()) - min(places.values()) <= len({question.topic for question in ALL})


def test_the_right_option_is_not_told_by_its_length() -> None:
    shortest = [min(range(4), key=lambda i, q=question: len(q.options[i])) == question.answer for question in ALL]
    longest = [max(range(4), key=lambda i, q=question: len(q.options[i])) == question.answer for question in ALL]
    assert sum(shortest) / len(ALL) < 0.35
    assert sum(longest) / len(ALL) < 0.35


def test_the_encoder_was_taught_nearly_all_of_their_words() -> None:
    known = words()
    said = [word for question in ALL for word in re.findall(r"[a-z][a-z']*", question.question.lower())]
    assert sum(word in known for word in said) / len(said) >= 0.95


def test_none_is_a_sentence_that_training_speaks() -> None:
    asked_here = {normalise(question.question) for question in ALL}
    assert not asked_here & {normalise(sentence) for sentence in material().written}
    frames = re.compile("|".join(_pattern(frame) for frame in material().frames if not _generated(frame)))
    assert not [question for question in asked_here if frames.fullmatch(question)]


SLOT = re.compile(r"\{(?:a:)?([a-z_]+)\}")


def _generated(frame: str) -> bool:
    """Whether a frame has a slot of endlessly many entries."""
    return not set(SLOT.findall(frame)) <= material().slots.keys()


def _pattern(frame: str) -> str:
    texts, slots = SLOT.split(frame)[::2], SLOT.split(frame)[1::2]
    entries = ["(?:an? )?(?:" + "|".join(map(normalise, material().slots[slot])) + ")" for slot in slots]
    parts = [re.sub(r"[^a-z ]", "", text.lower()) for text in texts]
    return "".join(part + entry for part, entry in zip(parts, [*entries, ""], strict=True))


def test_a_question_is_known_by_its_words() -> None:
    first = ALL[0]
    assert asked(first.question.upper().replace("?", " ?!")) == first
    assert asked("Nobody asks this.") is None


def test_letters_are_offered_with_the_options_and_continuations_without() -> None:
    question = ALL[0]
    plain, lettered = question.turn("heard", "continuation"), question.turn("heard", "letter")
    assert (plain.transcript, plain.question, plain.answer) == ("heard", "", question.options[question.answer])
    lines = lettered.question.splitlines()
    assert [line[:2] for line in lines[:4]] == ["A.", "B.", "C.", "D."]
    assert all(o.lower() in line.lower() for o, line in zip(question.options, lines[:4], strict=True))
    assert lettered.answer == LETTERS[question.answer]
    assert question.continuations("letter") == tuple("ABCD")


@pytest.mark.parametrize(
    "line",
    [
        "nonsense",
        "{}",
        '{"id": "a", "topic": "a", "question": "Why?", "options": ["a", "b", "c", "c"], "answer": 0}',
        '{"id": "a", "topic": "a", "question": "Why?", "options": ["a", "b", "c", "d"], "answer": 4}',
    ],
)
def test_what_is_no_question_is_refused_with_its_place(tmp_path: Path, line: str) -> None:
    (tmp_path / "bad.jsonl").write_text(line + "\n")
    with pytest.raises(QuestionError, match=r"bad\.jsonl:1"):
        questions(tmp_path)
