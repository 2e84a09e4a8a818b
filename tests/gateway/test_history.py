"""What of a conversation is sent again."""

from services.gateway.encoder_client import Speech
from services.gateway.history import BLOCK, budget, fitting, newer_half, prompt, turn_tokens
from services.gateway.session import Prosody, Turn

SPEECH = Speech(text="now", no_speech=None, prosody=None, audio_seconds=1.0)


def turns(count: int, first: int = 0) -> list[Turn]:
    return [Turn(f"t_{n}", f"question {n:04}", "answer", None, 0.0, n) for n in range(first, first + count)]


def test_a_prompt_without_instructions_has_no_system_message() -> None:
    assert prompt("", [], SPEECH) == [{"role": "user", "content": "now"}]


def test_earlier_turns_keep_their_vectors() -> None:
    spoken = Turn("t", "hello", "hi", Prosody("AAA=", (1, 1)), 0.0)
    content = prompt("", [spoken], SPEECH)[0]["content"]
    assert content == [{"type": "prosody", "data": "AAA=", "shape": [1, 1]}, {"type": "text", "text": "hello"}]


def test_a_history_that_fits_is_kept_whole() -> None:
    history = turns(5)
    assert fitting(history, sum(map(turn_tokens, history))) == history


def test_what_is_kept_fits_is_the_newest_and_starts_at_a_block() -> None:
    history = turns(30, first=7)
    for budget_tokens in range(0, 1000, 13):
        kept = fitting(history, budget_tokens)
        assert sum(map(turn_tokens, kept)) <= budget_tokens
        assert kept == history[len(history) - len(kept) :]
        assert not kept or kept == history or kept[0].number % BLOCK == 0


def test_the_beginning_stays_the_same_for_several_turns() -> None:
    budget_tokens = 10 * turn_tokens(turns(1)[0])
    starts = [fitting(turns(n), budget_tokens)[0].number for n in range(1, 60)]
    assert len(set(starts)) <= 60 / BLOCK + 1


def test_a_negative_budget_leaves_nothing() -> None:
    assert fitting(turns(3), budget(16, "", SPEECH, max_tokens=100)) == []


def test_halving_keeps_the_instructions_and_the_last_words_and_always_ends() -> None:
    messages = prompt("Be brief.", turns(9), SPEECH)
    sizes = [len(messages)]
    while len(shorter := newer_half(messages)) < len(messages):
        messages = shorter
        assert messages[0]["role"] == "system"
        assert messages[1]["role"] == "user"
        sizes.append(len(messages))
    assert sizes == [20, 10, 6, 4, 2]
    assert messages[-1]["content"] == "now"
