"""How long to wait after what was said."""

import pytest

from services.gateway.patience import Patience

PATIENCE = Patience()


@pytest.mark.parametrize(
    "text", ["What is the capital of France?", "Yes.", "What is it for?", "So.", "Stop!", "Eggs, milk, and bread."]
)
def test_a_finished_sentence_is_not_waited_for(text: str) -> None:
    assert PATIENCE.after(text) == PATIENCE.finished_ms


@pytest.mark.parametrize(
    "text",
    ["I would like a.", "Put it in the?", "Well, because", "I’m", "Yes. And", "eggs, milk, bread", "I want it,", "Um."],
)
def test_an_open_one_is_given_time(text: str) -> None:
    assert PATIENCE.after(text) == PATIENCE.unfinished_ms


@pytest.mark.parametrize(
    "text",
    [
        "Tell me.",
        "Can you tell me?",
        "So, could you please show me.",
        "By the way.",
        "One more thing.",
        "I was wondering?",
        "I'd like to know.",
        "What I want to know is?",
        "Good morning. I have a question.",
        "Hello. Excuse me.",
    ],
)
def test_a_sentence_that_announces_another_is_given_time(text: str) -> None:
    assert PATIENCE.after(text) == PATIENCE.unfinished_ms


@pytest.mark.parametrize("text", ["Tell me a story.", "I want to go home.", "Do you know him?", "I know."])
def test_but_not_one_that_is_complete(text: str) -> None:
    assert PATIENCE.after(text) == PATIENCE.finished_ms


@pytest.mark.parametrize("text", ["", "...", "the weather in Paris", "I would like to.", "It is about."])
def test_what_may_be_either_is_given_some(text: str) -> None:
    assert PATIENCE.after(text) == PATIENCE.unclear_ms


def test_patience_has_a_pace() -> None:
    assert PATIENCE.paced(0.5).after("Yes.") == PATIENCE.finished_ms / 2
