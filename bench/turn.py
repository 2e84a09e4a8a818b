"""What the gateway costs: one turn through POST /v1/chat, and as encoder + LLM called directly, alternating in one run.

Both ways start from one recording (directly: already decoded), ask for prosody, take the likeliest tokens and stream.

    python -m bench.turn examples/capital.wav                 # starts the three services on free ports
    python -m bench.turn a.wav --gateway http://host:8000 --encoder host:50051 --llm http://host:8002
"""

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from httpx_sse import EventSource

from bench.own_services import llm_url, measured
from services.gateway.encoder_client import GrpcEncoder
from services.gateway.hearing import Hearing
from services.gateway.history import prompt
from services.gateway.limits import Deadline
from services.gateway.llm_client import HttpLlm, Sampling
from services.gateway.settings import GatewaySettings
from services.gateway.timing import stages_only
from textpro.errors import TextProError

TIMEOUT_S = 120.0
MS = 1000.0


@dataclass(frozen=True)
class Addresses:
    """Where the three services are."""

    gateway: str
    encoder: str
    llm: str


@dataclass
class Series:
    """Times of one way to have a turn, in milliseconds, one entry a round; `reply` is the last round's."""

    first_token_ms: list[float] = field(default_factory=list)
    total_ms: list[float] = field(default_factory=list)
    stages_ms: list[dict[str, float]] = field(default_factory=list)
    reply: str = ""

    def add(self, start_s: float, first_s: float | None, end_s: float, reply: str) -> None:
        self.first_token_ms.append(((first_s or end_s) - start_s) * MS)
        self.total_ms.append((end_s - start_s) * MS)
        self.reply = reply


class Bench:
    """Both ways, with connections that stay open."""

    def __init__(self, addresses: Addresses, audio: bytes, pcm16: bytes, sampling: Sampling) -> None:
        self._audio, self._pcm16, self._sampling = audio, pcm16, sampling
        self._http = httpx.AsyncClient(base_url=addresses.gateway, timeout=TIMEOUT_S, trust_env=False)
        self._encoder = GrpcEncoder(addresses.encoder)
        self._llm = HttpLlm(addresses.llm, GatewaySettings.model_fields["model"].default, max_connections=4)

    async def close(self) -> None:
        await self._http.aclose()
        await self._encoder.close()
        await self._llm.close()

    async def direct(self, series: Series) -> None:
        """Encoder, then LLM; the clients are the gateway's own."""
        kind = (await self._llm.profile()).prosody
        start_s, first_s, reply = time.perf_counter(), None, ""
        speech = await self._encoder.encode(self._pcm16, prosody=kind, timeout_s=TIMEOUT_S)
        async with self._llm.reply(prompt("", [], speech), self._sampling, Deadline.after(TIMEOUT_S)) as answer:
            async for piece in answer.pieces:
                first_s = first_s or time.perf_counter()
                reply += piece
        series.add(start_s, first_s, time.perf_counter(), reply)

    async def chat(self, series: Series) -> None:
        """POST /v1/chat; the session it makes is deleted outside the measured time."""
        start_s, first_s, done = time.perf_counter(), None, {}
        query = {"stream": True, **self._sampling.fields()}
        async with self._http.stream("POST", "/v1/chat", params=query, content=self._audio) as response:
            if response.is_error:
                raise TextProError(f"the gateway answers {response.status_code}: {(await response.aread()).decode()}")
            async for event in EventSource(response).aiter_sse():
                if event.event == "delta" and first_s is None:
                    first_s = time.perf_counter()
                if event.event in ("done", "error"):
                    done = json.loads(event.data)
        end_s = time.perf_counter()
        if "session_id" not in done:
            raise TextProError(f"the gateway's stream ended with {done}")
        series.add(start_s, first_s, end_s, done["reply"])
        series.stages_ms.append(stages_only(done["timing_ms"]))
        await self._http.delete(f"/v1/sessions/{done['session_id']}")

    async def run(self, rounds: int, warm_up: int) -> tuple[Series, Series]:
        """Each round takes both ways, now the one first, now the other."""
        direct, chat = Series(), Series()
        for i in range(warm_up):
            await self.direct(Series())
            await self.chat(Series())
            print(f"warm-up {i + 1}/{warm_up}", file=sys.stderr)
        for i in range(rounds):
            steps: list[Callable[[], Coroutine[Any, Any, None]]] = [
                lambda: self.direct(direct),
                lambda: self.chat(chat),
            ]
            for step in steps if i % 2 == 0 else reversed(steps):
                await step()
        return direct, chat


def report(direct: Series, chat: Series) -> dict[str, Any]:
    """Medians, and the gateway's overhead as the median of the rounds' own differences."""
    figures: dict[str, Any] = {"rounds": len(chat.total_ms), "same_reply": direct.reply == chat.reply}
    for name in ("first_token_ms", "total_ms"):
        ours, theirs = getattr(chat, name), getattr(direct, name)
        figures[name] = {
            "direct": statistics.median(theirs),
            "chat": statistics.median(ours),
            "overhead": statistics.median(a - b for a, b in zip(ours, theirs, strict=True)),
            "ratio": statistics.median(ours) / statistics.median(theirs),
        }
    stages = {stage for row in chat.stages_ms for stage in row}
    figures["stages_ms"] = {
        stage: statistics.median(row.get(stage, 0.0) for row in chat.stages_ms) for stage in sorted(stages)
    }
    return figures


def show(figures: dict[str, Any]) -> None:
    """A table of medians."""
    print(f"medians of {figures['rounds']} rounds, ms; same reply both ways: {figures['same_reply']}")
    print(f"{'':<14}{'direct':>10}{'/v1/chat':>10}{'overhead':>10}{'ratio':>8}")
    for name in ("first_token_ms", "total_ms"):
        row = figures[name]
        label = name.removesuffix("_ms").replace("_", " ")
        print(f"{label:<14}{row['direct']:>10.2f}{row['chat']:>10.2f}{row['overhead']:>10.2f}{row['ratio']:>8.3f}")
    print("stages of /v1/chat: " + ", ".join(f"{name} {ms:.2f}" for name, ms in figures["stages_ms"].items()))


async def measure(addresses: Addresses, arguments: argparse.Namespace) -> None:
    """Runs, shows, writes."""
    audio = arguments.audio.read_bytes()
    settings = GatewaySettings.load()
    hearing = Hearing(threads=1, max_seconds=settings.max_seconds, max_decoded_bytes=settings.max_decoded_bytes)
    pcm16 = await hearing.pcm16(audio)
    hearing.close()
    bench = Bench(addresses, audio, pcm16, Sampling(arguments.max_tokens, temperature=0.0, seed=0))
    try:
        figures = report(*await bench.run(arguments.rounds, arguments.warm_up))
    finally:
        await bench.close()
    show(figures)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps({"audio": arguments.audio.name, **figures}, indent=2) + "\n")
    print(f"written to {arguments.out}")


def main() -> int:
    """Exits with a message when a service refuses."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("audio", type=Path, nargs="?", default=Path("examples/capital.wav"), help="a spoken question")
    parser.add_argument("--gateway", help="base URL of a running gateway; needs --encoder and --llm as well")
    parser.add_argument("--encoder", help="gRPC target of a running encoder")
    parser.add_argument("--llm", help="base URL of a running LLM service")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--warm-up", type=int, default=2)
    parser.add_argument("--max-tokens", type=int, default=16)
    parser.add_argument("--wait", type=float, default=900.0, help="seconds the services may take to be ready")
    parser.add_argument("--out", type=Path, default=Path("out/turn.json"))
    arguments = parser.parse_args()
    given = [arguments.gateway, arguments.encoder, arguments.llm]
    if all(given):
        asyncio.run(measure(Addresses(*given), arguments))
    elif any(given):
        parser.error("--gateway, --encoder and --llm belong together")
    else:
        measured(
            lambda places: measure(
                Addresses(places.gateway_url, f"127.0.0.1:{places.encoder_grpc_port}", llm_url(places)), arguments
            ),
            wait_s=arguments.wait,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
