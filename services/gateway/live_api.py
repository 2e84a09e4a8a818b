"""The gateway's WebSockets: live conversations."""

import asyncio
from contextlib import ExitStack, suppress

from fastapi import APIRouter, WebSocket

from services.contracts.errors import BadRequest, Unavailable
from services.gateway.calls import Call, Calls, Opened
from services.gateway.chat import Parts
from services.gateway.journal import State
from services.gateway.limits import Seats
from services.gateway.realtime import RealtimeSession
from services.gateway.sockets import converse, refuse
from services.gateway.turn_settings import TurnSettings
from services.runtime.lifecycle import Readiness
from textpro.errors import TextProError

SUBPROTOCOL = "realtime"
MAX_DIGITS = 15


def live_router(seats: Seats, readiness: Readiness) -> APIRouter:
    """WS /v1/realtime; the application's `state.parts`, `state.voice` and `state.calls` are what it works with."""
    router = APIRouter()

    @router.websocket("/v1/realtime")
    async def realtime(websocket: WebSocket) -> None:
        parts, voice = websocket.app.state.parts, websocket.app.state.voice

        def opened(call: Call, tasks: asyncio.TaskGroup, left: State | None) -> RealtimeSession:
            turns = TurnSettings(partial_ms=parts.settings.partial_ms)
            return RealtimeSession(call.token, parts, voice, call.outbox, tasks, turns, left)

        await admitted(websocket, parts, opened, "realtime")

    async def admitted(websocket: WebSocket, parts: Parts, opened: Opened, operation: str) -> None:
        # What ends a call is raised for what counts it; the caller has been told by then.
        with suppress(TextProError), parts.metrics.serving(operation), ExitStack() as held:
            last_read = None
            try:
                if readiness.draining:
                    raise Unavailable("this gateway is stopping; another one takes the call", retry_after_s=1)
                held.enter_context(seats.seat())
                calls: Calls = websocket.app.state.calls
                if token := websocket.query_params.get("resume_token"):
                    last_read = _last_read(websocket)
                    call = await calls.resume(token, last_read, opened)
                else:
                    call = await calls.begin(opened)
            except TextProError as error:
                await refuse(websocket, error)
                raise
            # A client that offered no subprotocol must get none, and a browser's key must not be sent back to it.
            offered = websocket.scope.get("subprotocols") or []
            await websocket.accept(SUBPROTOCOL if SUBPROTOCOL in offered else None)
            await converse(websocket, call, parts.settings, last_read)

    return router


def _last_read(websocket: WebSocket) -> int:
    given = websocket.query_params.get("last_event_seq", "")
    if not given.isdecimal() or len(given) > MAX_DIGITS:
        message = "a call is resumed with the number of the last event that was read"
        raise BadRequest(message, param="last_event_seq", code="invalid_value")
    return int(given)
