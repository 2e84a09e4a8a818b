"""How busy the house is: under pressure nothing is done on suspicion, so that certain work is not kept waiting."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from services.contracts.errors import Overloaded

REFUSED_S = 5.0  # how long a refusal by the encoder or the LLM is remembered


class Pressure:
    """One process's: high while `max_generations` live answers are being made, and for a while after a refusal."""

    def __init__(self, max_generations: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_generations = max_generations
        self._clock = clock
        self._generations = 0
        self._refused_until_s = float("-inf")

    @property
    def is_high(self) -> bool:
        return self._generations >= self._max_generations or self._clock() < self._refused_until_s

    @contextmanager
    def generating(self) -> Iterator[None]:
        """A live answer is being made while the block runs."""
        self._generations += 1
        try:
            yield
        finally:
            self._generations -= 1

    @contextmanager
    def noticed(self) -> Iterator[None]:
        """Remembers it when the block is refused as one too many."""
        try:
            yield
        except Overloaded:
            self._refused_until_s = self._clock() + REFUSED_S
            raise
