"""Many live conversations at once on one gateway, on one core: how late it tells what it hears, and what each costs.

Every client sends synthesised speech over WS /v1/stream, 20 ms frames in real time, and the gateway listens to all of
it. What it must tell is known beforehand: its own voice activity and turn machine are run over the same sound. The
*lag* of `speech_started` and `speech_stopped` is the time from when the frame with the sample that decides it was due
to when the client has the event. So a client or a neighbour that is late counts, too; `sent late` is the client's part.

    python -m bench.sessions                                 # starts a gateway and neighbours that take no thought
"""

import argparse
import asyncio
import itertools
import json
import os
import random
import statistics
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from bench.live import FRAME, FRAME_MS, MS, spoken_turns
from bench.neighbours import Pace
from bench.own_services import gateway_measured
from bench.vitals import MIB, Vitals, stolen_s, vitals
from services.cli import stream_client
from services.cli.client import ChatError
from services.gateway import turn_actions as do
from services.gateway import turn_events as told
from services.gateway.silero import WINDOW, VoiceModel
from services.gateway.turn import SAMPLES_PER_MS, TurnMachine
from services.gateway.turn_settings import TurnSettings
from services.gateway.vad import VoiceActivity
from textpro.audio import SAMPLE_RATE
from textpro.errors import TextProError

N_TURNS = 24  # that are spoken; a track is a row of them
N_TRACKS = 12
PAUSE_MS = 500
OPTIONS = {"detection": "fixed", "pause_ms": str(PAUSE_MS), "rate": str(SAMPLE_RATE)}
STAGGER_S = 8.0  # within which the conversations begin
PATIENCE_S = 30.0  # after the last sound, for what is still to come
LOOK_S = 1.0  # between two looks at the gateway's memory
TARGET_MS = 100.0


@dataclass(frozen=True)
class Cause:
    """An event that must come. at: samples after which it is decided; audio_ms: what it says."""

    kind: str
    at: int
    audio_ms: int

    @property
    def due_s(self) -> float:
        """When the frame with its sample is complete, after the beginning of the sound."""
        return -(-self.at // FRAME) * FRAME_MS / MS


@dataclass(frozen=True)
class Track:
    """What one client says, and what it must be told."""

    pcm16: bytes
    causes: list[Cause]


@dataclass
class Found:
    """What all clients saw; milliseconds."""

    lags_ms: dict[str, list[float]] = field(default_factory=lambda: {"speech_started": [], "speech_stopped": []})
    sent_late_ms: list[float] = field(default_factory=list)
    first_text_ms: list[float] = field(default_factory=list)
    n_turns: int = 0
    n_answered: int = 0
    n_missing: int = 0


def causes(pcm16: bytes, model: VoiceModel) -> list[Cause]:
    """What a session tells about this sound when nothing takes time."""
    voice, machine = VoiceActivity(model), TurnMachine(TurnSettings(adaptive=False, answer=False, pause_ms=PAUSE_MS))
    found: list[Cause] = []
    for speech in voice.hear(pcm16):
        for action in machine.on(told.Sound(WINDOW, speech), 0.0):
            match action:
                case do.SpeechStarted(_, sample):
                    found.append(Cause("speech_started", machine.position, round(sample / SAMPLES_PER_MS)))
                case do.SpeechStopped(_, sample):
                    found.append(Cause("speech_stopped", machine.position, round(sample / SAMPLES_PER_MS)))
                case _:
                    pass
    return found


def tracks(seconds: float, seed: int) -> list[Track]:
    """Turns with silence between them, each track in another order. A turn that hesitates for so long that it would be
    answered in its middle is left out."""
    model = VoiceModel()
    turns = [turn.pcm16 for turn in spoken_turns(N_TURNS, seed) if len(causes(turn.pcm16, model)) == 2]
    rng = random.Random(seed)
    found: list[Track] = []
    for _ in range(N_TRACKS):
        pcm16 = b""
        for turn in itertools.chain.from_iterable(itertools.repeat(rng.sample(turns, len(turns)))):
            if len(pcm16) + len(turn) > 2 * SAMPLE_RATE * seconds:
                break
            pcm16 += turn
        found.append(Track(pcm16, causes(pcm16, model)))
    return found


class Client:
    """One conversation, from its first frame to its last answer."""

    def __init__(self, track: Track, found: Found) -> None:
        self._track, self._found = track, found
        self._awaited = iter(track.causes)
        self._begun_s = 0.0
        self._stopped_s: float | None = None  # when the turn that waits for its answer was over

    async def attend(self, url: str, ready: asyncio.Barrier, after_s: float) -> None:
        """after_s: when it begins, once all are there."""
        async with stream_client.connect(url, OPTIONS) as line:
            events = stream_client.events(line)
            await anext(events)
            await ready.wait()
            self._begun_s = asyncio.get_running_loop().time() + after_s
            speaking = asyncio.create_task(self._speak(line), name="speak")
            n_turns = sum(cause.kind == "speech_stopped" for cause in self._track.causes)
            n_done = 0
            try:
                async with asyncio.timeout_at(self._begun_s + len(self._track.pcm16) / 2 / SAMPLE_RATE + PATIENCE_S):
                    while n_done < n_turns:
                        n_done += self._see(await anext(events))
            except (TimeoutError, ChatError):
                pass  # what has not come, or not before the line was lost, counts as missing
            finally:
                speaking.cancel()
            self._found.n_turns += n_turns
            self._found.n_missing += len(list(self._awaited))

    async def _speak(self, line: Any) -> None:
        loop, pcm16 = asyncio.get_running_loop(), self._track.pcm16
        for number, start in enumerate(range(0, len(pcm16), 2 * FRAME)):
            due_s = self._begun_s + (number + 1) * FRAME_MS / MS
            await asyncio.sleep(due_s - loop.time())
            self._found.sent_late_ms.append((loop.time() - due_s) * MS)
            await line.send(pcm16[start : start + 2 * FRAME])

    def _see(self, event: dict[str, Any]) -> bool:
        """Whether it was the last word about an answer."""
        now_s, found = asyncio.get_running_loop().time(), self._found
        match event["type"]:
            case "speech_started" | "speech_stopped" as kind:
                cause = next(self._awaited, None)
                if cause is None or (cause.kind, cause.audio_ms) != (kind, event["audio_ms"]):
                    raise TextProError(f"the gateway told {event}; {cause} was to come")
                due_s = self._begun_s + cause.due_s
                found.lags_ms[kind].append((now_s - due_s) * MS)
                self._stopped_s = due_s if kind == "speech_stopped" else None
            case "delta" if self._stopped_s is not None:
                found.first_text_ms.append((now_s - self._stopped_s) * MS)
                self._stopped_s = None
            case "done":
                found.n_answered += event["status"] == "completed"
                return True
            case "error":
                raise TextProError(event["error"]["message"])
        return False


async def measure(url: str, arguments: argparse.Namespace) -> None:
    """Runs, shows, writes."""
    said = tracks(arguments.seconds, arguments.seed)
    async with httpx.AsyncClient(base_url=url, trust_env=False) as http:
        await converse(url, tracks(20, arguments.seed)[:2], Found(), arguments.seed)
        before, begun_s, stolen_before_s = await vitals(http), asyncio.get_running_loop().time(), stolen_s()
        found, held = Found(), [before]
        watching = asyncio.create_task(watch(http, held), name="watch")
        await converse(url, [said[k % len(said)] for k in range(arguments.sessions)], found, arguments.seed)
        watching.cancel()
        after, took_s = await vitals(http), asyncio.get_running_loop().time() - begun_s
    figures = report(found, arguments.sessions, [*held, after], took_s)
    figures["stolen_cpu_share"] = (stolen_s() - stolen_before_s) / took_s / (os.cpu_count() or 1)
    show(figures)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(figures, indent=2) + "\n")
    print(f"written to {arguments.out}")


async def converse(url: str, said: list[Track], found: Found, seed: int) -> None:
    """One client for each track, all at once."""
    rng, ready = random.Random(seed), asyncio.Barrier(len(said))
    async with asyncio.TaskGroup() as tasks:
        for track in said:
            tasks.create_task(Client(track, found).attend(url, ready, rng.uniform(0, STAGGER_S)))


async def watch(http: httpx.AsyncClient, held: list[Vitals]) -> None:
    """Looks at the gateway now and then, until cancelled."""
    while True:
        await asyncio.sleep(LOOK_S)
        held.append(await vitals(http))


def report(found: Found, n_sessions: int, seen: list[Vitals], took_s: float) -> dict[str, Any]:
    """seen: the gateway before, during and after."""
    before, after = seen[0], seen[-1]
    most = max(vital.rss_bytes for vital in seen)
    lags_ms = [lag for lags in found.lags_ms.values() for lag in lags]
    return {
        "sessions": n_sessions,
        "lag_ms": {"all": spread(lags_ms), **{kind: spread(lags) for kind, lags in found.lags_ms.items()}},
        "lag_target_p99_ms": TARGET_MS,
        "sent_late_ms": spread(found.sent_late_ms),
        "first_text_ms": spread(found.first_text_ms),
        "turns": found.n_turns,
        "answered": found.n_answered,
        "missing_events": found.n_missing,
        "gateway_cpu_share": (after.cpu_s - before.cpu_s) / took_s,
        "rss_before_mib": before.rss_bytes / MIB,
        "rss_most_mib": most / MIB,
        "rss_after_mib": after.rss_bytes / MIB,
        "memory_per_session_kib": (most - before.rss_bytes) / n_sessions / 1024,
    }


def spread(values: list[float]) -> dict[str, float]:
    """Percentiles and the most."""
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    return {"p50": cuts[49], "p95": cuts[94], "p99": cuts[98], "max": max(values), "n": len(values)}


def show(figures: dict[str, Any]) -> None:
    """A table, one row a kind of time."""
    print(f"{figures['sessions']} live conversations on one core, ms")
    print(f"{'':<28}{'p50':>8}{'p95':>8}{'p99':>8}{'most':>8}{'n':>9}")
    rows = {f"lag of {kind}": row for kind, row in figures["lag_ms"].items() if kind != "all"}
    rows |= {"lag of both": figures["lag_ms"]["all"], "frames sent late": figures["sent_late_ms"]}
    rows |= {"pause's end to first text": figures["first_text_ms"]}
    for name, row in rows.items():
        cells = "".join(f"{row[key]:>8.1f}" for key in ("p50", "p95", "p99", "max"))
        print(f"{name:<28}{cells}{row['n']:>9}")
    print(
        f"turns {figures['turns']}, answered {figures['answered']}, events missing {figures['missing_events']}; "
        f"lag p99 {figures['lag_ms']['all']['p99']:.1f} ms (target {TARGET_MS:.0f})"
    )
    print(
        f"gateway: {figures['gateway_cpu_share']:.0%} of its core; memory {figures['rss_before_mib']:.0f} MiB before, "
        f"{figures['rss_most_mib']:.0f} at most, {figures['rss_after_mib']:.0f} after: "
        f"{figures['memory_per_session_kib']:.0f} KiB a conversation"
    )
    print(f"the machine's host gave {figures['stolen_cpu_share']:.0%} of its CPU time to others")


def main() -> int:
    """Exits with a message when a service refuses."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long each client speaks and listens")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--wait", type=float, default=60.0, help="seconds the gateway may take to be ready")
    parser.add_argument("--out", type=Path, default=Path("out/sessions.json"))
    arguments = parser.parse_args()
    settings = {"TEXTPRO_MAX_LIVE": str(arguments.sessions)}
    gateway_measured(lambda places: measure(places.gateway_url, arguments), Pace(), settings, wait_s=arguments.wait)
    return 0


if __name__ == "__main__":
    sys.exit(main())
