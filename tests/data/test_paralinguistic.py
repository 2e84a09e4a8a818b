import re
from collections import Counter

import pytest

from textpro.data.corpora import labels
from textpro.data.paralinguistic import (
    ATTRIBUTES,
    Attribute,
    ParalinguisticError,
    asked_aloud,
    attribute,
    layouts,
    option_line,
    read_label,
    spoken_questions,
    with_options,
)
from textpro.data.sentences import ALLOWED, normalise, words
from textpro.data.voices import ESPEAK_ACCENTS, STYLES


@pytest.fixture(params=ATTRIBUTES)
def about(request: pytest.FixtureRequest) -> Attribute:
    return attribute(request.param)


def test_an_attribute_has_many_phrasings(about: Attribute) -> None:
    assert len({question.text for question in about.phrases["train"].typed}) >= 20
    assert len(about.phrases["train"].spoken) >= 10
    assert len(about.phrases["test"].typed) >= 6
    assert len(set(about.answers)) >= 8


def test_no_phrasing_of_the_test_stands_in_training() -> None:
    asked = {
        split: {normalise(q.text) for name in ATTRIBUTES for q in attribute(name).phrases[split].typed}
        for split in ("train", "test")
    }
    assert not asked["train"] & asked["test"]
    assert not set(layouts("train")) & set(layouts("test"))


def test_a_spoken_question_is_about_one_attribute() -> None:
    for split in ("train", "test"):
        for sentence in spoken_questions(split):
            assert len(asked_aloud(sentence, split)) == 1, sentence


def test_spoken_questions_are_made_of_words_the_embedded_recogniser_was_taught() -> None:
    taught = words()
    for sentence in spoken_questions("train") + spoken_questions("test"):
        assert ALLOWED.fullmatch(sentence)
        assert set(re.findall(r"[a-z']+", sentence.lower())) <= taught, sentence


def test_an_answer_gives_its_label_back(about: Attribute) -> None:
    for label in about.labels:
        for template in about.answers:
            assert read_label(about.say(template, label), about.name) == label


def test_an_answer_to_an_either_or_question_gives_the_offer_back(about: Attribute) -> None:
    offering = [q for phrases in about.phrases.values() for q in phrases.typed if q.offers]
    assert offering or not about.labels
    for question in offering:
        meant = [about.covered(offer) for offer in question.offers]
        assert all(meant), question
        assert len({label for covered in meant for label in covered}) == sum(map(len, meant)), question
        for offer in question.offers:
            for template in about.answers:
                assert read_label(about.say(template, offer), about.name, question.offers) == offer


def test_an_option_gives_its_label_back_whatever_its_letter(about: Attribute) -> None:
    named = list(about.labels)[:4]
    for options in (named, named[::-1]):
        for option in options:
            assert read_label(option_line(options, option), about.name, options) == option


def test_no_word_means_two_labels(about: Attribute) -> None:
    for word in (word for label in about.labels for word in about.words(label)):
        assert len([label for label in about.labels if word in about.words(label)]) == 1, word


@pytest.mark.parametrize(
    ("answer", "options", "label"),
    [
        ("B", ("calm", "sad"), "sad"),
        ("(A) Calm", ("calm", "sad"), "calm"),
        ("The answer is B.", ("calm", "sad"), "sad"),
        ("A calm voice.", ("sad", "calm"), "calm"),
        ("The answer is A calm one.", ("sad", "calm"), "calm"),
        ("D. Angry", ("calm", "sad"), None),
        ("You sound upset.", ("calm", "upset"), "upset"),
        ("You sound furious.", ("calm", "upset"), "upset"),
        ("You sound furious.", (), "angry"),
        ("Sad or angry.", (), None),
        ("Paris.", ("calm", "sad"), None),
    ],
)
def test_a_label_is_read_from_free_answers(answer: str, options: tuple[str, ...], label: str | None) -> None:
    assert read_label(answer, "style", options) == label


@pytest.mark.parametrize(
    ("answer", "name", "label"),
    [
        ("I can't tell how old you are.", "age", None),
        ("You are ten years old.", "age", None),
        ("I'd be happy to help.", "style", None),
        ("Happy to help!", "style", None),
        ("I'm glad you asked.", "style", None),
        ("I'm afraid I can't hear your voice.", "style", None),
        ("I am afraid so.", "style", None),
        ("You don't sound calm.", "style", None),
        ("I don’t know whether you are calm.", "style", None),
        ("I cannot say if you are calm or sad.", "style", None),
        ("You sound happy to me.", "style", "happy"),
        ("You sound afraid.", "style", "fearful"),
        ("You sound angry, not calm.", "style", "angry"),
        ("You don't sound calm, you sound angry.", "style", "angry"),
        ("You don't sound calm but angry.", "style", "angry"),
        ("I'm not sure. You sound sad.", "style", "sad"),
        ("You speak English with a Scottish accent.", "accent", "Scottish"),
        ("You have an American English accent.", "accent", "American"),
        ("You have an English accent.", "accent", "British"),
        ("Scottish or English.", "accent", None),
    ],
)
def test_stock_phrases_denials_and_the_language_name_no_label(answer: str, name: str, label: str | None) -> None:
    assert read_label(answer, name) == label


def test_a_longer_word_hides_the_shorter_in_it() -> None:
    assert read_label("It is a woman.", "gender") == "female"
    assert read_label("Someone in their teens or twenties.", "age") == "teens to twenties"


def test_options_follow_the_question_with_their_letters() -> None:
    asked = with_options("{question}\n{lines}", "How do I sound?", ("sad", "calm"))
    assert asked == "How do I sound?\nA. Sad\nB. Calm"
    for layout in layouts("train") + layouts("test"):
        shown = with_options(layout, "How do I sound?", ("sad", "calm"))
        assert all(part in shown for part in ("How do I sound?", "A. Sad", "B. Calm"))


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("style", [style.name for style in STYLES]),
        ("gender", ["female", "male"]),
        ("pitch", ["low", "middle", "high"]),
        ("rate", ["slow", "normal", "fast"]),
        ("emotion", list(labels.EMOTIONS)),
        ("age_group", list(labels.AGE_GROUPS.values())),
        ("accent", list(labels.ACCENTS)),
    ],
)
def test_labels_of_synthesis_and_of_the_corpora_are_known_and_stay_apart(key: str, values: list[str]) -> None:
    found = [attribute(key).label_of({key: value}) for value in values]
    assert None not in found
    assert len(set(found)) == len(values)


def test_accents_of_synthesis_are_asked_about_by_their_families() -> None:
    found = [attribute("accent").label_of({"accent": accent}) for accent in ESPEAK_ACCENTS]
    assert Counter(found) == {"British": 4, "American": 2, "Scottish": 1, "Caribbean": 1}


def test_an_unknown_attribute_is_refused_with_those_there_are() -> None:
    with pytest.raises(ParalinguisticError, match="no attribute 'weight'; there are style, gender"):
        attribute("weight")
