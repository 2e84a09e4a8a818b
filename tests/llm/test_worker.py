"""The worker is fair, bounded, stops what is cancelled, and survives what fails."""

import threading
import weakref

import pytest

from services.contracts.errors import Overloaded, Unavailable
from services.llm.worker import Job, Worker

WAIT_S = 10


class Recorded(Job):
    """A job of n steps that notes its name at each; `ended` is set after the last, or by an error."""

    def __init__(self, name: str, n: int, notes: list[str], gate: threading.Event | None = None) -> None:
        self.errors: list[Exception] = []
        self.ended = threading.Event()
        self._name, self._left, self._notes, self._gate = name, n, notes, gate

    def step(self) -> bool:
        if self._gate is not None:
            self._gate.wait(WAIT_S)
        self._notes.append(self._name)
        self._left -= 1
        if not self._left:
            self.ended.set()
        return self._left > 0

    def fail(self, error: Exception) -> None:
        self.errors.append(error)
        self.ended.set()


class Broken(Recorded):
    def step(self) -> bool:
        raise ValueError("no")


def test_running_jobs_take_turns_and_waiting_ones_follow_in_order() -> None:
    notes: list[str] = []
    gate = threading.Event()
    a, b, c = (Recorded(name, 3, notes, gate) for name in "abc")
    with Worker(concurrency=2, queue=2) as worker:
        for recorded in (a, b, c):
            worker.submit(recorded)
        gate.set()
        assert all(recorded.ended.wait(WAIT_S) for recorded in (a, b, c))
    assert "".join(notes) == "abababccc"


def test_a_full_house_refuses_and_a_cancelled_waiter_makes_room() -> None:
    gate = threading.Event()
    running, waiting, extra = (Recorded(name, 1, [], gate) for name in "rwe")
    with Worker(concurrency=1, queue=1) as worker:
        worker.submit(running)
        worker.submit(waiting)
        with pytest.raises(Overloaded) as refused:
            worker.submit(extra)
        assert refused.value.retry_after_s
        waiting.cancelled = True
        worker.submit(extra)
        gate.set()
        assert extra.ended.wait(WAIT_S)
    assert not waiting.ended.is_set()


def test_a_cancelled_job_takes_no_further_step() -> None:
    notes: list[str] = []
    gate = threading.Event()
    endless, after = Recorded("x", 10**9, notes, gate), Recorded("y", 1, notes)
    with Worker(concurrency=2, queue=0) as worker:
        worker.submit(endless)
        endless.cancelled = True
        gate.set()
        worker.submit(after)
        assert after.ended.wait(WAIT_S)
    assert notes.count("x") <= 1


def test_a_job_that_fails_is_told_and_the_others_go_on() -> None:
    broken, other = Broken("b", 1, []), Recorded("o", 2, [])
    with Worker(concurrency=2, queue=0) as worker:
        worker.submit(broken)
        worker.submit(other)
        assert other.ended.wait(WAIT_S)
    assert [type(error) for error in broken.errors] == [ValueError]
    assert not other.errors


def test_closing_tells_every_open_job() -> None:
    gate = threading.Event()
    running, waiting = Recorded("r", 10**9, [], gate), Recorded("w", 1, [], gate)
    with Worker(concurrency=1, queue=1) as worker:
        worker.submit(running)
        worker.submit(waiting)
        gate.set()
    assert [type(error) for error in running.errors] == [Unavailable]
    with pytest.raises(Unavailable):
        worker.submit(waiting)


def test_who_counts_the_queue_hears_that_it_empties() -> None:
    gate = threading.Event()
    depths: list[int] = []
    first, second = (Recorded(name, 1, [], gate) for name in "ab")
    with Worker(concurrency=1, queue=1, depth=depths.append) as worker:
        worker.submit(first)
        worker.submit(second)
        gate.set()
        assert second.ended.wait(WAIT_S)
    assert max(depths) >= 1
    assert depths[-1] == 0


def test_a_finished_job_is_not_kept_until_the_next_one() -> None:
    recorded = Recorded("a", 1, [])
    with Worker(concurrency=1, queue=0) as worker:
        let_go = threading.Event()
        weakref.finalize(recorded, let_go.set)
        worker.submit(recorded)
        assert recorded.ended.wait(WAIT_S)
        del recorded
        assert let_go.wait(WAIT_S)
