"""What a live session tells, in the words of OpenAI's Realtime API (GA).

Ours, which stock clients ignore: `turn.eager` and `turn.resumed`, `prosody` on a user's item and on a response, and
`timing_ms` on `response.done`.
"""

import base64
from collections.abc import Iterator
from typing import Any

from services.contracts.errors import body
from services.contracts.realtime import Session
from services.gateway import live_events as told
from services.gateway.conversation import Item
from services.gateway.live_events import LiveEvent, Response

Event = dict[str, Any]
CONTENT = 0  # an item has one content part
LENGTH = "length"  # the LLM's word for an answer that was cut off


def events(event: LiveEvent) -> Iterator[Event]:
    """A live event as the events that a client gets, in order and without their ids."""
    match event:
        case told.SpeechStarted(item_id, audio_ms):
            yield {"type": "input_audio_buffer.speech_started", "item_id": item_id, "audio_start_ms": round(audio_ms)}
        case told.SpeechStopped(item_id, audio_ms):
            yield {"type": "input_audio_buffer.speech_stopped", "item_id": item_id, "audio_end_ms": round(audio_ms)}
        case told.Committed(item_id, before):
            yield {"type": "input_audio_buffer.committed", "item_id": item_id, "previous_item_id": before}
        case told.Cleared():
            yield {"type": "input_audio_buffer.cleared"}
        case told.ItemAdded(item, before):
            yield _item("conversation.item.added", item, before)
        case told.ItemDone(item, before):
            yield _item("conversation.item.done", item, before)
        case told.PartlyTranscribed(item_id, text):
            yield _transcription("delta", item_id, delta=text)
        case told.ItemDeleted(item_id):
            yield {"type": "conversation.item.deleted", "item_id": item_id}
        case told.Transcribed(item):
            usage = {"type": "duration", "seconds": round(item.audio_ms / 1000, 3)}
            yield _transcription("completed", item.id, transcript=item.text, usage=usage)
        case told.NotTranscribed(item_id, error):
            # OpenAI's JavaScript SDK reads no null here.
            known = {name: value for name, value in body(error)["error"].items() if value is not None}
            yield _transcription("failed", item_id, error=known)
        case told.EagerBegun(item_id):
            yield {"type": "turn.eager", "item_id": item_id}
        case told.TurnResumed(item_id):
            yield {"type": "turn.resumed", "item_id": item_id}
        case told.ResponseBegun(response):
            yield {"type": "response.created", "response": shown(response)}
        case told.ResponseEnded(response):
            yield {"type": "response.done", "response": shown(response)}
        case told.OutputAdded() | told.TextDelta() | told.SoundDelta() | told.OutputDone():
            yield from _output(event)
        case told.SpeechFailed(_, error):
            yield {"type": "error", "error": body(error)["error"] | {"event_id": None}}
        case told.Hushed(_, item_id, heard_ms):
            yield truncated(item_id, CONTENT, round(heard_ms))
        case told.Refused(error, event_id):
            yield {"type": "error", "error": body(error)["error"] | {"event_id": event_id}}


def session(config: Session, session_id: str) -> Event:
    """The session object of `session.created` and `session.updated`."""
    return {"id": session_id, "object": "realtime.session", **config.model_dump(mode="json")}


def truncated(item_id: str, content_index: int, audio_end_ms: int) -> Event:
    """Of an answer's sound only so much was heard."""
    place = {"item_id": item_id, "content_index": content_index}
    return {"type": "conversation.item.truncated", **place, "audio_end_ms": audio_end_ms}


def shown(response: Response) -> Event:
    """The response object."""
    wishes = response.wishes
    usage = response.usage
    found: Event = {
        "id": response.id,
        "object": "realtime.response",
        "status": "in_progress",
        "status_details": None,
        "output": [item.shown() for item in response.output],
        "output_modalities": ["audio" if response.spoken else "text"],
        "max_output_tokens": wishes.max_output_tokens or "inf",
        "metadata": wishes.metadata,
        "usage": None,
    }
    if response.status is None:
        return found
    status, details = _status(response)
    return found | {
        "status": status,
        "status_details": details,
        "usage": {
            "total_tokens": usage.total_tokens,
            "input_tokens": usage.prompt_tokens,
            "output_tokens": usage.completion_tokens,
        },
        "prosody": response.prosody,
        "eager": response.eager,
        "timing_ms": response.timing_ms,
    }


def _status(response: Response) -> tuple[str, Event | None]:
    match response.status:
        case "completed" if response.reason == LENGTH:
            return "incomplete", {"type": "incomplete", "reason": "max_output_tokens"}
        case "cancelled":
            # A session that ends cancels for its client.
            reason = "turn_detected" if response.reason == "turn_detected" else "client_cancelled"
            return "cancelled", {"type": "cancelled", "reason": reason}
        case "failed":
            error = body(response.error)["error"] if response.error is not None else {}
            return "failed", {
                "type": "failed",
                "error": {name: error.get(name) for name in ("type", "code", "message")},
            }
    return "completed", None


def _output(event: told.OutputAdded | told.TextDelta | told.SoundDelta | told.OutputDone) -> Iterator[Event]:
    """An item of an answer: it begins, goes on, and is as it will stay."""
    response = event.response
    item_id = event.item.id if isinstance(event, told.OutputAdded | told.OutputDone) else event.item_id
    n_done = len(response.output) - isinstance(event, told.OutputDone)
    place = {"response_id": response.id, "output_index": n_done, "item_id": item_id}
    part = place | {"content_index": CONTENT}
    without_item = {name: place[name] for name in ("response_id", "output_index")}
    match event:
        case told.OutputAdded(_, item, before):
            yield {"type": "response.output_item.added", **without_item, "item": item.shown()}
            yield _item("conversation.item.added", item, before)
            if item.kind == "assistant":
                yield {"type": "response.content_part.added", **part, "part": _part(item)}
        case told.TextDelta(_, _, text):
            kind = "output_audio_transcript" if response.spoken else "output_text"
            yield {"type": f"response.{kind}.delta", **part, "delta": text}
        case told.SoundDelta(_, _, sound):
            yield {"type": "response.output_audio.delta", **part, "delta": base64.b64encode(sound).decode()}
        case told.OutputDone(_, item, before):
            if item.kind == "assistant":
                if item.spoken:
                    yield {"type": "response.output_audio.done", **part}
                    yield {"type": "response.output_audio_transcript.done", **part, "transcript": item.text}
                else:
                    yield {"type": "response.output_text.done", **part, "text": item.text}
                yield {"type": "response.content_part.done", **part, "part": _part(item)}
            else:
                call = {"call_id": item.call_id, "name": item.name}
                yield {"type": "response.function_call_arguments.delta", **place, **call, "delta": item.text}
                yield {"type": "response.function_call_arguments.done", **place, **call, "arguments": item.text}
            yield {"type": "response.output_item.done", **without_item, "item": item.shown()}
            yield _item("conversation.item.done", item, before)


def _part(item: Item) -> Event:
    """Named as in OpenAI's events; in an item it is `output_audio` or `output_text`."""
    return {"type": "audio", "transcript": item.text} if item.spoken else {"type": "text", "text": item.text}


def _item(kind: str, item: Item, before: str | None) -> Event:
    return {"type": kind, "item": item.shown(), "previous_item_id": before}


def _transcription(how: str, item_id: str, **content: Any) -> Event:
    kind = f"conversation.item.input_audio_transcription.{how}"
    return {"type": kind, "item_id": item_id, "content_index": CONTENT, **content}
