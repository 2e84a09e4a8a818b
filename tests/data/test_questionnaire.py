import random
from collections import Counter, defaultdict
from dataclasses import replace

import pytest

from textpro.data.manifest import Clip
from textpro.data.paralinguistic import ATTRIBUTES, ParalinguisticError, attribute, read_label, spoken_questions
from textpro.data.questionnaire import MOST_REPEATS, Asked, ask, outcome, unknown_values
from textpro.data.sentences import normalise

VALUES = {
    "style": ("calm", "excited", "sad", "angry", "neutral"),
    "gender": ("female", "male"),
    "accent": ("en-us", "en-gb", "en-gb-scotland", "en-029", "en-us-nyc"),
    "pitch": ("low", "middle", "high"),
    "rate": ("slow", "normal", "fast"),
}


def clips(n: int, sentences: list[str] | None = None, **weights: list[float]) -> list[Clip]:
    rng = random.Random(1)
    made = []
    for i in range(n):
        labels = {key: rng.choices(values, weights.get(key))[0] for key, values in VALUES.items()}
        text = rng.choice(sentences) if sentences else "The kettle is on the stove."
        made.append(Clip(f"{i:04d}", f"{i}.wav", text, 2.0, labels))
    return made


def kind(asked: Asked) -> str:
    if asked.options and asked.answer.startswith(tuple(f"{letter}. " for letter in "ABCD")):
        return "choice"
    return "either" if asked.options else "open"


CLIPS = clips(400)
ASKED = ask(CLIPS, split="train", per_clip=4, seed=3)


def test_the_right_answer_is_the_label_of_the_clip() -> None:
    for asked in ASKED:
        about = attribute(asked.task)
        if about.labels:
            told = about.label_of(CLIPS[asked.clip].labels)
            assert told in about.covered(asked.label)
            assert read_label(asked.answer, asked.task, asked.options) == asked.label
            assert not asked.options or asked.label in asked.options


def test_a_brief_answer_is_the_label_or_the_description_alone() -> None:
    brief = ask(CLIPS, ["style", "caption"], split="train", per_clip=2, seed=3, briefly=True)
    for asked in brief:
        if kind(asked) == "open" and asked.task == "style":
            assert asked.answer == f"{asked.label[0].upper()}{asked.label[1:]}."
        elif asked.task == "caption":
            assert asked.answer.startswith(("A ", "An "))
            assert asked.answer.endswith(".")
    assert {asked.task for asked in brief} == {"style", "caption"}


def test_each_answer_to_a_question_is_right_equally_often() -> None:
    counts: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    for asked in ask(clips(600, style=[9, 1, 3, 2, 2], accent=[5, 1, 1, 1, 1]), split="train", per_clip=2, seed=0):
        offers = (asked.question,) if kind(asked) == "either" else ()
        counts[asked.task, kind(asked), *offers][asked.label] += 1
    assert {task for task, *_ in counts} == {"style", "gender", "accent", "pitch", "rate", "caption"}
    for key, by_label in counts.items():
        assert len(by_label) > 1 or key[0] == "caption"
        assert len(set(by_label.values())) == 1, (key, by_label)


def test_every_attribute_is_asked_openly_and_with_options() -> None:
    kinds = {(asked.task, kind(asked)) for asked in ASKED}
    assert kinds == {(name, k) for name in VALUES for k in ("open", "choice", "either")} | {("caption", "open")}


def test_multiple_choice_can_be_answered_in_words_and_all_else_is_asked_alike() -> None:
    in_words = ask(CLIPS, split="train", per_clip=4, seed=3, choose_by="words")
    for lettered, worded in zip(ASKED, in_words, strict=True):
        assert replace(worded, answer=lettered.answer) == lettered
        if kind(lettered) == "choice":
            assert lettered.answer.removesuffix(worded.answer.removesuffix(".")) in {"A. ", "B. ", "C. ", "D. "}
            assert read_label(worded.answer, worded.task, worded.options) == worded.label
        else:
            assert worded == lettered


def test_as_many_questions_are_asked_as_were_wanted() -> None:
    assert len(ASKED) == pytest.approx(4 * len(CLIPS), rel=0.1)


def test_clips_of_a_rare_label_are_not_asked_without_end() -> None:
    rare = clips(500, gender=[0.01, 0.99])
    asked = ask(rare, ["gender"], split="train", per_clip=1, seed=0)
    times = Counter(one.clip for one in asked if kind(one) == "open")
    assert max(times.values()) <= MOST_REPEATS


def emotions(**counts: int) -> list[Clip]:
    told = [emotion for emotion, times in counts.items() for _ in range(times)]
    return [Clip(f"{i}", "a.wav", "Hello.", 1.0, {"emotion": emotion}) for i, emotion in enumerate(told)]


def test_a_rare_label_takes_no_questions_from_the_others() -> None:
    asked = ask(emotions(sad=300, angry=300, happy=298, disgusted=2), ["emotion"], split="train", per_clip=1, seed=0)
    opened = Counter(one.label for one in asked if kind(one) == "open")
    assert opened == {"disgusted": MOST_REPEATS * 2, "sad": 117, "angry": 117, "happy": 117}
    assert len(asked) == pytest.approx(900, rel=0.01)


def test_an_either_or_question_stays_even_where_one_of_its_answers_is_rare() -> None:
    asked = ask(emotions(sad=500, angry=2), ["emotion"], split="train", per_clip=1, seed=0)
    offered = Counter(one.label for one in asked if kind(one) == "either")
    assert offered["sad"] == offered["angry"] > 0


def test_it_is_said_how_many_clips_are_asked_and_which_labels_are_rare() -> None:
    of_emotions = emotions(sad=300, angry=300, disgusted=2)
    asked = ask(of_emotions, split="train", per_clip=1, seed=0)
    first, *rare = outcome(of_emotions, asked)
    assert first == f"asked {len({one.clip for one in asked})} of 602 clips"
    assert rare == ["style 'disgusted' has only 2 clips: it is the answer less often than the others"]
    assert len(list(outcome(CLIPS, ASKED))) == 1


def test_values_that_are_no_label_are_named_and_counted() -> None:
    unheard_of = emotions(anger=3, happiness=2, sad=4, happy=4)
    (said,) = unknown_values(unheard_of)
    assert said.startswith("emotion of 5 clips is no value known: 'anger' (3), 'happiness' (2); known are calm, ")
    assert list(unknown_values(unheard_of, ["gender"])) == []
    (cut,) = unknown_values(emotions(**{f"mood{i}": 9 - i for i in range(9)}))
    assert "'mood4' (5), …; known are" in cut
    assert list(unknown_values(CLIPS)) == []


def test_the_right_letter_is_any_letter() -> None:
    letters = Counter(one.answer[0] for one in ASKED if kind(one) == "choice" and len(one.options) == 4)
    assert set(letters) == set("ABCD")
    assert max(letters.values()) < 2 * min(letters.values())


def test_the_same_seed_asks_the_same_and_another_seed_something_else() -> None:
    assert ask(CLIPS, split="train", per_clip=4, seed=3) == ASKED
    assert ask(CLIPS, split="train", per_clip=4, seed=4) != ASKED


def test_questions_come_in_the_order_of_the_clips() -> None:
    assert [asked.clip for asked in ASKED] == sorted(asked.clip for asked in ASKED)


def test_training_asks_in_no_phrasing_of_the_test() -> None:
    held_out = [q.text for name in ATTRIBUTES for q in attribute(name).phrases["test"].typed]
    asked = {normalise(one.question) for one in ASKED}
    assert not [text for text in held_out if any(normalise(text) in question for question in asked)]


def test_a_clip_that_is_a_question_is_asked_nothing_else() -> None:
    asking = clips(600, spoken_questions("train"))
    for one in ask(asking, split="train", per_clip=1, seed=0):
        assert one.question == ""
        assert one.task in {name for name in ATTRIBUTES if _asks(asking[one.clip].text, name)}


def test_a_spoken_either_or_question_is_answered_with_one_of_its_offers() -> None:
    asking = clips(200, ["Am I calm or upset?"])
    asked = ask(asking, ["style"], split="train", per_clip=1, seed=0)
    assert Counter(one.label for one in asked).keys() == {"calm", "upset"}
    told = {(one.label, asking[one.clip].labels["style"]) for one in asked}
    assert told == {("calm", "calm"), ("upset", "sad"), ("upset", "angry")}


def test_clips_with_a_question_of_the_other_split_are_left_out() -> None:
    mixed = clips(300) + clips(300, spoken_questions("test"))
    assert max(one.clip for one in ask(mixed, split="train", per_clip=2, seed=0)) < 300


def test_a_caption_of_the_corpus_is_the_answer_as_it_stands() -> None:
    own = [Clip(str(i), "a.wav", "Hello.", 1.0, {"caption": f"A man speaks, number {i}."}) for i in range(9)]
    for one in ask(own, ["caption"], split="test", per_clip=3, seed=0):
        assert one.answer == own[one.clip].labels["caption"]
        assert (one.label, one.options) == ("", ())


def test_a_clip_with_two_captions_is_answered_with_either() -> None:
    told = {"caption": "A man speaks.", "caption_2": "A man speaks slowly."}
    asked = ask([Clip("0", "a.wav", "Hello.", 1.0, told), *CLIPS], ["caption"], split="train", per_clip=8, seed=0)
    assert {one.answer for one in asked if one.clip == 0} == set(told.values())


def test_a_caption_made_of_labels_tells_them() -> None:
    one = Clip("0", "a.wav", "Hello.", 1.0, {"style": "calm", "gender": "female", "accent": "en-us", "rate": "slow"})
    other = Clip("1", "b.wav", "Hello.", 1.0, {"style": "neutral", "gender": "male", "pitch": "low", "rate": "normal"})
    answers = {asked.clip: asked.answer for asked in ask([one, other], ["caption"], split="train", per_clip=1, seed=0)}
    assert "a calm woman with an American accent, speaking slowly" in answers[0]
    assert "a man, speaking in a low voice" in answers[1]


def test_an_attribute_that_the_clips_do_not_tell_is_refused() -> None:
    with pytest.raises(ParalinguisticError, match="no question about age: it needs clips with two labels of age_group"):
        ask(CLIPS, ["style", "age"], split="train", per_clip=1, seed=0)


def _asks(sentence: str, name: str) -> bool:
    return sentence in spoken_questions("train", [name])
