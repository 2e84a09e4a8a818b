"""What two passes over growing speech agree on."""

from hypothesis import given
from hypothesis import strategies as st

from services.gateway.agreement import Agreement


def told(*passes: str) -> list[str]:
    agreement = Agreement()
    return [agreement.hear(text) for text in passes]


def test_words_are_told_once_two_passes_agree() -> None:
    assert told("What is.", "What is the cat.", "What is the capital.") == ["", "What is", " the"]


def test_the_mark_at_the_end_of_a_pass_is_no_part_of_its_last_word() -> None:
    assert told("Hello.", "Hello, Anna.", "Hello, Anna!") == ["", "", "Hello, Anna"]
    assert told("What is.", "What is.", "What is the.", "What is the time?") == ["", "What is", "", " the"]


def test_what_was_told_is_not_taken_back() -> None:
    assert told("too late", "too late", "to late at", "to late at", "too late at all", "too late at all") == [
        *("", "too late", "", "", "", " at all"),
    ]


@given(st.lists(st.text("ab .", max_size=8), max_size=8))
def test_what_was_told_begins_a_pass_that_was_heard_twice(passes: list[str]) -> None:
    agreement, whole = Agreement(), ""
    for place, text in enumerate(passes):
        more = agreement.hear(text)
        whole += more
        if more:
            for heard in passes[place - 1 : place + 1]:
                assert " ".join(heard.split()).startswith(whole)
