"""The items of a live conversation."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contracts.errors import BadRequest, NotFound
from services.gateway.conversation import ROOT, Conversation, Item
from services.gateway.session import Prosody

VECTOR = Prosody("AAA=", (1, 1))
ASKED = Item("i1", "user", "What is the capital of France?", spoken=True, prosody=VECTOR)
SAID = Item("i2", "assistant", "The capital of France is Paris.", spoken=True, audio_ms=2000)
CALL = Item("i3", "function_call", '{"city":"Paris"}', name="weather", call_id="c1")
RESULT = Item("i4", "function_call_output", "sunny", call_id="c1")


def conversation(*items: Item, max_items: int = 50) -> Conversation:
    made = Conversation(max_items)
    for item in items:
        made.add(item)
    return made


def test_the_llm_reads_words_tone_and_calls() -> None:
    calls = conversation(ASKED, SAID, CALL, Item("i5", "function_call", "{}", name="time", call_id="c2"), RESULT)
    assert calls.messages("Be brief.") == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [VECTOR.content_part(), {"type": "text", "text": ASKED.text}]},
        {
            "role": "assistant",
            "content": SAID.text,
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Paris"}'}},
                {"id": "c2", "type": "function", "function": {"name": "time", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
    ]


def test_where_nothing_was_said_there_is_no_message() -> None:
    silent = Item("i9", "user", "", spoken=True)
    assert conversation(ASKED, silent, SAID).messages("") == conversation(ASKED, SAID).messages("")


@pytest.mark.parametrize("item", [ASKED, SAID, CALL, RESULT, Item("i6", "system", "Be kind.")])
def test_what_is_stored_is_what_was_said(item: Item) -> None:
    assert Item.from_json(item.to_json()) == item


def test_an_item_goes_where_it_is_put() -> None:
    made = conversation(ASKED, SAID)
    assert made.add(Item("a", "user", "first"), ROOT) is None
    assert made.add(Item("b", "user", "between"), "i1") == "i1"
    assert made.add(Item("c", "user", "last")) == "i2"
    assert [item.id for item in made.items] == ["a", "i1", "b", "i2", "c"]


def test_the_oldest_go_when_there_are_too_many() -> None:
    assert [item.id for item in conversation(ASKED, SAID, CALL, max_items=2).items] == ["i2", "i3"]


def test_a_result_whose_call_is_gone_is_not_read() -> None:
    made = conversation(CALL, RESULT, SAID)
    made.delete(CALL.id)
    assert made.messages("") == conversation(SAID).messages("")


@pytest.mark.parametrize(
    ("item", "after", "error"),
    [
        (ASKED, None, BadRequest),
        (RESULT, None, BadRequest),
        (Item("x", "user", "Hm."), "nowhere", NotFound),
    ],
    ids=["taken", "no call", "no place"],
)
def test_what_does_not_fit_is_refused_and_changes_nothing(
    item: Item, after: str | None, error: type[Exception]
) -> None:
    made = conversation(ASKED)
    with pytest.raises(error):
        made.add(item, after)
    assert made.items == [ASKED]


def test_an_answer_keeps_what_was_heard_of_it() -> None:
    made = conversation(ASKED, SAID)
    heard = made.truncate("i2", 1000)
    assert heard.text == "The capital of"
    assert made.messages("")[-1] == {"role": "assistant", "content": "The capital of"}
    assert made.truncate("i2", 0).text == ""
    assert len(made.messages("")) == 1


def spoken(*sentences: tuple[str, float]) -> Item:
    text, ms = "".join(text for text, _ in sentences), sum(ms for _, ms in sentences)
    timed = tuple((len(text), ms) for text, ms in sentences)
    return Item("i", "assistant", f"{text} This was not spoken.", spoken=True, audio_ms=ms, sentences=timed)


@pytest.mark.parametrize(
    ("end_ms", "heard"),
    [
        (0, ""),
        (500, "It is"),
        (1000, "It is Paris."),
        (1400, "It is Paris. On the"),
        (1700, "It is Paris. On the Seine."),
    ],
)
def test_of_an_answer_that_was_spoken_here_whole_sentences_are_known(end_ms: float, heard: str) -> None:
    made = conversation(spoken(("It is Paris. ", 1000.0), ("On the Seine.", 700.0), ("\n", 0.0), ("Yes.", 300.0)))
    assert made.truncate("i", end_ms).text == heard


def test_an_answer_may_be_truncated_further_and_is_not_given_back() -> None:
    made = conversation(spoken(("It is Paris. ", 1000.0), ("On the Seine.", 1000.0)))
    made.truncate("i", 1500)
    assert made.truncate("i", 1800).text == "It is Paris. On the"
    assert made.truncate("i", 1000).text == "It is Paris."


def test_an_item_comes_back_from_json_as_it_was() -> None:
    item = spoken(("It is Paris. ", 1000.0), ("On the Seine.", 700.5))
    assert Item.from_json(item.to_json()) == item


@given(text=st.text(max_size=60), end=st.floats(0, 2000))
def test_truncating_gives_whole_words_of_the_beginning(text: str, end: float) -> None:
    made = conversation(Item("i", "assistant", text, spoken=True, audio_ms=2000))
    heard = made.truncate("i", end).text
    assert text.startswith(heard)
    rest = text[len(heard) :]
    assert not heard or not rest or rest[0].isspace() or text.isspace()


@pytest.mark.parametrize(("item_id", "end"), [("i1", 10.0), ("i2", 2100.0), ("written", 0.0)])
def test_only_what_was_spoken_is_truncated(item_id: str, end: float) -> None:
    made = conversation(ASKED, SAID, Item("written", "assistant", "It is Paris."))
    before = list(made.items)
    with pytest.raises(BadRequest):
        made.truncate(item_id, end)
    assert made.items == before


def test_what_is_deleted_is_gone() -> None:
    made = conversation(ASKED, SAID)
    made.delete("i1")
    assert [item.id for item in made.items] == ["i2"]
    with pytest.raises(NotFound):
        made.get("i1")
