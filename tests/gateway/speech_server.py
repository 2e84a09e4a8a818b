"""A speech server of a test's own."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from services.runtime.http import serving

RATE = 24_000
MS_PER_LETTER = 50


@dataclass
class SpeechServer:
    """OpenAI's `POST /v1/audio/speech`: hums, `MS_PER_LETTER`, in pieces that end within a sample. `status` and `kind`
    are what it answers with; without `ends` it speaks until it is hung up on."""

    status: int = 200
    kind: str = "audio/pcm"
    ends: bool = True
    stalls: bool = False
    asked: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    requests: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    url: str = ""
    left: asyncio.Event = field(default_factory=asyncio.Event)

    def app(self) -> Starlette:
        return Starlette(routes=[Route("/v1/audio/speech", self._speech, methods=["POST"])])

    async def _speech(self, request: Request) -> Response:
        asked = json.loads(await request.body())
        self.requests.append(asked)
        self.asked.release()
        self.keys.append(request.headers.get("authorization"))
        if self.status != 200:
            return JSONResponse({"error": {"message": "no such voice"}}, self.status)
        return StreamingResponse(self._sound(asked["input"]), media_type=self.kind)

    async def _sound(self, text: str) -> AsyncIterator[bytes]:
        try:
            sound = hum(len(text) * RATE * MS_PER_LETTER // 1000)
            if self.stalls:
                await self.left.wait()
            for start in range(0, len(sound), 4801):
                yield sound[start : start + 4801]
            while not self.ends:
                yield bytes(48_000)
                await asyncio.sleep(0)  # a send to who hung up does not wait
        finally:
            self.left.set()


def hum(n_samples: int) -> bytes:
    return (8000 * np.sin(2 * np.pi * 300 * np.arange(n_samples) / RATE)).astype("<i2").tobytes()


@asynccontextmanager
async def speech_server(**settings: Any) -> AsyncIterator[SpeechServer]:
    """Served; its address is `url`."""
    server = SpeechServer(**settings)
    async with serving(server.app(), "127.0.0.1", 0, drain_s=1) as port:
        server.url = f"http://127.0.0.1:{port}"
        try:
            yield server
        finally:
            server.left.set()
