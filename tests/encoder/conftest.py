"""A served encoder on free ports, with an engine that answers at once or when the test lets it."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.contracts import encoder_pb2, encoder_pb2_grpc
from services.encoder.engine import Engine
from services.encoder.server import Ports, serve
from services.encoder.settings import EncoderSettings
from textpro.decoding import Decoded, DecodedToken

STEP = 1 / 512  # a sample value that says which caller it belongs to


@dataclass
class FakeEngine:
    """Hears in each utterance the number its samples hold: number k gives k tokens and prosody rows k, k + 1, ..."""

    width: int = 4
    fingerprint: str = "fake"
    gate: threading.Event = field(default_factory=threading.Event)
    entered: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    batches: list[list[int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.gate.set()

    def length_class(self, n_samples: int) -> int:
        return n_samples // 16_000

    def decode(self, audio: Sequence[np.ndarray], *, language: str | None = None) -> list[Decoded]:
        numbers = [round(float(samples[0]) / STEP) for samples in audio]
        self.batches.append(numbers)
        self.entered.release()
        if not self.gate.wait(30):
            raise TimeoutError("the test never opened the gate")
        if 400 in numbers:
            raise RuntimeError("secret: out of memory")
        return [self.heard(number, language or "en") for number in numbers]

    def heard(self, number: int, language: str) -> Decoded:
        rows = number + np.arange(number, dtype=np.float32)[:, None] * np.ones(self.width, dtype=np.float32)
        return Decoded(
            text=f"number {number}" if number else "",
            language=language,
            tokens=[DecodedToken(i, f" {i}", -0.5) for i in range(number)],
            no_speech_probability=0.0 if number else 0.9,
            no_speech_reason=None if number else "silence",
            prosody=rows,
            log_probability=-0.5,
            timing_ms={"features": 1.0, "encode": 2.0, "decode": 3.0, "prosody": 4.0},
        )

    async def running(self) -> None:
        """Waits until one more batch is in the model."""
        assert await asyncio.to_thread(self.entered.acquire, timeout=30)


def pcm(number: int, seconds: float = 0.5) -> bytes:
    """PCM16 that FakeEngine hears as `number`."""
    return np.full(round(seconds * 16_000), round(number * STEP * 32768), dtype="<i2").tobytes()


@dataclass(frozen=True)
class Client:
    """Both wires to one served encoder."""

    stub: Any
    channel: grpc.aio.Channel
    http: httpx.AsyncClient
    stop: asyncio.Event

    async def encode(self, number: int, *, seconds: float = 0.5, timeout_s: float | None = 20, **fields: Any) -> Any:
        return await self.stub.Encode(
            encoder_pb2.EncodeRequest(pcm16=pcm(number, seconds), **fields), timeout=timeout_s
        )

    async def metric(self, name: str) -> float:
        """The value of one line of /metrics; 0 when it is not there."""
        text = (await self.http.get("/metrics")).text
        return float(next((line.rsplit(" ", 1)[1] for line in text.splitlines() if line.startswith(name)), 0))

    async def healthy(self, status: int = health_pb2.HealthCheckResponse.SERVING) -> None:
        """Watches the health service until it reports `status`."""
        request = health_pb2.HealthCheckRequest(service="textpro.encoder.v1.Encoder")
        async for answer in health_pb2_grpc.HealthStub(self.channel).Watch(request, timeout=120):
            if answer.status == status:
                return


@asynccontextmanager
async def _served(load: Callable[[EncoderSettings], Engine], **settings: Any) -> AsyncIterator[Client]:
    stop = asyncio.Event()
    opened: asyncio.Future[Ports] = asyncio.get_running_loop().create_future()
    chosen = EncoderSettings(http_port=0, grpc_port=0, **settings)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(serve(chosen, stop=stop, load_engine=load, opened=opened.set_result), name="encoder")
        ports = await opened
        async with (
            grpc.aio.insecure_channel(f"127.0.0.1:{ports.grpc}") as channel,
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{ports.http}", timeout=30) as http,
        ):
            try:
                yield Client(encoder_pb2_grpc.EncoderStub(channel), channel, http, stop)
            finally:
                stop.set()


Serve = Callable[..., AbstractAsyncContextManager[Client]]


@pytest.fixture
def served() -> Serve:
    """`served(load, **settings)`: an encoder whose model `load` gives; it may not be loaded yet."""
    return _served


@pytest.fixture
def ready() -> Serve:
    """`ready(engine, **settings)`: the same, once its health says SERVING."""

    @asynccontextmanager
    async def open_and_wait(engine: FakeEngine, **settings: Any) -> AsyncIterator[Client]:
        async with _served(lambda _: engine, **settings) as client:
            await client.healthy()
            try:
                yield client
            finally:
                engine.gate.set()

    return open_and_wait


@pytest.fixture
def engine() -> FakeEngine:
    """An engine whose gate is open."""
    return FakeEngine()


@pytest.fixture
def anyio_backend() -> str:
    """The services run on asyncio."""
    return "asyncio"


@pytest.fixture
def free_ports() -> tuple[int, int]:
    """Two ports nobody listens on now, for a process that must be told its own."""
    with socket.socket() as first, socket.socket() as second:
        for listener in (first, second):
            listener.bind(("127.0.0.1", 0))
        return first.getsockname()[1], second.getsockname()[1]
