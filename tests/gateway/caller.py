"""A client of WS /v1/realtime that can lose its connection and come back, as clients are told to do it."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect

from tests.gateway.conftest import PATIENCE_S, hum

WAIT = {"type": "server_vad", "silence_duration_ms": 500}


@dataclass
class Caller:
    """A client that keeps what a client has to keep: its token, the number of the last event, the sound it sent."""

    connection: ClientConnection
    token: str = ""
    seen: list[dict[str, Any]] = field(default_factory=list)
    sent: bytes = b""

    async def send(self, kind: str, **fields: Any) -> None:
        await self.connection.send(json.dumps({"type": kind, **fields}))

    async def sound(self, pcm16: bytes, *, again: bool = False) -> None:
        self.sent += b"" if again else pcm16
        await self.send("input_audio_buffer.append", audio=base64.b64encode(pcm16).decode())

    async def speak(self, ms: int) -> None:
        await self.sound(hum(ms // 10).tobytes())

    async def silence(self, ms: int) -> None:
        await self.sound(bytes(32 * ms))

    async def until(self, kind: str) -> dict[str, Any]:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                event = json.loads(await self.connection.recv())
                self.seen.append(event)
                if event["type"] == kind:
                    return event

    async def come_back(self, gateway: str) -> dict[str, Any]:
        """On a new connection, up to where it is told so."""
        query = {"resume_token": self.token, "last_event_seq": self.last_read}
        self.connection = await connect(realtime_url(gateway, **query))
        return await self.until("session.resumed")

    async def hang_up(self) -> None:
        """As when the network is gone: without a word."""
        self.connection.transport.abort()
        await self.connection.wait_closed()

    @property
    def last_read(self) -> int:
        return self.seen[-1]["server_event_seq"]

    def texts(self) -> list[str]:
        """What each answer that was completed said, as its deltas had it."""
        found: dict[str, str] = {}
        for event in self.seen:
            if event["type"] == "response.output_text.delta":
                found[event["response_id"]] = found.get(event["response_id"], "") + event["delta"]
        ended = {
            event["response"]["id"]: event["response"]["status"]
            for event in self.seen
            if event["type"] == "response.done"
        }
        return [text for response_id, text in found.items() if ended.get(response_id) == "completed"]

    def numbers(self) -> list[int]:
        return [event["server_event_seq"] for event in self.seen]


def realtime_url(gateway: str, **query: Any) -> str:
    return str(httpx.URL(gateway).copy_with(scheme="ws", path="/v1/realtime", params=query))


@asynccontextmanager
async def called(gateway: str) -> AsyncIterator[Caller]:
    """A caller who speaks PCM16 at 16 kHz."""
    caller = Caller(await connect(realtime_url(gateway)))
    caller.token = (await caller.until("session.created"))["session"]["resume_token"]
    sound = {"format": {"type": "audio/pcm", "rate": 16_000}, "turn_detection": WAIT}
    await caller.send("session.update", session={"audio": {"input": sound}})
    await caller.until("session.updated")
    try:
        yield caller
    finally:
        await caller.connection.close()
