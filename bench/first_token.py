"""What prosody costs in the LLM service: the time to the first token with the prosody part and without it, alternating.

Each round asks both ways about a sentence that was not asked before, now the one first, now the other: what stands in
the prefix cache is the template's beginning alone, both ways.

    python -m bench.first_token                                # starts an LLM service on a free port
    python -m bench.first_token --llm http://127.0.0.1:8002
"""

import argparse
import asyncio
import base64
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench.own_services import llm_url, measured
from services.gateway.history import Message, user_message
from services.gateway.limits import Deadline
from services.gateway.llm_client import HttpLlm, Sampling
from services.gateway.session import Prosody
from services.gateway.settings import GatewaySettings
from textpro.bundle import Bundle
from textpro.data.sentences import compose
from textpro.errors import TextProError
from textpro.projector import Projector

TIMEOUT_S = 120.0
MS = 1000.0
SAMPLING = Sampling(max_tokens=2, temperature=0.0, seed=0)


def voice(round_: int, width: int) -> Prosody:
    """The prosody of somebody: (1, W), the mean of an utterance."""
    rows = np.random.default_rng(round_).normal(size=(1, width)).astype("<f2")
    return Prosody(base64.b64encode(rows.tobytes()).decode(), (1, width))


async def first_token_ms(llm: HttpLlm, message: Message, *, spoken: bool) -> float:
    """Milliseconds from the request to the first piece of text. Raises TextProError when prosody was not read."""
    started = time.perf_counter()
    async with llm.reply([message], SAMPLING, Deadline.after(TIMEOUT_S)) as answer:
        async for _ in answer.pieces:
            took = (time.perf_counter() - started) * MS
            break
        else:
            raise TextProError("the LLM answers nothing")
        async for _ in answer.pieces:
            pass
    if spoken and answer.prosody != "on":
        raise TextProError(f"the service serves a bundle that can't hear: prosody was {answer.prosody}")
    return took


async def measure(url: str, arguments: argparse.Namespace) -> None:
    """Runs, shows, writes."""
    path = Bundle.load(arguments.bundle).projector_path
    if path is None:
        raise TextProError(f"{arguments.bundle} has no projector; prosody would be left out")
    width = Projector.load(path).width
    llm = HttpLlm(url, GatewaySettings.model_fields["model"].default, max_connections=2)
    times: dict[str, list[float]] = {"with": [], "without": []}
    try:
        for round_, text in enumerate(compose(arguments.warm_up + arguments.rounds, seed=3)):
            ways = [("with", voice(round_, width)), ("without", None)]
            for name, prosody in ways if round_ % 2 else reversed(ways):
                took = await first_token_ms(llm, user_message(text, prosody), spoken=prosody is not None)
                if round_ >= arguments.warm_up:
                    times[name].append(took)
    finally:
        await llm.close()
    figures = report(times)
    show(figures)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(figures, indent=2) + "\n")
    print(f"written to {arguments.out}")


def report(times: dict[str, list[float]]) -> dict[str, Any]:
    """Medians, their ratio, and the median of the rounds' own ratios."""
    with_ms, without_ms = (statistics.median(times[name]) for name in ("with", "without"))
    each = [a / b for a, b in zip(times["with"], times["without"], strict=True)]
    return {
        "rounds": len(each),
        "with_ms": with_ms,
        "without_ms": without_ms,
        "ratio": with_ms / without_ms,
        "median_ratio": statistics.median(each),
    }


def show(figures: dict[str, Any]) -> None:
    """The medians."""
    print(f"time to the first token, medians of {figures['rounds']} rounds")
    print(f"with prosody {figures['with_ms']:.1f} ms, without {figures['without_ms']:.1f} ms: {figures['ratio']:.3f}")
    print(f"median of the rounds' ratios: {figures['median_ratio']:.3f}")


def main() -> int:
    """Exits with a message when the service refuses."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--llm", help="base URL of a running LLM service")
    parser.add_argument("--bundle", default="embedded", help="what it serves")
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--warm-up", type=int, default=3)
    parser.add_argument("--wait", type=float, default=900.0, help="seconds the service may take to be ready")
    parser.add_argument("--out", type=Path, default=Path("out/first_token.json"))
    arguments = parser.parse_args()
    if arguments.llm:
        asyncio.run(measure(arguments.llm, arguments))
    else:
        measured(
            lambda places: measure(llm_url(places), arguments),
            wait_s=arguments.wait,
            bundle=arguments.bundle,
            only="llm",
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
