"""What a live session tells, in the words of `WS /v1/stream`."""

from collections.abc import Iterator
from typing import Any

from services.contracts.errors import body
from services.gateway import live_events as told
from services.gateway.live_events import LiveEvent, Response

Event = dict[str, Any]


def events(event: LiveEvent) -> Iterator[Event | bytes]:
    """A live event as what a plain client gets of it, in order: often nothing, or sound."""
    match event:
        case told.SpeechStarted(item_id, audio_ms):
            yield {"type": "speech_started", "item_id": item_id, "audio_ms": round(audio_ms)}
        case told.SpeechStopped(item_id, audio_ms):
            yield {"type": "speech_stopped", "item_id": item_id, "audio_ms": round(audio_ms)}
        case told.Cleared():
            yield {"type": "cleared"}
        case told.PartlyTranscribed(item_id, text):
            yield {"type": "partial", "item_id": item_id, "text": text}
        case told.Transcribed(item):
            prosody = "off" if item.prosody is None else "on"
            words = {"role": "user", "text": item.text, "final": True}
            yield {"type": "transcript", "item_id": item.id, **words, "prosody": prosody}
        case told.NotTranscribed(item_id, error):
            yield {"type": "error", "item_id": item_id, **body(error)}
        case told.EagerBegun(item_id):
            yield {"type": "eager", "item_id": item_id}
        case told.TurnResumed(item_id):
            yield {"type": "resumed", "item_id": item_id}
        case told.TextDelta(response, _, text):
            yield {"type": "delta", "response_id": response.id, "text": text}
        case told.SoundDelta(_, _, sound):
            yield sound
        case told.SpeechFailed(item_id, error):
            yield {"type": "error", "item_id": item_id, **body(error)}
        case told.Hushed(response) if response.status is not None:  # else its end says so
            yield {"type": "clear", "response_id": response.id}
        case told.ResponseEnded(response):
            if response.status == "cancelled":
                yield {"type": "clear", "response_id": response.id}
            yield _done(response)
        case told.Refused(error):
            yield {"type": "error", "item_id": None, **body(error)}


def _done(response: Response) -> Event:
    return {
        "type": "done",
        "response_id": response.id,
        "status": response.status,
        "reason": response.reason,
        "reply": "".join(item.text for item in response.output if item.kind == "assistant"),
        "prosody": response.prosody,
        "eager": response.eager,
        "usage": response.usage.model_dump(),
        "timing_ms": response.timing_ms,
        "error": None if response.error is None else body(response.error)["error"],
    }
