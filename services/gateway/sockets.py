"""A WebSocket and who speaks over it: receiving, sending, and the one place where a connection ends."""

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable
from typing import NoReturn, Protocol

from fastapi import WebSocket, WebSocketDisconnect
from fastapi.responses import JSONResponse

from services.contracts.errors import Cancelled, DeadlineExceeded, body, headers, outcome
from services.gateway.outbox import Outbox
from services.gateway.settings import GatewaySettings
from textpro.errors import TextProError

log = logging.getLogger(__name__)
CLOSE_S = 5.0  # for the last words to a client that does not read
WELL_DONE = 1000
MAX_REASON_BYTES = 120  # of the 123 that a close frame has room for


class Peer(Protocol):
    """What a protocol makes of what comes."""

    async def receive(self, message: str | bytes) -> None: ...

    def close(self) -> None: ...


class _Over(Exception):
    """All has been said."""


Opened = Callable[[Outbox, asyncio.TaskGroup], Peer]


async def refuse(websocket: WebSocket, error: TextProError) -> None:
    """Before the upgrade: an answer of HTTP, with its status, its body and Retry-After."""
    await websocket.send_denial_response(JSONResponse(body(error), outcome(error).http, headers(error)))


async def converse(websocket: WebSocket, opened: Opened, settings: GatewaySettings) -> None:
    """An accepted connection, to its end. Raises what ended it, once the client has been told; a client that hangs up
    raises Cancelled."""
    error = await _until_the_end(websocket, opened, settings)
    if isinstance(error, _Over):
        return await _close(websocket, WELL_DONE, "")
    if isinstance(error, WebSocketDisconnect):
        if error.code in (WELL_DONE, 1001, 1005):
            return
        raise Cancelled("the client hung up")
    row = outcome(error)
    if row.http == 500:
        log.error("a live session failed", exc_info=error)
    reason = body(error)["error"]["message"].encode()[:MAX_REASON_BYTES].decode(errors="ignore")
    await _close(websocket, row.websocket, reason)
    raise error


async def _close(websocket: WebSocket, code: int, reason: str) -> None:
    with contextlib.suppress(RuntimeError, TimeoutError):  # it may be gone by now
        async with asyncio.timeout(CLOSE_S):
            await websocket.close(code, reason)


async def _until_the_end(websocket: WebSocket, opened: Opened, settings: GatewaySettings) -> BaseException:
    outbox = Outbox(settings.max_outbox)
    try:
        async with asyncio.timeout(settings.live_max_s), asyncio.TaskGroup() as tasks:
            tasks.create_task(_send(websocket, outbox), name="send")
            peer = opened(outbox, tasks)
            try:
                await _receive(websocket, peer, settings.live_idle_s)
            finally:
                peer.close()
    except TimeoutError:
        return DeadlineExceeded(f"a live session lasts {settings.live_max_s:g} s at most (TEXTPRO_LIVE_MAX_S)")
    except BaseExceptionGroup as group:  # the first to fail has ended the others
        return group.exceptions[0]


async def _receive(websocket: WebSocket, peer: Peer, idle_s: float) -> NoReturn:
    """The client's going is an error, too, and ends the group."""
    while True:
        try:
            async with asyncio.timeout(idle_s):
                message = await websocket.receive()
        except TimeoutError:
            raise DeadlineExceeded(f"nothing came for {idle_s:g} s (TEXTPRO_LIVE_IDLE_S)") from None
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code") or 1006)
        text, data = message.get("text"), message.get("bytes")
        await peer.receive(text if text is not None else data or b"")


async def _send(websocket: WebSocket, outbox: Outbox) -> NoReturn:
    while True:
        message = await outbox.get()
        if message is None:
            raise _Over
        if isinstance(message, bytes):
            await websocket.send_bytes(message)
        else:
            await websocket.send_text(json.dumps(message, ensure_ascii=False, separators=(",", ":")))
