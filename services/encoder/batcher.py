"""Which requests run together, and when: pure decisions. No clock, no await, no torch; worker.py performs them.

A request belongs to a group (language and length class); a batch is the head of the group that has waited longest.
While the model runs nothing else starts, so batches grow by themselves under load; `max_wait_s` lets them grow a little
on an idle machine.
"""

import math
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass

NEVER = math.inf
FIRST_GUESS_S = 0.2  # what a batch takes, before one was measured
SMOOTHING = 0.3  # weight of the newest batch in the running mean


@dataclass(frozen=True)
class Arrived:
    """A request. `deadline_s`: when nobody wants the answer any more; `partial`: gives way when the queue is full."""

    ticket: int
    group: Hashable
    deadline_s: float = NEVER
    partial: bool = False


@dataclass(frozen=True)
class Cancelled:
    """Nobody waits for this ticket any more."""

    ticket: int


@dataclass(frozen=True)
class Finished:
    """The batch that ran is over, well or badly."""


@dataclass(frozen=True)
class Tick:
    """Time has passed; sent at the time the last WakeAt asked for."""


Event = Arrived | Cancelled | Finished | Tick


@dataclass(frozen=True)
class Run:
    """Run these together, now. The worker sends Finished when it has."""

    tickets: tuple[int, ...]


@dataclass(frozen=True)
class Refuse:
    """The queue is full; `retry_after_s` is when a place is likely."""

    ticket: int
    retry_after_s: float


@dataclass(frozen=True)
class Expire:
    """The deadline passed while the request waited; it will not run."""

    ticket: int


@dataclass(frozen=True)
class WakeAt:
    """Send Tick at this time unless an event comes first; a newer WakeAt replaces it, and NEVER clears it."""

    at_s: float


Action = Run | Refuse | Expire | WakeAt


@dataclass(frozen=True)
class Limits:
    """max_batch: requests a batch; max_wait_s: how long a request waits for company; queue: requests that may wait."""

    max_batch: int = 16
    max_wait_s: float = 0.003
    queue: int = 64


@dataclass(frozen=True)
class _Waiting:
    arrival: Arrived
    since_s: float


class Batcher:
    """The batching policy. First come, first served within a group; between groups the longest wait goes first."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._groups: dict[Hashable, deque[_Waiting]] = {}
        self._running_since_s: float | None = None
        self._batch_s = FIRST_GUESS_S

    @property
    def depth(self) -> int:
        """Requests that wait; those that run are not counted."""
        return sum(map(len, self._groups.values()))

    def on(self, event: Event, now_s: float) -> list[Action]:
        """What to do about an event. Times are seconds of one clock that does not go back."""
        actions: list[Action] = self._expire(now_s)
        match event:
            case Arrived():
                actions += self._admit(event, now_s)
            case Cancelled(ticket):
                self._drop(lambda waiting: waiting.arrival.ticket == ticket)
            case Finished() if self._running_since_s is not None:
                self._batch_s += SMOOTHING * (now_s - self._running_since_s - self._batch_s)
                self._running_since_s = None
        actions += self._start(now_s)
        return [*actions, WakeAt(self._wake_at())]

    def _admit(self, arrival: Arrived, now_s: float) -> list[Action]:
        if arrival.deadline_s <= now_s:
            return [Expire(arrival.ticket)]
        refused: list[Action] = []
        if self.depth >= self._limits.queue:
            partials = [waiting for group in self._groups.values() for waiting in group if waiting.arrival.partial]
            if arrival.partial or not partials:
                return [Refuse(arrival.ticket, self._retry_after_s())]
            youngest = max(partials, key=lambda waiting: (waiting.since_s, waiting.arrival.ticket)).arrival.ticket
            self._drop(lambda waiting: waiting.arrival.ticket == youngest)
            refused = [Refuse(youngest, self._retry_after_s())]
        self._groups.setdefault(arrival.group, deque()).append(_Waiting(arrival, now_s))
        return refused

    def _retry_after_s(self) -> float:
        batches = math.ceil((self.depth + 1) / self._limits.max_batch)
        return min(max(batches * self._batch_s, 0.05), 30.0)

    def _expire(self, now_s: float) -> list[Action]:
        return [Expire(ticket) for ticket in self._drop(lambda waiting: waiting.arrival.deadline_s <= now_s)]

    def _drop(self, unwanted: Callable[[_Waiting], bool]) -> list[int]:
        dropped: list[int] = []
        for key, group in list(self._groups.items()):
            dropped += [waiting.arrival.ticket for waiting in group if unwanted(waiting)]
            kept = deque(waiting for waiting in group if not unwanted(waiting))
            if kept:
                self._groups[key] = kept
            else:
                del self._groups[key]
        return dropped

    def _start(self, now_s: float) -> list[Action]:
        if self._running_since_s is not None:
            return []
        due = [key for key in self._groups if self._due_s(key) <= now_s]
        if not due:
            return []
        key = min(due, key=lambda key: self._groups[key][0].since_s)
        group = self._groups[key]
        tickets = tuple(group.popleft().arrival.ticket for _ in range(min(len(group), self._limits.max_batch)))
        if not group:
            del self._groups[key]
        self._running_since_s = now_s
        return [Run(tickets)]

    def _due_s(self, key: Hashable) -> float:
        group = self._groups[key]
        full = len(group) >= self._limits.max_batch
        return group[0].since_s if full else group[0].since_s + self._limits.max_wait_s

    def _wake_at(self) -> float:
        deadlines = [waiting.arrival.deadline_s for group in self._groups.values() for waiting in group]
        dues = [self._due_s(key) for key in self._groups] if self._running_since_s is None else []
        return min([*deadlines, *dues], default=NEVER)
