"""The one vocabulary of metrics. A service never makes a metric of its own: it adds a label's value, or a line here.

Every metric carries `service` (gateway, encoder, llm). The first bucket is 1 ms, because most stages are short.
"""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from services.contracts.errors import outcome

CONTENT_TYPE = CONTENT_TYPE_LATEST
STAGE_BUCKETS_S = (
    *(0.001, 0.002, 0.004, 0.006, 0.01, 0.015, 0.025, 0.04, 0.06, 0.1, 0.15, 0.25, 0.4, 0.6),
    *(1.0, 1.5, 2.5, 4.0, 6.0, 10.0, 15.0, 25.0, 40.0, 60.0),
)
BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """The metrics of one process, in a registry of its own; built in `main`, passed down."""

    def __init__(self, service: str, registry: CollectorRegistry | None = None) -> None:
        self.service = service
        self.registry = registry or CollectorRegistry()
        disable_created_metrics()  # a second series for each one, which nobody reads
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        self._stage = Histogram(
            "textpro_stage_seconds",
            "Time one stage of a request took.",
            ["service", "stage"],
            buckets=STAGE_BUCKETS_S,
            registry=self.registry,
        )
        self._requests = Counter(
            "textpro_requests",
            "Requests by how they ended: ok, cancelled, or an error's code.",
            ["service", "operation", "outcome"],
            registry=self.registry,
        )
        self._in_flight = Gauge(
            "textpro_in_flight", "Requests being served now.", ["service", "operation"], registry=self.registry
        )
        self._queue = Gauge("textpro_queue_depth", "Requests waiting for a batch.", ["service"], registry=self.registry)
        self._batch = Histogram(
            "textpro_batch_size",
            "Requests that ran together.",
            ["service"],
            buckets=BATCH_BUCKETS,
            registry=self.registry,
        )
        self._audio = Counter(
            "textpro_audio_seconds", "Seconds of speech taken in.", ["service"], registry=self.registry
        )
        self._spoken = Counter(
            "textpro_spoken_seconds", "Seconds of speech sent out.", ["service"], registry=self.registry
        )
        self._no_speech = Counter(
            "textpro_no_speech",
            "Utterances in which nothing was said, by reason.",
            ["service", "reason"],
            registry=self.registry,
        )
        self._tokens = Counter(
            "textpro_llm_tokens",
            "LLM tokens by kind: prompt, cached, completion; wasted ones were generated for nobody.",
            ["service", "kind"],
            registry=self.registry,
        )
        self._eager = Counter(
            "textpro_eager",
            "Answers begun before their utterance had surely ended, by outcome: promoted, wasted.",
            ["service", "outcome"],
            registry=self.registry,
        )
        self._turns = Counter(
            "textpro_turns",
            "Turns by how they ended: answered, interrupted, no_speech, failed.",
            ["service", "outcome"],
            registry=self.registry,
        )
        self._sessions = Gauge(
            "textpro_sessions",
            "Sessions that live now; one number for all that share a Redis.",
            ["service"],
            registry=self.registry,
        )
        self._ready = Gauge("textpro_ready", "1 when the process takes requests.", ["service"], registry=self.registry)

    def stage(self, name: str, seconds: float) -> None:
        """Count one stage of one request; `name` is a word of the code, never of a caller."""
        self._stage.labels(self.service, name).observe(seconds)

    def stages(self, timing_ms: Mapping[str, float]) -> None:
        """Count all stages of one request, given in milliseconds."""
        for name, milliseconds in timing_ms.items():
            self.stage(name, milliseconds / 1000)

    @contextmanager
    def serving(self, operation: str) -> Iterator[None]:
        """Count a request: in flight while the block runs, then by its outcome. Errors pass through."""
        in_flight = self._in_flight.labels(self.service, operation)
        in_flight.inc()
        ended = "ok"
        try:
            yield
        except (asyncio.CancelledError, GeneratorExit):
            ended = "cancelled"
            raise
        except BaseException as error:
            ended = getattr(error, "code", None) or outcome(error).code or outcome(error).type
            raise
        finally:
            in_flight.dec()
            self.request(operation, ended)

    def request(self, operation: str, ended: str) -> None:
        """Count one finished request."""
        self._requests.labels(self.service, operation, ended).inc()

    def queue_depth(self, waiting: int) -> None:
        """How many requests wait for a batch now."""
        self._queue.labels(self.service).set(waiting)

    def batch(self, size: int) -> None:
        """Count one batch of `size` requests."""
        self._batch.labels(self.service).observe(size)

    def audio(self, seconds: float) -> None:
        """Count speech taken in."""
        self._audio.labels(self.service).inc(seconds)

    def spoken(self, seconds: float) -> None:
        """Count speech sent out."""
        self._spoken.labels(self.service).inc(seconds)

    def no_speech(self, reason: str) -> None:
        """Count an utterance in which nothing was said."""
        self._no_speech.labels(self.service, reason).inc()

    def llm_tokens(self, *, prompt: int = 0, completion: int = 0, cached: int = 0, wasted: int = 0) -> None:
        """Count an answer's tokens; `cached` of the prompt's tokens came from the prefix cache."""
        counts = (("prompt", prompt), ("completion", completion), ("cached", cached), ("wasted", wasted))
        for kind, count in counts:
            self._tokens.labels(self.service, kind).inc(count)

    def eager(self, ended: str) -> None:
        """Count one eager answer by what became of it."""
        self._eager.labels(self.service, ended).inc()

    def turn(self, ended: str) -> None:
        """Count one turn by how it ended."""
        self._turns.labels(self.service, ended).inc()

    def sessions(self, count: int) -> None:
        """How many sessions live now."""
        self._sessions.labels(self.service).set(count)

    def ready(self, is_ready: bool) -> None:
        """Whether the process takes requests."""
        self._ready.labels(self.service).set(int(is_ready))

    def exposition(self) -> bytes:
        """Everything counted, in Prometheus's text format (`CONTENT_TYPE`)."""
        return generate_latest(self.registry)
