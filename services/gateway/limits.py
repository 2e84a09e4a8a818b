"""Who may come in, and for how long: a bounded number of turns, each with a deadline."""

import asyncio
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Self, TypeVar

from services.contracts.errors import DeadlineExceeded, Overloaded

T = TypeVar("T")
RETRY_AFTER_S = 1.0


class Seats:
    """As many at once as there are seats; one more is refused, never queued. what, setting: for the refusal."""

    def __init__(
        self, n_seats: int, what: str = "turns are being answered", setting: str = "TEXTPRO_MAX_TURNS"
    ) -> None:
        self._n_seats = n_seats
        self._what, self._setting = what, setting
        self._taken = 0

    @contextmanager
    def seat(self) -> Iterator[None]:
        """Holds a seat for the time of the block. Raises Overloaded when all are taken."""
        if self._taken >= self._n_seats:
            raise Overloaded(
                f"{self._n_seats} {self._what}, no more fit ({self._setting}); try again soon",
                retry_after_s=RETRY_AFTER_S,
            )
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1


@dataclass(frozen=True)
class Deadline:
    """The moment, on the event loop's clock, by which a turn must be done."""

    at_s: float
    budget_s: float

    @classmethod
    def after(cls, seconds: float) -> Self:
        return cls(asyncio.get_running_loop().time() + seconds, seconds)

    @property
    def remaining_s(self) -> float:
        return max(0.0, self.at_s - asyncio.get_running_loop().time())

    def later(self, seconds: float) -> Self:
        """The same budget, enforced so much later."""
        return replace(self, at_s=self.at_s + seconds)

    def error(self) -> DeadlineExceeded:
        """What a caller is told once it has passed."""
        return DeadlineExceeded(f"the turn took longer than {self.budget_s:g} s (TEXTPRO_TURN_TIMEOUT_S)")

    async def run(self, work: Awaitable[T]) -> T:
        """The result of `work`, if it comes in time. Raises DeadlineExceeded."""
        try:
            async with asyncio.timeout_at(self.at_s):
                return await work
        except TimeoutError as error:
            raise self.error() from error
