"""Live events as OpenAI's client library knows them."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from openai.types.realtime import RealtimeServerEvent
from pydantic import TypeAdapter

from services.contracts.chat import Usage
from services.contracts.errors import BadRequest, Unavailable
from services.contracts.realtime import CLIENT_EVENT, ResponseWishes, Session
from services.gateway import live_events as tell
from services.gateway.conversation import Item
from services.gateway.live_events import LiveEvent, Response
from services.gateway.realtime_events import events, session
from services.gateway.session import Prosody
from textpro.errors import SynthesisError

KNOWN: TypeAdapter[Any] = TypeAdapter(RealtimeServerEvent)
OURS = {"turn.eager", "turn.resumed"}
ASKED = Item("i1", "user", "What is it?", spoken=True, prosody=Prosody("AAA=", (1, 1)), audio_ms=1234)
SAID = Item("i2", "assistant", "It is Paris.")
SPOKEN = replace(SAID, spoken=True, audio_ms=900, sentences=((12, 900.0),))
CALL = Item("i3", "function_call", "{}", name="weather", call_id="c1")
DONE = Response(
    "r1", ResponseWishes(), eager=True, output=[SAID], status="completed", reason="stop", usage=Usage(total_tokens=3)
)


def every_event() -> Iterator[LiveEvent]:
    yield tell.SpeechStarted("i1", 300.5)
    yield tell.SpeechStopped("i1", 1500)
    yield tell.Committed("i1", None)
    yield tell.Cleared()
    for item in (
        ASKED,
        SAID,
        CALL,
        Item("i4", "function_call_output", "sunny", call_id="c1"),
        Item("i5", "system", "!"),
    ):
        yield tell.ItemAdded(item, "i0")
        yield tell.ItemDone(item, None)
    yield tell.PartlyTranscribed("i1", "What")
    yield tell.Transcribed(ASKED)
    yield tell.NotTranscribed("i1", Unavailable("away"))
    yield tell.EagerBegun("i1")
    yield tell.TurnResumed("i1")
    yield tell.ResponseBegun(replace(DONE, status=None, output=[]))
    for item in (SAID, CALL):
        yield tell.OutputAdded(replace(DONE, output=[]), item, "i1")
        yield tell.OutputDone(replace(DONE, output=[item]), item, "i1")
    yield tell.TextDelta(DONE, "i2", "It")
    aloud = replace(DONE, spoken=True, output=[SPOKEN])
    yield tell.OutputAdded(replace(aloud, output=[]), SPOKEN, "i1")
    yield tell.TextDelta(aloud, "i2", "It")
    yield tell.SoundDelta(aloud, "i2", b"\0\0")
    yield tell.SpeechFailed("i2", SynthesisError("away"))
    yield tell.Hushed(aloud, "i2", 300.2)
    yield tell.OutputDone(aloud, SPOKEN, "i1")
    yield tell.ResponseEnded(aloud)
    yield tell.ResponseEnded(DONE)
    yield tell.ResponseEnded(replace(DONE, reason="length"))
    yield tell.ResponseEnded(replace(DONE, status="cancelled", reason="turn_detected"))
    yield tell.ResponseEnded(replace(DONE, status="failed", error=Unavailable("away")))
    yield tell.Refused(BadRequest("no", code="nope"), "e1")


@pytest.mark.parametrize("event", list(every_event()), ids=lambda event: type(event).__name__)
def test_openai_s_library_knows_every_event(event: LiveEvent) -> None:
    for made in events(event):
        if made["type"] not in OURS:
            known = KNOWN.validate_python(made | {"event_id": "event_1"}, strict=True)
            assert known.type == made["type"]
            assert type(known).__name__ != "dict"


def test_the_session_is_one_that_a_client_could_send() -> None:
    shown = session(Session(), "s_1")
    known = KNOWN.validate_python({"type": "session.created", "event_id": "event_1", "session": shown})
    assert known.session.output_modalities == ["text"]
    assert CLIENT_EVENT.validate_python({"type": "session.update", "session": shown})


def test_an_answer_has_openai_s_order() -> None:
    running = replace(DONE, status=None, output=[])
    parts = [tell.ResponseBegun(running), tell.OutputAdded(running, SAID, "i1"), tell.TextDelta(running, "i2", "It")]
    made = [
        made["type"]
        for event in [*parts, tell.OutputDone(DONE, SAID, "i1"), tell.ResponseEnded(DONE)]
        for made in events(event)
    ]
    assert [kind for kind in made if kind.startswith("response.")] == [
        "response.created",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.done",
    ]


@pytest.mark.parametrize(
    ("changes", "status", "reason"),
    [
        ({}, "completed", None),
        ({"reason": "length"}, "incomplete", "max_output_tokens"),
        ({"status": "cancelled", "reason": "turn_detected"}, "cancelled", "turn_detected"),
        ({"status": "cancelled", "reason": "client_cancelled"}, "cancelled", "client_cancelled"),
        ({"status": "failed", "error": Unavailable("away")}, "failed", None),
    ],
)
def test_how_an_answer_ended_is_told(changes: dict[str, Any], status: str, reason: str | None) -> None:
    (made,) = events(tell.ResponseEnded(replace(DONE, **changes)))
    assert made["response"]["status"] == status
    assert (made["response"]["status_details"] or {}).get("reason") == reason


def test_the_tone_is_told_beside_the_words() -> None:
    (made,) = events(tell.ItemDone(ASKED, None))
    assert made["item"]["prosody"] == "on"
    assert made["item"]["content"] == [{"type": "input_audio", "transcript": "What is it?"}]
