"""Whether a conversation that stays open takes ever more memory: hours of sound, sent as fast as the gateway hears it.

One client of WS /v1/stream has turn after turn: it speaks, is answered, now and then hesitates, speaks over the answer,
or takes back what it said. Time is that of the sound. The gateway's memory is looked at between turns; the growth is
counted from the end of the warm-up, by when everything that has a bound has reached it. With TEXTPRO_REDIS_URL set the
journal is written, too.

    python -m bench.memory                                   # starts a gateway and neighbours that take no thought
"""

import argparse
import asyncio
import json
import statistics
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx

from bench.live import FRAME, spoken_turns
from bench.neighbours import Pace
from bench.own_services import gateway_measured
from bench.vitals import MIB, vitals
from services.cli import stream_client
from textpro.audio import SAMPLE_RATE
from textpro.errors import TextProError

PACE = Pace(encode_ms=1, first_ms=1, piece_ms=2, pieces=20)  # as much faster than people as the sound is
N_TURNS = 24  # different ones
INTERRUPTED_EVERY, CLEARED_EVERY = 4, 6  # turns
OVER_S = 1.5  # of the next turn's sound, to end an answer with
PARTIAL_FRAMES, BREATH_S = 16, 0.005  # so that the encoder can hear what is being said, before its end
PATIENCE_S = 30.0
TARGET_MIB = 5.0


class Speaker:
    """The client. spoken_s: the sound that it sent."""

    def __init__(self, line: Any, events: AsyncIterator[dict[str, Any]]) -> None:
        self._line, self._events = line, events
        self.spoken_s = 0.0
        self.seen: Counter[str] = Counter()

    async def say(self, pcm16: bytes) -> None:
        for start in range(0, len(pcm16), 2 * FRAME):
            await self._line.send(pcm16[start : start + 2 * FRAME])
            if start % (2 * FRAME * PARTIAL_FRAMES) == 0:
                await asyncio.sleep(BREATH_S)
        self.spoken_s += len(pcm16) / 2 / SAMPLE_RATE

    async def turn(self, pcm16: bytes, *, over: bytes | None, taken_back: bytes | None) -> None:
        """over: said over the answer. taken_back: said, and then cleared, before the turn."""
        if taken_back is not None:
            await self.say(taken_back)
            await self._line.send(json.dumps({"type": "clear"}))
            await self._until("cleared")
        await self.say(pcm16)
        if over is not None:
            await self._until("delta")
            await self.say(over)
        await self._until("done")

    async def _until(self, kind: str) -> None:
        async with asyncio.timeout(PATIENCE_S):
            async for event in self._events:
                self.seen[f"done {event['status']}" if event["type"] == "done" else event["type"]] += 1
                if event["type"] == "error":
                    raise TextProError(event["error"]["message"])
                if event["type"] == kind:
                    return


async def measure(url: str, arguments: argparse.Namespace) -> None:
    """Runs, shows, writes."""
    turns = [turn.pcm16 for turn in spoken_turns(N_TURNS, arguments.seed)]
    looks: list[tuple[float, float]] = []  # seconds of sound, MiB
    asked = {"detection": "fixed", "rate": str(SAMPLE_RATE)}
    async with (
        httpx.AsyncClient(base_url=url, trust_env=False) as http,
        stream_client.connect(url, asked) as line,
    ):
        speaker = Speaker(line, stream_client.events(line))
        number = 0
        while speaker.spoken_s < 60 * arguments.minutes:
            number += 1
            said, other = turns[number % len(turns)], turns[(number + 1) % len(turns)]
            piece = other[: round(2 * SAMPLE_RATE * OVER_S) // 2 * 2]
            await speaker.turn(
                said,
                over=piece if number % INTERRUPTED_EVERY == 0 else None,
                taken_back=piece if number % CLEARED_EVERY == 0 else None,
            )
            if speaker.spoken_s >= 60 * arguments.look_minutes * (len(looks) + 1):
                looks.append((speaker.spoken_s, (await vitals(http)).rss_bytes / MIB))
                print(f"{looks[-1][0] / 60:.0f} min: {looks[-1][1]:.1f} MiB", file=sys.stderr)
    figures = report(looks, 60 * arguments.warm_up_minutes, number, dict(speaker.seen))
    print(
        f"{number} turns in {speaker.spoken_s / 60:.0f} min of sound: {speaker.seen['done completed']} answered, "
        f"{speaker.seen['done cancelled']} spoken over, {speaker.seen['partial']} partial transcripts, "
        f"{speaker.seen['cleared']} taken back"
    )
    print(
        f"memory {figures['rss_warm_mib']:.1f} MiB after the warm-up, {figures['rss_last_mib']:.1f} in the end, "
        f"{figures['growth_mib']:+.1f} MiB (at most {TARGET_MIB:.0f} are allowed)"
    )
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(figures, indent=2) + "\n")
    print(f"written to {arguments.out}")


def report(looks: list[tuple[float, float]], warm_up_s: float, n_turns: int, seen: dict[str, int]) -> dict[str, Any]:
    """looks: seconds of sound and MiB. The growth is between medians of three looks: one alone catches what is just
    being used."""
    warm = [mib for at_s, mib in looks if at_s >= warm_up_s]
    first, last = statistics.median(warm[:3]), statistics.median(warm[-3:])
    return {
        "turns": n_turns,
        "events": seen,
        "rss_warm_mib": first,
        "rss_last_mib": last,
        "rss_most_mib": max(warm),
        "growth_mib": last - first,
        "growth_target_mib": TARGET_MIB,
        "looks": [{"minutes": at_s / 60, "rss_mib": mib} for at_s, mib in looks],
    }


def main() -> int:
    """Exits with a message when a service refuses."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=120.0, help="of sound")
    parser.add_argument("--warm-up-minutes", type=float, default=30.0)
    parser.add_argument("--look-minutes", type=float, default=3.0, help="between two looks at the memory")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--wait", type=float, default=60.0, help="seconds the gateway may take to be ready")
    parser.add_argument("--out", type=Path, default=Path("out/memory.json"))
    arguments = parser.parse_args()
    if arguments.minutes < arguments.warm_up_minutes + 2 * arguments.look_minutes:
        parser.error("--minutes leaves no time after the warm-up")
    gateway_measured(lambda places: measure(places.gateway_url, arguments), PACE, {}, wait_s=arguments.wait)
    return 0


if __name__ == "__main__":
    sys.exit(main())
