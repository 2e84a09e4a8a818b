"""The sentence composer: what it may say, and that it says the same everywhere."""

import re
from pathlib import Path

import pytest

from textpro.data.sentences import (
    ALLOWED,
    compose,
    compose_split,
    material,
    normalise,
    read_lines,
    split_of,
    with_article,
    words,
)
from textpro.data.spoken import GENERATED, LARGEST_NUMBER, cardinal, ordinal, year
from textpro.errors import SynthesisError

SENTENCES = 20_000
HELD_OUT = 300
AN_BEFORE_CONSONANT = re.compile(r"\b[Aa]n (?![aeiouAEIOU]|hour|honest|heir|honour)\w+")
A_BEFORE_VOWEL = re.compile(r"\ba (?=[aeiouAEIOU])(?!one\b|once\b|eu|uni|us[aeu]|uk|ura)\w+")


@pytest.fixture(scope="module")
def sentences() -> list[str]:
    return compose(SENTENCES, seed=1)


def test_sentences_are_as_many_as_asked_for_and_distinct(sentences: list[str]) -> None:
    assert len(sentences) == SENTENCES
    assert len({normalise(text) for text in sentences}) == SENTENCES


def test_the_same_seed_gives_the_same_sentences_and_another_seed_gives_others() -> None:
    assert compose(500, seed=3) == compose(500, seed=3)
    assert compose(500, seed=3) != compose(500, seed=4)


def test_sentences_hold_allowed_signs_only(sentences: list[str]) -> None:
    assert [text for text in sentences if not ALLOWED.fullmatch(text)] == []


def test_sentences_use_three_thousand_words_all_of_them_known(sentences: list[str]) -> None:
    said = {word for text in sentences for word in re.findall(r"[a-z](?:[a-z']*[a-z])?", text.lower())}
    assert len(said) >= 3000
    assert said <= words()


def test_articles_agree_with_the_sound_that_follows_in_filled_frames_and_swaps() -> None:
    held_out = compose_split(2000, "test", seed=2)
    assert [text for text in held_out if AN_BEFORE_CONSONANT.search(text) or A_BEFORE_VOWEL.search(text)] == []


@pytest.mark.parametrize(
    ("phrase", "expected"),
    [
        ("apple", "an apple"),
        ("hour", "an hour"),
        ("honest man", "an honest man"),
        ("university", "a university"),
        ("uniform", "a uniform"),
        ("ukulele", "a ukulele"),
        ("useful tool", "a useful tool"),
        ("unimportant word", "an unimportant word"),
        ("unfair rule", "an unfair rule"),
        ("umbrella", "an umbrella"),
        ("usher", "an usher"),
        ("one way street", "a one way street"),
        ("horse", "a horse"),
    ],
)
def test_articles_follow_sound_not_spelling(phrase: str, expected: str) -> None:
    assert with_article(phrase) == expected


def test_splits_hold_their_own_sentences_only_and_share_none() -> None:
    parts = {split: compose_split(HELD_OUT, split, seed=5) for split in ("train", "dev", "test")}
    for split, texts in parts.items():
        assert len(texts) == HELD_OUT
        assert {split_of(text) for text in texts} == {split}
    keys = [normalise(text) for texts in parts.values() for text in texts]
    assert len(set(keys)) == 3 * HELD_OUT


def test_the_split_ignores_case_and_punctuation_and_is_about_four_and_two_percent(sentences: list[str]) -> None:
    assert split_of("What's the time?") == split_of("whats, the  TIME")
    splits = [split_of(text) for text in sentences]
    assert splits.count("test") / SENTENCES == pytest.approx(0.04, abs=0.01)
    assert splits.count("dev") / SENTENCES == pytest.approx(0.02, abs=0.01)


def test_held_out_splits_hold_no_splices() -> None:
    frame = re.compile(r"what is the capital of ([a-z ]+)")
    capitals = [found[1] for text in compose_split(3000, "test") if (found := frame.fullmatch(normalise(text)))]
    countries = {normalise(country) for country in material().slots["country"]}
    assert capitals
    assert set(capitals) <= countries


def test_asking_for_more_sentences_than_there_are_of_one_kind_still_gives_them() -> None:
    many = len(material().written) * 3 + 1000
    assert len(compose(many, seed=6)) == many


def test_slots_and_frames_are_plenty() -> None:
    source = material()
    assert len(source.slots) + len(GENERATED) >= 40
    assert sum(len(entries) for entries in source.slots.values()) >= 2500
    assert len(source.frames) >= 450


def test_numbers_are_spelled_as_they_are_said() -> None:
    assert cardinal(0) == "zero"
    assert cardinal(107) == "one hundred and seven"
    assert cardinal(LARGEST_NUMBER) == "ten thousand"
    assert cardinal(4002) == "four thousand and two"
    assert ordinal(21) == "twenty first"
    assert ordinal(40) == "fortieth"
    assert year(1969) == "nineteen sixty nine"
    assert year(1905) == "nineteen oh five"
    assert year(2004) == "two thousand and four"
    assert len({cardinal(number) for number in range(LARGEST_NUMBER + 1)}) == LARGEST_NUMBER + 1


def test_a_number_that_cannot_be_spelled_is_refused() -> None:
    with pytest.raises(ValueError, match="can't be spelled"):
        cardinal(-1)


@pytest.mark.parametrize(("content", "why"), [(b"caf\xe9\n", "no text in UTF-8"), (b" \n\n", "has no sentences")])
def test_a_file_without_readable_sentences_is_refused_by_its_name(content: bytes, why: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.txt"
    file.write_bytes(content)
    with pytest.raises(SynthesisError, match=rf"mine\.txt.*{why}"):
        read_lines(file)


def test_sentences_of_a_file_are_told_apart_by_newlines_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("One\u2028and two. \n\nThree.\n", encoding="utf-8")
    assert read_lines(tmp_path / "mine.txt") == ["One\u2028and two.", "Three."]
