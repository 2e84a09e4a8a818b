"""The gateway's own HTTP interface: a turn, and the sessions it belongs to."""

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response

from services.contracts.chat import EXAMPLE_ANSWER, ChatAnswer, DeletedBody, ErrorBody, SessionBody, TurnBody
from services.contracts.errors import body
from services.gateway.admission import Doorkeeper
from services.gateway.chat import Delta, Done, Event, Exchange, Parts, Transcript, answer
from services.gateway.event_stream import EVENT_STREAM, LAST_WORDS_S, EventStream
from services.gateway.intake import AUDIO, ChatFields, read_question
from services.gateway.limits import Deadline
from services.gateway.openapi import text_fields
from services.gateway.timing import Stopwatch
from services.runtime.http import while_connected
from textpro.audio import ACCEPTED
from textpro.errors import TextProError

_EXAMPLE_STREAM = (
    "event: transcript\n"
    'data: {"session_id": "s_1Jb0…", "turn_id": "t_4c1f…", "transcript": "What is …", "no_speech": null}\n\n'
    'event: delta\ndata: {"text": "The capital"}\n\n'
    'event: delta\ndata: {"text": " of France is Paris."}\n\n'
    'event: done\ndata: {"session_id": "s_1Jb0…", "reply": "The capital of France is Paris.", "…": "…"}\n\n'
)
ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorBody, "description": "The audio or a field can't be used; the message says which and why."},
    404: {"model": ErrorBody, "description": "The session does not exist, or has expired."},
    413: {"model": ErrorBody, "description": "Too many bytes, or too many seconds."},
    429: {"model": ErrorBody, "description": "The house is full, or the session is still answering; see Retry-After."},
    503: {"model": ErrorBody, "description": "The encoder, the LLM or the store does not answer; see Retry-After."},
    504: {"model": ErrorBody, "description": "The turn took longer than allowed."},
}


SHOW, FORGET = "show_session", "forget_session"
_LINKS = {
    name: {"operationId": name, "parameters": {"session_id": "$response.body#/session_id"}} for name in (SHOW, FORGET)
}


def _chat_openapi() -> dict[str, Any]:
    """FastAPI can't see a body that is one of two kinds."""
    fields = text_fields(ChatFields)
    binary = {"type": "string", "format": "binary", "description": f"A recording: {ACCEPTED}."}
    properties = {AUDIO: binary, **fields}
    form = {"type": "object", "required": [AUDIO], "properties": properties, "additionalProperties": False}
    return {
        "requestBody": {
            "required": True,
            "content": {"multipart/form-data": {"schema": form}, "audio/*": {"schema": binary}},
        },
        "parameters": [
            {
                "name": name,
                "in": "query",
                "required": False,
                "description": schema.get("description", ""),
                "schema": {key: value for key, value in schema.items() if key != "description"},
            }
            for name, schema in fields.items()
        ],
    }


def _opened(request: Request) -> Parts:
    return request.app.state.parts


Opened = Annotated[Parts, Depends(_opened)]


def chat_router(door: Doorkeeper) -> APIRouter:
    """POST /v1/chat, GET and DELETE /v1/sessions/{id}; the application's `state.parts` is what they work with."""
    router = APIRouter(tags=["conversation"])

    @router.post(
        "/v1/chat",
        summary="Answer a recording",
        response_model=ChatAnswer,
        responses={
            200: {
                "description": "The turn, or its events.",
                "content": {
                    "application/json": {"example": EXAMPLE_ANSWER},
                    EVENT_STREAM: {"example": _EXAMPLE_STREAM},
                },
                "links": _LINKS,
            },
            **ERRORS,
        },
        openapi_extra=_chat_openapi(),
    )
    async def chat(request: Request, parts: Opened) -> Response:
        """Send a recording as the file `audio` of a form, or as the body itself with the fields in the query.

        With `stream=true`, or `Accept: text/event-stream`, the answer comes as events: `transcript`, `delta` (many),
        then `done` with the whole turn, or `error`. What fails before the first event has the status of its error.
        """
        watch, deadline = Stopwatch(), Deadline.after(parts.settings.turn_timeout_s)
        async with AsyncExitStack() as held:
            held.enter_context(door.admitted("chat", parts.metrics))
            with watch.stage("receive"):
                question, stream = await deadline.run(read_question(request, parts.settings))
            events = await held.enter_async_context(aclosing(answer(Exchange(question, watch, deadline), parts)))
            if not stream:
                done = await while_connected(request, _last(events))
                return JSONResponse(done.model_dump())
            first = await while_connected(request, _first(events))
            return TurnStream(first, events, held.pop_all(), deadline.later(LAST_WORDS_S))

    @router.get("/v1/sessions/{session_id}", operation_id=SHOW, summary="Show a session", responses={404: ERRORS[404]})
    async def show(session_id: str, parts: Opened) -> SessionBody:
        """What was said and answered, without the vectors."""
        session = await parts.store.get(session_id)
        turns = [
            TurnBody(
                turn_id=turn.turn_id,
                transcript=turn.transcript,
                reply=turn.reply,
                has_prosody=turn.prosody is not None,
                created_s=turn.created_s,
            )
            for turn in session.turns
        ]
        return SessionBody(
            session_id=session_id, instructions=session.instructions, turns=turns, expires_in_s=session.expires_in_s
        )

    @router.delete(
        "/v1/sessions/{session_id}", operation_id=FORGET, summary="Forget a session", responses={404: ERRORS[404]}
    )
    async def forget(session_id: str, parts: Opened) -> DeletedBody:
        """Its text and its vectors are gone at once."""
        await parts.store.delete(session_id)
        return DeletedBody(session_id=session_id)

    return router


async def _first(events: AsyncIterator[Event]) -> Event:
    return await anext(events)


async def _last(events: AsyncIterator[Event]) -> ChatAnswer:
    async for event in events:
        if isinstance(event, Done):
            return event.answer
    raise TextProError("the turn ended without an answer")


class TurnStream(EventStream):
    """A turn as server-sent events."""

    def __init__(self, first: Event, events: AsyncIterator[Event], held: AsyncExitStack, deadline: Deadline) -> None:
        super().__init__(_lines(first, events), lambda error: _sse("error", body(error)), held, deadline)


async def _lines(first: Event, events: AsyncIterator[Event]) -> AsyncGenerator[str]:
    yield _line(first)
    async for event in events:
        yield _line(event)


def _line(event: Event) -> str:
    match event:
        case Transcript():
            return _sse("transcript", asdict(event))
        case Delta():
            return _sse("delta", asdict(event))
        case Done():
            return _sse("done", event.answer.model_dump())


def _sse(name: str, content: dict[str, Any]) -> str:
    return f"event: {name}\ndata: {json.dumps(content, ensure_ascii=False)}\n\n"
