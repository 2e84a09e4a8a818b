"""The gateway's WebSockets: live conversations."""

import asyncio
from contextlib import ExitStack, suppress

from fastapi import APIRouter, WebSocket

from services.contracts.errors import Unavailable
from services.gateway.chat import Parts
from services.gateway.limits import Seats
from services.gateway.outbox import Outbox
from services.gateway.realtime import RealtimeSession
from services.gateway.session import new_session_id
from services.gateway.sockets import Opened, converse, refuse
from services.gateway.turn_settings import TurnSettings
from services.runtime.lifecycle import Readiness
from textpro.errors import TextProError

SUBPROTOCOL = "realtime"


def live_router(seats: Seats, readiness: Readiness) -> APIRouter:
    """WS /v1/realtime; the application's `state.parts` and `state.voice` are what it works with."""
    router = APIRouter()

    @router.websocket("/v1/realtime")
    async def realtime(websocket: WebSocket) -> None:
        parts, voice = websocket.app.state.parts, websocket.app.state.voice

        def opened(outbox: Outbox, tasks: asyncio.TaskGroup) -> RealtimeSession:
            turns = TurnSettings(partial_ms=parts.settings.partial_ms)
            return RealtimeSession(new_session_id(), parts, voice, outbox, tasks, turns)

        await admitted(websocket, parts, opened, "realtime")

    async def admitted(websocket: WebSocket, parts: Parts, opened: Opened, operation: str) -> None:
        # What ends a call is raised for what counts it; the caller has been told by then.
        with suppress(TextProError), parts.metrics.serving(operation), ExitStack() as held:
            try:
                if readiness.draining:
                    raise Unavailable("this gateway is stopping; another one takes the call", retry_after_s=1)
                held.enter_context(seats.seat())
            except TextProError as error:
                await refuse(websocket, error)
                raise
            # A client that offered no subprotocol must get none, and a browser's key must not be sent back to it.
            offered = websocket.scope.get("subprotocols") or []
            await websocket.accept(SUBPROTOCOL if SUBPROTOCOL in offered else None)
            await converse(websocket, opened, parts.settings)

    return router
