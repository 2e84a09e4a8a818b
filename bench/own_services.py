"""The three services of a benchmark's own, on free ports."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from services.cli import up
from services.cli.supervisor import Supervisor, while_ready


def measured(
    measure: Callable[[up.Addresses], Coroutine[Any, Any, None]],
    *,
    wait_s: float,
    bundle: str | None = None,
    only: str | None = None,
) -> None:
    """Starts the services, or `only` one of them; measures once they are ready, and stops them."""
    places = up.claim(up.Addresses("127.0.0.1", 0, 0, 0, 0))
    children = [child for child in up.children(places, bundle) if only in (None, child.name)]
    supervisor = Supervisor(children, up.printer(quiet=True), up.bounds(wait_s))
    asyncio.run(while_ready(supervisor, lambda: measure(places)))


def llm_url(places: up.Addresses) -> str:
    return f"http://127.0.0.1:{places.llm_port}"
