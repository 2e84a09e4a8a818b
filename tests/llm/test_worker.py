"""The worker is fair, bounded, stops what is cancelled, and survives what fails."""

import threading

import pytest

from services.contracts.errors import Overloaded, Unavailable
from services.llm.worker import Job, Worker

WAIT_S = 10


class Recorded:
    """A job of n steps that notes its name at each; `ended` is set after the last, or by an error."""

    def __init__(self, name: str, n: int, notes: list[str], gate: threading.Event | None = None) -> None:
        self.errors: list[Exception] = []
        self.ended = threading.Event()
        self._name, self._left, self._notes, self._gate = name, n, notes, gate
        self.job = Job(self._step, self._fail)

    def _step(self) -> bool:
        if self._gate is not None:
            self._gate.wait(WAIT_S)
        self._notes.append(self._name)
        self._left -= 1
        if not self._left:
            self.ended.set()
        return self._left > 0

    def _fail(self, error: Exception) -> None:
        self.errors.append(error)
        self.ended.set()


def test_running_jobs_take_turns_and_waiting_ones_follow_in_order() -> None:
    notes: list[str] = []
    gate = threading.Event()
    a, b, c = (Recorded(name, 3, notes, gate) for name in "abc")
    with Worker(concurrency=2, queue=2) as worker:
        for recorded in (a, b, c):
            worker.submit(recorded.job)
        gate.set()
        assert all(recorded.ended.wait(WAIT_S) for recorded in (a, b, c))
    assert "".join(notes) == "abababccc"


def test_a_full_house_refuses_and_a_cancelled_waiter_makes_room() -> None:
    gate = threading.Event()
    running, waiting, extra = (Recorded(name, 1, [], gate) for name in "rwe")
    with Worker(concurrency=1, queue=1) as worker:
        worker.submit(running.job)
        worker.submit(waiting.job)
        with pytest.raises(Overloaded) as refused:
            worker.submit(extra.job)
        assert refused.value.retry_after_s
        waiting.job.cancelled = True
        worker.submit(extra.job)
        gate.set()
        assert extra.ended.wait(WAIT_S)
    assert not waiting.ended.is_set()


def test_a_cancelled_job_takes_no_further_step() -> None:
    notes: list[str] = []
    gate = threading.Event()
    endless, after = Recorded("x", 10**9, notes, gate), Recorded("y", 1, notes)
    with Worker(concurrency=2, queue=0) as worker:
        worker.submit(endless.job)
        endless.job.cancelled = True
        gate.set()
        worker.submit(after.job)
        assert after.ended.wait(WAIT_S)
    assert notes.count("x") <= 1


def test_a_job_that_fails_is_told_and_the_others_go_on() -> None:
    def broken() -> bool:
        raise ValueError("no")

    told: list[Exception] = []
    other = Recorded("o", 2, [])
    with Worker(concurrency=2, queue=0) as worker:
        worker.submit(Job(broken, told.append))
        worker.submit(other.job)
        assert other.ended.wait(WAIT_S)
    assert [type(error) for error in told] == [ValueError]
    assert not other.errors


def test_closing_tells_every_open_job() -> None:
    gate = threading.Event()
    running, waiting = Recorded("r", 10**9, [], gate), Recorded("w", 1, [], gate)
    with Worker(concurrency=1, queue=1) as worker:
        worker.submit(running.job)
        worker.submit(waiting.job)
        gate.set()
    assert [type(error) for error in running.errors] == [Unavailable]
    with pytest.raises(Unavailable):
        worker.submit(waiting.job)
