"""How soon a live conversation answers: from the true end of speech, as the file has it, to the first piece of text.

The same spoken turns, some with a pause in their middle, are sent in real time over WS /v1/stream three times: answered
eagerly and one step after the other, with the same fixed pause, and as the house does it by itself.

    python -m bench.live                                       # starts the three services on free ports
    python -m bench.live --gateway http://127.0.0.1:8000
"""

import argparse
import asyncio
import json
import random
import statistics
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from prometheus_client.parser import text_string_to_metric_families

from bench.own_services import measured
from services.cli import stream_client
from textpro.audio import SAMPLE_RATE
from textpro.data.room import Room
from textpro.data.sentences import compose_split
from textpro.data.synthesis import speak, trim
from textpro.data.voices import STYLES, voices
from textpro.errors import TextProError

FRAME_MS, FRAME = 20, SAMPLE_RATE // 50
MS = 1000.0
PATIENCE_S = 60.0
SILENCE_S = 4.0  # after a turn, at most
AUDIBLE = 0.02  # of the loudest sample: what is softer is no speech
OPENINGS = ("Tell me", "I was wondering", "Can you tell me", "By the way", "One more thing", "I would like to know")
PAUSES_MS = (300, 900)
SYSTEMS = {
    "eager": {"detection": "fixed", "pause_ms": "500"},
    "sequential": {"detection": "fixed", "pause_ms": "500", "eager": "off"},
    "adaptive": {},
}


@dataclass(frozen=True)
class Spoken:
    """A turn as it is said. end_s: of its last sound."""

    pcm16: bytes
    end_s: float


@dataclass
class Series:
    """What became of the turns of one system, in their order; milliseconds."""

    first_text_ms: list[float] = field(default_factory=list)
    stages_ms: list[dict[str, float]] = field(default_factory=list)
    n_eager: int = 0
    n_false_ends: int = 0
    counted: dict[str, float] = field(default_factory=dict)


def spoken_turns(n_turns: int, seed: int) -> list[Spoken]:
    """Every third one hesitates after its opening words."""
    rng = random.Random(seed)
    questions = [text for text in compose_split(20 * n_turns, "test", seed, natural=True) if text.endswith("?")]
    cast = [voice for voice in voices("seen") if voice.engine == "espeak-ng"]
    found: list[Spoken] = []
    for text in questions[:n_turns]:
        voice, delivery = rng.choice(cast), STYLES[0].draw(rng)
        parts = [trim(speak(text, voice, delivery))]
        if len(found) % 3 == 0:
            opening = rng.choice(OPENINGS)
            quiet = np.zeros(SAMPLE_RATE * rng.randint(*PAUSES_MS) // 1000, np.int16)
            parts = [trim(speak(opening, voice, delivery)), quiet, *parts]
        sound = np.concatenate(parts)
        end = int(np.flatnonzero(np.abs(sound) > AUDIBLE * np.abs(sound).max())[-1])
        room = Room(before_s=0.5, after_s=SILENCE_S, level_dbfs=-70, seed=rng.getrandbits(32))
        found.append(Spoken(room.around(sound).tobytes(), room.before_s + end / SAMPLE_RATE))
    return found


async def converse(url: str, options: dict[str, str], turns: list[Spoken], max_tokens: int) -> Series:
    """One conversation for each turn, so that none has another's history."""
    series = Series()
    before = await counters(url)
    for turn in turns:
        asked = {**options, "rate": str(SAMPLE_RATE), "max_tokens": str(max_tokens), "temperature": "0"}
        async with stream_client.connect(url, asked) as line, asyncio.timeout(PATIENCE_S):
            await hold(line, turn, series)
    after = await counters(url)
    series.counted = {name: after[name] - before.get(name, 0.0) for name in after}
    return series


async def hold(line: Any, turn: Spoken, series: Series) -> None:
    """Speaks a turn and waits for its answer."""
    events = stream_client.events(line)
    await anext(events)
    loop = asyncio.get_running_loop()
    begun_s = loop.time()

    async def speak_it() -> None:
        for number, start in enumerate(range(0, len(turn.pcm16), 2 * FRAME)):
            await asyncio.sleep(begun_s + (number + 1) * FRAME_MS / MS - loop.time())
            await line.send(turn.pcm16[start : start + 2 * FRAME])

    speaking = asyncio.create_task(speak_it())
    first_s, end_s, is_false = None, begun_s + turn.end_s, False
    async for event in events:
        is_early = loop.time() < end_s
        match event["type"]:
            case "transcript":
                is_false |= is_early
            case "delta" if not is_early:
                first_s = first_s or loop.time()
            case "error":
                raise TextProError(event["error"]["message"])
            case "done" if event["status"] == "failed":
                raise TextProError(event["error"]["message"])
            case "done" if not is_early and first_s is not None:
                series.first_text_ms.append((first_s - end_s) * MS)
                series.stages_ms.append(event["timing_ms"])
                series.n_eager += event["eager"]
                break
    series.n_false_ends += is_false
    speaking.cancel()


async def counters(url: str) -> dict[str, float]:
    """What the gateway has counted of eager answers so far."""
    async with httpx.AsyncClient(base_url=url, trust_env=False) as http:
        text = (await http.get("/metrics")).text
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    found = {"wasted_tokens": 0.0, "wasted": 0.0, "promoted": 0.0, "completion_tokens": 0.0}
    for sample in samples:
        kind, outcome = sample.labels.get("kind"), sample.labels.get("outcome", "")
        if sample.name == "textpro_llm_tokens_total" and f"{kind}_tokens" in found:
            found[f"{kind}_tokens"] = sample.value
        if sample.name == "textpro_eager_total":
            found[outcome] = sample.value
    return found


def report(series: dict[str, Series], n_turns: int) -> dict[str, Any]:
    """Percentiles, shares, and how the ways compare."""
    figures: dict[str, Any] = {"turns": n_turns}
    for name, one in series.items():
        cuts = statistics.quantiles(one.first_text_ms, n=20, method="inclusive")
        wasted, given = one.counted["wasted_tokens"], one.counted["completion_tokens"]
        figures[name] = {
            "first_text_p50_ms": statistics.median(one.first_text_ms),
            "first_text_p95_ms": cuts[-1],
            "pause_p50_ms": statistics.median(stages["pause"] for stages in one.stages_ms),
            "wait_p50_ms": statistics.median(stages["wait"] for stages in one.stages_ms),
            "eager": one.n_eager / n_turns,
            "eager_begun": one.counted["promoted"] + one.counted["wasted"],
            "false_ends": one.n_false_ends / n_turns,
            "wasted_tokens": wasted / max(1.0, wasted + given),
        }
    eager, sequential = figures["eager"]["first_text_p50_ms"], figures["sequential"]["first_text_p50_ms"]
    figures["eager_to_sequential"] = eager / sequential
    figures["eager_over_pause_ms"] = eager - float(SYSTEMS["eager"]["pause_ms"])
    return figures


def show(figures: dict[str, Any]) -> None:
    """A table, one row a system."""
    print(f"{figures['turns']} turns each; ms from the end of speech to the first text")
    print(f"{'':<12}{'p50':>8}{'p95':>8}{'pause':>8}{'wait':>8}{'eager':>8}{'false ends':>12}{'wasted tokens':>15}")
    for name in SYSTEMS:
        row = figures[name]
        keys = ("first_text_p50", "first_text_p95", "pause_p50", "wait_p50")
        times = "".join(f"{row[f'{key}_ms']:>8.0f}" for key in keys)
        print(f"{name:<12}{times}{row['eager']:>8.0%}{row['false_ends']:>12.1%}{row['wasted_tokens']:>15.1%}")
    ratio, over_ms = figures["eager_to_sequential"], figures["eager_over_pause_ms"]
    print(f"eager ÷ sequential {ratio:.3f}; eager - pause {over_ms:.0f} ms")


async def measure(url: str, arguments: argparse.Namespace) -> None:
    """Runs, shows, writes."""
    turns = spoken_turns(arguments.turns, arguments.seed)
    await converse(url, SYSTEMS["eager"], turns[:2], arguments.max_tokens)
    series: dict[str, Series] = {}
    for name, options in SYSTEMS.items():
        started_s = time.monotonic()
        series[name] = await converse(url, options, turns, arguments.max_tokens)
        print(f"{name}: {time.monotonic() - started_s:.0f} s", file=sys.stderr)
    figures = report(series, len(turns))
    show(figures)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(figures, indent=2) + "\n")
    print(f"written to {arguments.out}")


def main() -> int:
    """Exits with a message when a service refuses."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gateway", help="base URL of a running gateway")
    parser.add_argument("--turns", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--max-tokens", type=int, default=16)
    parser.add_argument("--wait", type=float, default=900.0, help="seconds the services may take to be ready")
    parser.add_argument("--out", type=Path, default=Path("out/live.json"))
    arguments = parser.parse_args()
    if arguments.gateway:
        asyncio.run(measure(arguments.gateway, arguments))
    else:
        measured(lambda places: measure(places.gateway_url, arguments), wait_s=arguments.wait)
    return 0


if __name__ == "__main__":
    sys.exit(main())
