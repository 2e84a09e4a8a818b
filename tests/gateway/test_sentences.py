"""Where an answer is cut into sentences, however it comes in pieces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.sentences import Sentences, aloud

LONGEST = 60


def cut(text: str, pieces: list[str] | None = None, longest: int = LONGEST) -> list[str]:
    sentences = Sentences(longest)
    parts = [text] if pieces is None else pieces
    found = [sentence for part in parts for sentence in sentences.add(part)]
    return found + sentences.finish()


@pytest.mark.parametrize(
    "sentences",
    [
        ["Paris. ", "It is the capital of France."],
        ["Dr. Strange met Mrs. J. R. Smith. ", "They spoke."],
        ["It is 3.14, or 1,000.5 at No. 5 of www.example.com. ", "Yes!"],
        ["Meet at 5 p.m. on Monday, e.g. here. ", "Bring tea, milk, etc. ", "Then go."],
        ["Is it? ", "It is! ", "Well... perhaps so… ", "Indeed."],
        ['"Really?" he said. ', "She did."],
        ["So do I. ", "He said “yes.” ", "Then (at last.) ", "The end"],
        ["First:\n", "1. Take two eggs. ", "Break them.\n", "\n", "2. Stir."],
        ["**Bold.** ", "*Slanted.* ", "Plain"],
        ["今日は。", "元気ですか？", "はい"],
        ["No final mark"],
    ],
    ids=lambda sentences: sentences[0].strip(),
)
def test_a_sentence_ends_where_a_reader_would_say_so(sentences: list[str]) -> None:
    text = "".join(sentences)
    assert cut(text) == sentences
    assert cut(text, list(text)) == sentences


def test_a_sentence_is_out_as_soon_as_the_next_word_begins() -> None:
    sentences = Sentences(LONGEST)
    assert sentences.add("It is Paris. ") == []
    assert sentences.add("T") == ["It is Paris. "]


def test_a_long_sentence_is_cut_behind_a_comma_else_between_words_else_anywhere() -> None:
    commas = "First there was a city, and then there was another one which had no name, and so on it went"
    assert cut(commas)[0] == "First there was a city,"
    words = "one two three four five six seven eight nine ten eleven twelve thirteen"
    assert cut(words)[0] == "one two three four five six seven eight nine ten eleven "
    assert [len(part) for part in cut("x" * 150)] == [60, 60, 30]


@given(st.lists(st.text(alphabet="aB1 .,!?\n\"“”'()…。、-*", max_size=30), max_size=20))
def test_nothing_is_lost_or_too_long_however_it_comes(pieces: list[str]) -> None:
    text = "".join(pieces)
    found = cut(text, pieces, longest=20)
    assert "".join(found) == text
    assert all(0 < len(sentence) <= 20 + 1 for sentence in found)
    assert found == cut(text, list(text), longest=20)


def test_what_nobody_says_is_not_said() -> None:
    assert aloud("  ## **Bold** `code`\n") == "Bold code"
    assert aloud(" *** \n") == ""
    assert aloud("…") == ""
