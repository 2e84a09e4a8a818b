"""A benchmark's own services, on free ports: the three of the house, or a gateway between stand-ins."""

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import asdict, replace
from typing import Any

from bench.neighbours import Pace
from services.cli import up
from services.cli.supervisor import Child, Supervisor, while_ready

Measure = Callable[[up.Addresses], Coroutine[Any, Any, None]]
ON_CORE = "import os, sys; os.sched_setaffinity(0, {int(sys.argv[1])}); os.execv(sys.argv[2], sys.argv[2:])"


def measured(measure: Measure, *, wait_s: float, bundle: str | None = None, only: str | None = None) -> None:
    """Starts the services, or `only` one of them; measures once they are ready, and stops them."""
    places = up.claim(up.Addresses("127.0.0.1", 0, 0, 0, 0))
    children = [child for child in up.children(places, bundle) if only in (None, child.name)]
    _run(children, lambda: measure(places), wait_s)


def gateway_measured(measure: Measure, pace: Pace, settings: Mapping[str, str], *, wait_s: float) -> None:
    """Starts a gateway on one core, and on the others, as this process, its neighbours. settings: of the gateway."""
    first, *others = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, others or [first])
    places = up.claim(up.Addresses("127.0.0.1", 0, 0, 0, 0))
    gateway = next(child for child in up.children(places) if child.name == "gateway")
    children = [
        _neighbours(places, pace),
        replace(
            gateway,
            command=[sys.executable, "-c", ON_CORE, str(first), *gateway.command],
            env={**gateway.env, **settings},
        ),
    ]
    _run(children, lambda: measure(places), wait_s)


def llm_url(places: up.Addresses) -> str:
    return f"http://127.0.0.1:{places.llm_port}"


def _neighbours(places: up.Addresses, pace: Pace) -> Child:
    options = {"encoder-port": places.encoder_grpc_port, "llm-port": places.llm_port}
    options |= {name.replace("_", "-"): value for name, value in asdict(pace).items()}
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    return Child("neighbours", [sys.executable, "-m", "bench.neighbours", *words])


def _run(children: list[Child], work: Callable[[], Coroutine[Any, Any, None]], wait_s: float) -> None:
    supervisor = Supervisor(children, up.printer(quiet=True), up.bounds(wait_s))
    asyncio.run(while_ready(supervisor, work))
