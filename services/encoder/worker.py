"""Performs the batcher's decisions: one thread owns the model, the loop holds the callers' futures and one timer."""

import asyncio
import itertools
import logging
import time
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from services.contracts.errors import DeadlineExceeded, Overloaded
from services.encoder.batcher import (
    NEVER,
    Arrived,
    Batcher,
    Cancelled,
    Event,
    Expire,
    Finished,
    Limits,
    Refuse,
    Run,
    Tick,
    WakeAt,
)
from services.encoder.engine import Engine, warm_up_audio
from services.runtime.metrics import Metrics
from textpro.errors import TextProError

if TYPE_CHECKING:
    from textpro.decoding import Decoded

log = logging.getLogger(__name__)
T = TypeVar("T")


class ModelBroken(TextProError):
    """The model fails whatever it is given: the process ends, and whoever started it starts another."""


@dataclass
class _Job:
    audio: np.ndarray
    language: str | None
    arrived_s: float
    answer: "asyncio.Future[Decoded]"
    started_s: float = 0.0


class Worker:
    """Callers `await encode(…)`; the task `run()` keeps the model busy. All but the model happens on the event loop."""

    def __init__(self, limits: Limits, metrics: Metrics) -> None:
        self._limits = limits
        self._batcher = Batcher(limits)
        self._metrics = metrics
        self._jobs: dict[int, _Job] = {}
        self._tickets = itertools.count()
        self._due: asyncio.Queue[tuple[int, ...]] = asyncio.Queue(maxsize=1)
        self._timer: asyncio.TimerHandle | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="model")

    async def on_thread(self, work: Callable[[], T]) -> T:
        """Runs `work` on the model's thread; loading happens there too: torch's settings may belong to a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def run(self, engine: Engine) -> None:
        """Decodes batches until cancelled. Raises ModelBroken when the model fails on what it is known to take."""
        while True:
            tickets = await self._due.get()
            jobs = [self._jobs[ticket] for ticket in tickets if ticket in self._jobs]
            try:
                if jobs and await self._decode(engine, jobs):
                    await self._prove_sound(engine)
            finally:
                self._on(Finished())

    async def encode(
        self, audio: np.ndarray, *, group: Hashable, language: str | None, deadline_s: float, partial: bool
    ) -> "tuple[Decoded, float]":
        """Waits for this utterance's result: (S,) float32 -> (result, queue ms); `deadline_s` is on the loop's clock.

        Raises Overloaded when the queue is full, DeadlineExceeded when the deadline passes, what the model raises.
        Cancelling the call takes the request out of the queue.
        """
        loop = asyncio.get_running_loop()
        ticket = next(self._tickets)
        job = self._jobs[ticket] = _Job(audio, language, loop.time(), loop.create_future())
        try:
            self._on(Arrived(ticket, (group, language), deadline_s, partial))
            decoded = await job.answer
        finally:
            del self._jobs[ticket]
            if job.answer.cancelled():
                self._on(Cancelled(ticket))
        return decoded, (job.started_s - job.arrived_s) * 1000

    def close(self) -> None:
        """Lets the running batch end and its thread go; what waits is dropped. Blocks as long as that batch takes."""
        if self._timer:
            self._timer.cancel()
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _on(self, event: Event) -> None:
        for action in self._batcher.on(event, asyncio.get_running_loop().time()):
            match action:
                case Run(tickets):
                    self._due.put_nowait(tickets)
                case Refuse(ticket, retry_after_s):
                    message = (
                        f"all {self._limits.queue} places of the encoder's queue are taken (TEXTPRO_ENCODER_QUEUE)"
                    )
                    self._fail(ticket, Overloaded(message, retry_after_s=retry_after_s))
                case Expire(ticket):
                    self._fail(ticket, DeadlineExceeded("the deadline passed before the encoder could start"))
                case WakeAt(at_s):
                    self._wake_at(at_s)
        self._metrics.queue_depth(self._batcher.depth)

    def _fail(self, ticket: int, error: Exception) -> None:
        job = self._jobs.get(ticket)
        if job and not job.answer.done():
            job.answer.set_exception(error)

    def _wake_at(self, at_s: float) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = None if at_s == NEVER else asyncio.get_running_loop().call_at(at_s, self._on, Tick())

    async def _decode(self, engine: Engine, jobs: list[_Job]) -> bool:
        """Whether the model failed on an utterance."""
        started_s = asyncio.get_running_loop().time()
        for job in jobs:
            job.started_s = started_s
        results = await self._call(engine, jobs)
        if isinstance(results, BaseException) and len(jobs) > 1:
            # One utterance the model can't take must not fail its neighbours.
            log.warning("a batch failed and runs again one by one", extra={"batch": len(jobs), "error": repr(results)})
            failed = False
            for job in jobs:
                result = await self._call(engine, [job])
                self._settle([job], result)
                failed |= _is_failure(result)
            return failed
        self._settle(jobs, results)
        return _is_failure(results)

    async def _prove_sound(self, engine: Engine) -> None:
        """After a failure: was it the utterance, or the model? A GPU that has failed once fails for ever after."""
        call = self.on_thread(lambda: engine.decode([warm_up_audio()]))
        (result,) = await asyncio.gather(call, return_exceptions=True)
        if _is_failure(result):
            raise ModelBroken(f"the model fails on the warm-up sound too, it has to be loaded anew: {result!r}")

    async def _call(self, engine: Engine, jobs: list[_Job]) -> "list[Decoded] | BaseException":
        audio = [job.audio for job in jobs]
        started_s = time.perf_counter()
        call = self.on_thread(lambda: engine.decode(audio, language=jobs[0].language))
        (result,) = await asyncio.gather(call, return_exceptions=True)
        self._metrics.batch(len(jobs))
        log.debug("batch decoded", extra={"batch": len(jobs), "ms": round((time.perf_counter() - started_s) * 1000, 1)})
        return result

    @staticmethod
    def _settle(jobs: list[_Job], results: Any) -> None:
        for place, job in enumerate(jobs):
            if job.answer.done():
                continue
            if isinstance(results, BaseException):
                job.answer.set_exception(results)
            else:
                job.answer.set_result(results[place])


def _is_failure(result: object) -> bool:
    """An error of ours is a refusal: the model is as sound as before."""
    return isinstance(result, BaseException) and not isinstance(result, TextProError)
