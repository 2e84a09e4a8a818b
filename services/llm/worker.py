"""One thread that runs several jobs side by side, a step each in turn, with a bound on how many may wait."""

import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Self

from services.contracts.errors import Overloaded, Unavailable


class Job(ABC):
    """Work in steps; set `cancelled` to end it before its next one."""

    cancelled = False

    @abstractmethod
    def step(self) -> bool:
        """Does one step on the worker's thread; says whether there is more."""

    @abstractmethod
    def fail(self, error: Exception) -> None:
        """Is told why there will be no more steps."""


class Worker:
    """Round-robin over at most `concurrency` running jobs; `queue` more may wait, in the order they came."""

    def __init__(self, *, concurrency: int, queue: int, depth: Callable[[int], None] = lambda _: None) -> None:
        """depth: told how many wait, whenever that changes; on any thread."""
        self._concurrency = concurrency
        self._queue = queue
        self._depth = depth
        self._waiting: deque[Job] = deque()
        self._running: deque[Job] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="llm", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def submit(self, job: Job) -> None:
        """Raises Overloaded when the house is full, Unavailable when it closes."""
        with self._changed:
            if self._closing:
                raise Unavailable("this process is stopping; another one takes the request", retry_after_s=1)
            self._waiting = deque(waiting for waiting in self._waiting if not waiting.cancelled)
            if len(self._running) + len(self._waiting) >= self._concurrency + self._queue:
                n = self._concurrency + self._queue
                raise Overloaded(f"{n} answers are being made or waiting; no more are accepted", retry_after_s=2)
            self._waiting.append(job)
            self._depth(len(self._waiting))
            self._changed.notify()

    def _run(self) -> None:
        while (job := self._next()) is not None:
            unfinished = False
            if not job.cancelled:
                try:
                    unfinished = job.step()
                except Exception as error:  # noqa: BLE001 - the thread's edge: one job's error must not end the others
                    job.fail(error)
            with self._changed:
                # It stays in the ring while it runs, so that it counts; now it goes to the back or out.
                self._running.popleft()
                if unfinished:
                    self._running.append(job)
            del job  # or the last one's key-value cache would stay until the next request

    def _next(self) -> Job | None:
        with self._changed:
            self._changed.wait_for(lambda: self._closing or self._waiting or self._running)
            if self._closing:
                for job in (*self._running, *self._waiting):
                    job.fail(Unavailable("this process is stopping; another one takes the request", retry_after_s=1))
                return None
            while self._waiting and len(self._running) < self._concurrency:
                self._running.append(self._waiting.popleft())
                self._depth(len(self._waiting))
            return self._running[0]
