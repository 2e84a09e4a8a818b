"""An encoder and an LLM that take no thought, so that a benchmark measures the gateway between them.

The encoder hears one word in every 400 ms; the LLM answers always the same, piece by piece. Both speak the real
protocols, in a process of their own:

    python -m bench.neighbours --encoder-port 50051 --llm-port 8002
"""

import argparse
import asyncio
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from services.contracts import encoder_pb2, encoder_pb2_grpc
from services.runtime.http import serving
from services.runtime.lifecycle import stop_signal
from textpro.audio import SAMPLE_RATE

MS = 1000.0
WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
SAMPLES_PER_WORD = SAMPLE_RATE * 4 // 10
WIDTH = 256  # of a prosody vector
SERVICE_NAME = encoder_pb2.DESCRIPTOR.services_by_name["Encoder"].full_name


@dataclass(frozen=True)
class Pace:
    """How long things take, in milliseconds. pieces: of an answer."""

    encode_ms: float = 60.0
    first_ms: float = 60.0
    piece_ms: float = 30.0
    pieces: int = 30


class Encoder(encoder_pb2_grpc.EncoderServicer):
    """Hears as many words as the sound is long."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace

    async def Encode(self, request: encoder_pb2.EncodeRequest, context: Any) -> encoder_pb2.EncodeResponse:
        await asyncio.sleep(self._pace.encode_ms / MS)
        n_samples = len(request.pcm16) // 2
        words = islice(cycle(WORDS), max(1, n_samples // SAMPLES_PER_WORD))
        wanted = request.prosody != encoder_pb2.PROSODY_KIND_NONE
        vector = encoder_pb2.Array(data=bytes(2 * WIDTH), shape=(1, WIDTH)) if wanted else None
        return encoder_pb2.EncodeResponse(
            text=f"{' '.join(words)}.", language="en", prosody=vector, audio_seconds=n_samples / SAMPLE_RATE
        )


class Llm:
    """Answers with so many pieces."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/v1/models", self._models),
                Route("/v1/config", self._config),
                Route("/v1/chat/completions", self._chat, methods=["POST"]),
            ]
        )

    async def _models(self, _: Request) -> Response:
        return JSONResponse({"object": "list", "data": [{"id": "textpro", "max_model_len": 2**20}]})

    async def _config(self, _: Request) -> Response:
        return JSONResponse({"wants": "pooled"})

    async def _chat(self, request: Request) -> Response:
        await request.body()
        return StreamingResponse(self._events(), media_type="text/event-stream", headers={"x-textpro-prosody": "on"})

    async def _events(self) -> AsyncIterator[str]:
        await asyncio.sleep(self._pace.first_ms / MS)
        for word in islice(cycle(WORDS), self._pace.pieces):
            yield _chunk({"content": f"{word} "})
            await asyncio.sleep(self._pace.piece_ms / MS)
        yield _chunk({}, "stop")
        usage = {"prompt_tokens": 20, "completion_tokens": self._pace.pieces, "total_tokens": 20 + self._pace.pieces}
        yield f"data: {json.dumps({'choices': [], 'usage': usage})}\n\ndata: [DONE]\n\n"


def _chunk(delta: dict[str, str], finish_reason: str | None = None) -> str:
    return f"data: {json.dumps({'choices': [{'index': 0, 'delta': delta, 'finish_reason': finish_reason}]})}\n\n"


async def serve(encoder_port: int, llm_port: int, pace: Pace) -> None:
    """Until SIGTERM."""
    server = grpc.aio.server()
    encoder_pb2_grpc.add_EncoderServicer_to_server(Encoder(pace), server)
    states = health.aio.HealthServicer()  # pyright: ignore[reportAttributeAccessIssue]  (the package assigns it)
    health_pb2_grpc.add_HealthServicer_to_server(states, server)
    await states.set(SERVICE_NAME, health_pb2.HealthCheckResponse.SERVING)
    server.add_insecure_port(f"127.0.0.1:{encoder_port}")
    await server.start()
    async with stop_signal() as stop, serving(Llm(pace).app(), "127.0.0.1", llm_port, drain_s=1):
        await stop.wait()
    await server.stop(None)


def main() -> int:
    """0 after a clean stop."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder-port", type=int, required=True)
    parser.add_argument("--llm-port", type=int, required=True)
    parser.add_argument("--encode-ms", type=float, default=Pace.encode_ms)
    parser.add_argument("--first-ms", type=float, default=Pace.first_ms)
    parser.add_argument("--piece-ms", type=float, default=Pace.piece_ms)
    parser.add_argument("--pieces", type=int, default=Pace.pieces)
    given = parser.parse_args()
    pace = Pace(given.encode_ms, given.first_ms, given.piece_ms, given.pieces)
    asyncio.run(serve(given.encoder_port, given.llm_port, pace))
    return 0


if __name__ == "__main__":
    sys.exit(main())
