"""OpenAI's transcriptions at the gateway."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from pydantic import BaseModel

from services.contracts.chat import Usage
from services.contracts.errors import body
from services.contracts.transcriptions import (
    EXAMPLE_TRANSCRIPTION,
    ChunkWriter,
    Duration,
    Segment,
    TextDelta,
    TextDone,
    Transcription,
    TranscriptionFields,
    TranscriptionForm,
    VerboseTranscription,
)
from services.gateway import transcription as told
from services.gateway.admission import Doorkeeper
from services.gateway.api import ERRORS, Opened
from services.gateway.event_stream import DONE, EVENT_STREAM, LAST_WORDS_S, EventStream, data_event
from services.gateway.limits import Deadline
from services.gateway.openapi import form_body
from services.gateway.subtitles import srt, vtt
from services.gateway.transcription_intake import read_transcription
from services.runtime.http import while_connected

_EXAMPLE_STREAM = (
    'data: {"type": "transcript.text.delta", "delta": "What is the capital of France?"}\n\n'
    'data: {"type": "transcript.text.done", "text": "What is the capital of France?", '
    '"usage": {"type": "duration", "seconds": 1.84}}\n\n'
)
_TEXT = {"schema": {"type": "string"}}


def transcription_router(door: Doorkeeper) -> APIRouter:
    """POST /v1/audio/transcriptions; the application's `state.parts` and `state.vad` are what it works with."""
    router = APIRouter(tags=["openai"])

    @router.post(
        "/v1/audio/transcriptions",
        summary="Transcribe a recording",
        response_model=Transcription | VerboseTranscription,
        responses={
            200: {
                "description": "The text, in the form that was asked for.",
                "content": {
                    "application/json": {"example": EXAMPLE_TRANSCRIPTION},
                    "text/plain": _TEXT,
                    "text/vtt": _TEXT,
                    "application/x-subrip": _TEXT,
                    EVENT_STREAM: {"example": _EXAMPLE_STREAM},
                },
            },
            **ERRORS,
            404: {**ERRORS[404], "description": "Another model's name."},
        },
        openapi_extra={"requestBody": form_body(TranscriptionForm)},
    )
    async def transcriptions(request: Request, parts: Opened) -> Response:
        """OpenAI's transcriptions. The recording is cut where nobody speaks; each utterance is a segment.

        With `stream=true` an utterance is sent as soon as it is known: `transcript.text.delta`, and at the end
        `transcript.text.done`; or in vLLM's words for who asks with a field of vLLM's. What fails before the first
        event has the status of its error.
        """
        deadline = Deadline.after(parts.settings.turn_timeout_s)
        async with AsyncExitStack() as held:
            held.enter_context(door.admitted("transcriptions", parts.metrics))
            audio, fields = await deadline.run(read_transcription(request, parts.settings))
            recording = told.Recording(audio, fields.language or "", deadline)
            transcribed = told.transcribe(recording, request.app.state.vad.model, parts)
            events = await held.enter_async_context(aclosing(transcribed))
            if not fields.stream:
                return await while_connected(request, _whole(events, fields))
            opened = await while_connected(request, _opened(events))
            if fields.as_vllm:
                lines, failure = _chunks(events, fields, parts.settings.model), _chunked_failure
            else:
                lines, failure = _deltas(opened, events), _failure
            return EventStream(lines, failure, held.pop_all(), deadline.later(LAST_WORDS_S))

    return router


async def _opened(events: AsyncIterator[told.Event]) -> told.Opened:
    first = await anext(events)
    assert isinstance(first, told.Opened)
    return first


async def _whole(events: AsyncIterator[told.Event], fields: TranscriptionFields) -> Response:
    seconds = (await _opened(events)).seconds
    said = [event async for event in events if isinstance(event, told.Said)]
    language = said[0].language if said else fields.language or ""
    return _answer([event.segment for event in said], seconds, language, fields)


def _answer(segments: list[Segment], seconds: float, language: str, fields: TranscriptionFields) -> Response:
    text, usage = " ".join(segment.text for segment in segments), Duration(seconds=seconds)
    match fields.response_format:
        case "json":
            return JSONResponse(Transcription(text=text, usage=usage).model_dump())
        case "verbose_json":
            verbose = VerboseTranscription(
                language=language, duration=seconds, text=text, segments=segments, usage=usage
            )
            return JSONResponse(verbose.model_dump())
        case "text":
            return PlainTextResponse(f"{text}\n")
        case "srt":
            return PlainTextResponse(srt(segments), media_type="application/x-subrip; charset=utf-8")
        case "vtt":
            return PlainTextResponse(vtt(segments), media_type="text/vtt")


async def _deltas(opened: told.Opened, events: AsyncIterator[told.Event]) -> AsyncGenerator[str]:
    text = ""
    async for delta, _ in _said(events):
        text += delta
        yield _line(TextDelta(delta=delta))
    yield _line(TextDone(text=text, usage=Duration(seconds=opened.seconds)))


async def _chunks(events: AsyncIterator[told.Event], fields: TranscriptionFields, model: str) -> AsyncGenerator[str]:
    """In vLLM's words."""
    writer, usage = ChunkWriter(model), Usage()
    so_far = usage if fields.stream_continuous_usage_stats else None
    async for delta, n_tokens in _said(events):
        usage.completion_tokens += n_tokens
        usage.total_tokens += n_tokens
        yield data_event(writer.delta(delta, so_far))
    yield data_event(writer.last(so_far))
    if fields.stream_include_usage:
        yield data_event(writer.usage(usage))
    yield DONE


async def _said(events: AsyncIterator[told.Event]) -> AsyncIterator[tuple[str, int]]:
    """The utterances' texts, to be joined as they are, and how many tokens each has."""
    separator = ""
    async for event in events:
        if isinstance(event, told.Said):
            yield separator + event.segment.text, len(event.segment.tokens)
            separator = " "


def _line(event: BaseModel) -> str:
    return data_event(event.model_dump())


def _failure(error: Exception) -> str:
    return data_event(body(error))


def _chunked_failure(error: Exception) -> str:
    return _failure(error) + DONE
