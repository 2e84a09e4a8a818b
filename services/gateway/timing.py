"""Where a turn's time goes: named stages that add up to the whole."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

MS = 1000.0


class Stopwatch:
    """Measures stages that do not overlap; `report` gives the rest as `other`, so that the stages sum to the total."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._start_s = clock()
        self._stages_ms: dict[str, float] = {}
        self._first_token_ms: float | None = None

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Adds the block's time to a stage, also when the block fails."""
        began_s = self._clock()
        try:
            yield
        finally:
            self._add(name, (self._clock() - began_s) * MS)

    @contextmanager
    def remote(self, name: str, inner_ms: dict[str, float]) -> Iterator[None]:
        """Like `stage`, for a call whose callee says where the time went: the block fills `inner_ms`.

        The callee's stages become `name_stage`, what is left of the call becomes `name_wire`.
        """
        began_s = self._clock()
        yield
        spent_ms = (self._clock() - began_s) * MS
        claimed_ms = sum(inner_ms.values())
        # Another machine's clock may run faster; its stages never take more than the whole call took here.
        share = min(1.0, spent_ms / claimed_ms) if claimed_ms > 0 else 1.0
        for stage, ms in inner_ms.items():
            self._add(f"{name}_{stage}", ms * share)
        self._add(f"{name}_wire", max(0.0, spent_ms - claimed_ms * share))

    def first_token(self) -> None:
        """The first piece of the answer is here; later calls change nothing."""
        if self._first_token_ms is None:
            self._first_token_ms = self._elapsed_ms()

    def report(self) -> dict[str, float]:
        """Milliseconds by stage, then `other`, `first_token` (when there was one) and `total`."""
        stages = {name: round(ms, 3) for name, ms in self._stages_ms.items()}
        # What is shown adds up, not only what was measured: the rounding goes into the rest.
        total = max(round(self._elapsed_ms(), 3), sum(stages.values()))
        stages["other"] = round(total - sum(stages.values()), 3)
        marks = {} if self._first_token_ms is None else {"first_token": round(self._first_token_ms, 3)}
        return stages | marks | {"total": round(total, 3)}

    def _add(self, name: str, ms: float) -> None:
        self._stages_ms[name] = self._stages_ms.get(name, 0.0) + ms

    def _elapsed_ms(self) -> float:
        return (self._clock() - self._start_s) * MS


def stages_only(timing_ms: Mapping[str, float]) -> dict[str, float]:
    """A report without its marks: what sums to the total."""
    return {name: ms for name, ms in timing_ms.items() if name not in ("first_token", "total")}
