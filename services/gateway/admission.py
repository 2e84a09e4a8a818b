"""The gateway's doors: who is let in, counted for as long as it stays."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from services.contracts.errors import Unavailable
from services.gateway.limits import Seats
from services.runtime.lifecycle import Readiness
from services.runtime.metrics import Metrics


@dataclass(frozen=True)
class Doorkeeper:
    """Lets requests in while the process is not stopping and there are seats."""

    seats: Seats
    readiness: Readiness

    @contextmanager
    def admitted(self, operation: str, metrics: Metrics) -> Iterator[None]:
        """Holds a seat for the time of the block; counts how it ended. Raises Unavailable, Overloaded."""
        with metrics.serving(operation):
            if self.readiness.draining:
                raise Unavailable("this gateway is stopping; another one takes the request", retry_after_s=1)
            with self.seats.seat():
                yield
