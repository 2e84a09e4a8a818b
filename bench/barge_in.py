"""How soon an answer ends when the user speaks over it: its last event, and its generation in the LLM service.

Counted from when 120 ms of the user's speech were sent, in real time, over WS /v1/stream.

    python -m bench.barge_in                                   # starts the three services on free ports
    python -m bench.barge_in --gateway http://127.0.0.1:8000 --llm http://127.0.0.1:8002
"""

import argparse
import asyncio
import json
import statistics
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from prometheus_client.parser import text_string_to_metric_families

from bench.own_services import llm_url, measured
from services.cli import stream_client
from textpro.audio import SAMPLE_RATE, decode, pcm16_of
from textpro.errors import TextProError

FRAME_MS = 20
FRAME_BYTES = 2 * SAMPLE_RATE * FRAME_MS // 1000
MS = 1000.0
SPOKEN_MS = 120
PATIENCE_S = 60.0
AUDIBLE = 0.05  # of the loudest sample


@dataclass(frozen=True)
class Addresses:
    """Where the gateway and the LLM service are."""

    gateway: str
    llm: str


@dataclass
class Series:
    """Milliseconds, one entry a round."""

    last_event_ms: list[float] = field(default_factory=list)
    generation_ms: list[float] = field(default_factory=list)


def speech(path: Path) -> bytes:
    """A recording from its first sound on."""
    audio = decode(path.read_bytes())
    first = int(np.flatnonzero(np.abs(audio) > AUDIBLE * np.abs(audio).max())[0])
    return pcm16_of(audio[first:])


async def in_time(sound: bytes) -> AsyncIterator[bytes]:
    """Frames, each when its last sample would have been spoken."""
    loop = asyncio.get_running_loop()
    begun_s = loop.time()
    for number, start in enumerate(range(0, len(sound), FRAME_BYTES)):
        await asyncio.sleep(begun_s + (number + 1) * FRAME_MS / MS - loop.time())
        yield sound[start : start + FRAME_BYTES]


async def interrupt(addresses: Addresses, question: bytes, over: bytes, series: Series) -> None:
    """Asks, and speaks over the answer once it has begun."""
    loop = asyncio.get_running_loop()
    options = {"max_tokens": "400", "instructions": "Tell a long story.", "temperature": "0"}
    async with (
        stream_client.connect(addresses.gateway, options) as line,
        httpx.AsyncClient(base_url=addresses.llm, trust_env=False) as llm,
        asyncio.timeout(PATIENCE_S),
    ):
        events = stream_client.events(line)
        await line.send(question + bytes(2 * SAMPLE_RATE))
        await until(events, "delta")
        spoken_s = asyncio.get_running_loop().create_future()

        async def speak() -> None:
            sent = 0
            async for frame in in_time(over):
                await line.send(frame)
                sent += FRAME_MS
                if sent == SPOKEN_MS:
                    spoken_s.set_result(loop.time())

        async def until_idle() -> float:
            while await generations(llm):
                pass  # each look is a request, so that others get their time
            return loop.time()

        speaking = asyncio.create_task(speak())
        idle = asyncio.create_task(until_idle())
        done = await until(events, "done")
        ended_s = loop.time()
        if done["status"] != "cancelled":
            raise TextProError(f"the answer was {done['status']} before anybody spoke over it")
        series.last_event_ms.append((ended_s - await spoken_s) * MS)
        series.generation_ms.append((await idle - await spoken_s) * MS)
        speaking.cancel()


async def until(events: AsyncIterator[dict[str, Any]], kind: str) -> dict[str, Any]:
    """The next event of a kind."""
    async for event in events:
        if event["type"] == kind:
            return event
    raise TextProError(f"the conversation ended before {kind}")


async def generations(llm: httpx.AsyncClient) -> float:
    """How many the LLM service is busy with."""
    families = text_string_to_metric_families((await llm.get("/metrics")).text)
    names = ("textpro_in_flight", "vllm:num_requests_running")
    return sum(sample.value for family in families for sample in family.samples if sample.name in names)


def report(series: Series) -> dict[str, Any]:
    """Median, 99th percentile and the most."""
    figures: dict[str, Any] = {"rounds": len(series.last_event_ms)}
    for name in ("last_event_ms", "generation_ms"):
        times = getattr(series, name)
        p99 = statistics.quantiles(times, n=100, method="inclusive")[-1]
        figures[name] = {"p50": statistics.median(times), "p99": p99, "max": max(times)}
    return figures


async def measure(addresses: Addresses, arguments: argparse.Namespace) -> None:
    """Runs, shows, writes."""
    series, question, over = Series(), speech(arguments.question), speech(arguments.over)
    await interrupt(addresses, question, over, Series())
    for _ in range(arguments.rounds):
        await interrupt(addresses, question, over, series)
    figures = report(series)
    print(f"{figures['rounds']} interruptions; ms from {SPOKEN_MS} ms of speech to")
    for name, label in (("last_event_ms", "the last event"), ("generation_ms", "the generation's end")):
        row = figures[name]
        print(f"{label:<22} p50 {row['p50']:6.1f}  p99 {row['p99']:6.1f}  max {row['max']:6.1f}")
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(figures, indent=2) + "\n")
    print(f"written to {arguments.out}")


def main() -> int:
    """Exits with a message when a service refuses."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gateway", help="base URL of a running gateway; needs --llm as well")
    parser.add_argument("--llm", help="base URL of its LLM service")
    parser.add_argument("--question", type=Path, default=Path("examples/cats.wav"))
    parser.add_argument("--over", type=Path, default=Path("examples/capital.wav"), help="what is said over the answer")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--wait", type=float, default=900.0, help="seconds the services may take to be ready")
    parser.add_argument("--out", type=Path, default=Path("out/barge_in.json"))
    arguments = parser.parse_args()
    if arguments.gateway and arguments.llm:
        asyncio.run(measure(Addresses(arguments.gateway, arguments.llm), arguments))
    elif arguments.gateway or arguments.llm:
        parser.error("--gateway and --llm belong together")
    else:
        measured(
            lambda places: measure(Addresses(places.gateway_url, llm_url(places)), arguments), wait_s=arguments.wait
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
