"""Starting and stopping: what a process waits for before it takes requests, and how it is told to stop."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from services.contracts.errors import Unavailable


class Readiness:
    """Named dependencies, each ready or not for a stated reason; draining overrides them all.

    `Readiness("model", "redis")` starts with both not ready ("starting").
    """

    def __init__(self, *dependencies: str) -> None:
        self._waiting_for: dict[str, str | None] = dict.fromkeys(dependencies, "starting")
        self._well: dict[str, str] = {}
        self._draining = False

    def ready(self, dependency: str, remark: str | None = None) -> None:
        """This dependency answers; `remark` is shown by /readyz."""
        self._waiting_for[dependency] = None
        self._well[dependency] = "ok" if remark is None else f"ok, but {remark}"

    def not_ready(self, dependency: str, reason: str) -> None:
        """This dependency does not answer; `reason` is shown by /readyz."""
        self._waiting_for[dependency] = reason

    def drain(self) -> None:
        """From now on no new request is taken; there is no way back."""
        self._draining = True

    @property
    def draining(self) -> bool:
        return self._draining

    @property
    def is_ready(self) -> bool:
        return not self._draining and not any(self._waiting_for.values())

    def report(self) -> dict[str, Any]:
        """`{"ready": bool, "draining": bool, "dependencies": {name: "ok" | "ok, but …" | reason}}`."""
        states = {name: reason or self._well[name] for name, reason in self._waiting_for.items()}
        return {"ready": self.is_ready, "draining": self._draining, "dependencies": states}

    def require(self) -> None:
        """Raises Unavailable, with the reason, when no request may be taken."""
        if self._draining:
            raise Unavailable("this process is stopping; another one takes the request", retry_after_s=1)
        for name, reason in self._waiting_for.items():
            if reason:
                raise Unavailable(f"not ready: {name}: {reason}", retry_after_s=2)


@asynccontextmanager
async def stop_signal() -> AsyncIterator[asyncio.Event]:
    """An event that SIGTERM, SIGINT or SIGHUP sets, for the time of the block; under nohup SIGHUP stays ignored."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    numbers = [signal.SIGTERM, signal.SIGINT]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    for number in numbers:
        loop.add_signal_handler(number, stop.set)
    try:
        yield stop
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
