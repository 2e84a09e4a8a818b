"""A served gateway on a free port; behind it a fake encoder on real gRPC, a fake LLM on real HTTP, and a real Redis."""

import asyncio
import io
import json
import signal
import socket
import subprocess
import wave
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from services.contracts import encoder_pb2, encoder_pb2_grpc
from services.contracts.status import status_of
from services.gateway.app import create_app
from services.gateway.settings import GatewaySettings
from services.gateway.silero import CONTEXT
from services.runtime.http import serving

WIDTH = 4
STEP = 160  # samples: an utterance of k steps is heard as "number k"
PATIENCE_S = 30
LOUD = 0.02


def hum(steps: int = 100) -> np.ndarray:
    """(S,) int16 at 16 kHz of so many steps; anything but silence."""
    return (6000 * np.sin(2 * np.pi * 200 * np.arange(steps * STEP) / 16_000)).astype("<i2")


def wav_of(samples: np.ndarray, *, rate: int = 16_000, channels: int = 1) -> bytes:
    """PCM16 samples in a WAV file."""
    with io.BytesIO() as data:
        with wave.open(data, "wb") as out:
            out.setnchannels(channels)
            out.setsampwidth(2)
            out.setframerate(rate)
            out.writeframes(samples.astype("<i2").tobytes())
        return data.getvalue()


class FakeEncoder(encoder_pb2_grpc.EncoderServicer):
    """Hears "number k" in k steps, "silence" in zeros. `error` is answered instead; with `gate` shut it waits; where it
    is `deaf` all is silence. fingerprint, width: of its bundle."""

    def __init__(self) -> None:
        self.requests: list[encoder_pb2.EncodeRequest] = []
        self.error: Exception | None = None
        self.deaf = False
        self.fingerprint, self.width = "b1", WIDTH
        self.gate = asyncio.Event()
        self.gate.set()
        self.entered = asyncio.Semaphore(0)
        self.server: grpc.aio.Server | None = None
        self.port = 0

    async def Encode(self, request: encoder_pb2.EncodeRequest, context: Any) -> encoder_pb2.EncodeResponse:
        self.requests.append(request)
        self.entered.release()
        await self.gate.wait()
        if self.error is not None:
            status = status_of(self.error)
            await context.abort(status.code, status.details, status.trailing_metadata)
        samples = np.frombuffer(request.pcm16, "<i2")
        if self.deaf or not samples.any():
            return encoder_pb2.EncodeResponse(no_speech_reason="silence", audio_seconds=len(samples) / 16_000)
        number = len(samples) // STEP
        rows = np.full((1, self.width), number, "<f2")
        wanted = request.prosody != encoder_pb2.PROSODY_KIND_NONE
        words = ("number", f" {number}")
        return encoder_pb2.EncodeResponse(
            text="".join(words),
            language="en",
            tokens=[encoder_pb2.Token(id=i, text=word, log_probability=-0.1) for i, word in enumerate(words)],
            prosody=encoder_pb2.Array(data=rows.tobytes(), shape=rows.shape) if wanted else None,
            stages=[encoder_pb2.Stage(name="queue", ms=0.01), encoder_pb2.Stage(name="encode", ms=0.02)],
            fingerprint=self.fingerprint,
            audio_seconds=len(samples) / 16_000,
        )

    async def start(self) -> None:
        """Serves on a free port, after a `stop` on the same one."""
        self.server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        encoder_pb2_grpc.add_EncoderServicer_to_server(self, self.server)
        states = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(states, self.server)
        await states.set("textpro.encoder.v1.Encoder", health_pb2.HealthCheckResponse.SERVING)
        self.port = self.server.add_insecure_port(f"127.0.0.1:{self.port}")
        await self.server.start()

    async def stop(self) -> None:
        """As if killed: calls in flight are cut."""
        assert self.server is not None
        await self.server.stop(None)


@dataclass
class FakeLlm:
    """Answers `You said: <the last words>.`, piece by piece. What it was asked stands in `requests`."""

    requests: list[dict[str, Any]] = field(default_factory=list)
    context_tokens: int = 8192
    max_turns: int = 1000  # more messages are over the context
    gate: asyncio.Event = field(default_factory=asyncio.Event)  # shut: waits after the first piece
    waiting: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    aborted: asyncio.Event = field(default_factory=asyncio.Event)
    begins: str = "You said: "
    prosody_state: str | None = None
    breaks_off: bool = False
    refusal: tuple[int, dict[str, Any] | str, dict[str, str]] | None = None
    call: dict[str, Any] | None = None  # wanted instead of an answer, once, when there are tools
    config: dict[str, Any] = field(default_factory=lambda: {"wants": "pooled"})
    url: str = ""

    def __post_init__(self) -> None:
        self.gate.set()

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/v1/models", self._models),
                Route("/v1/config", self._config),
                Route("/v1/chat/completions", self._chat, methods=["POST"]),
            ]
        )

    async def _models(self, _: Request) -> Response:
        return JSONResponse({"object": "list", "data": [{"id": "textpro", "max_model_len": self.context_tokens}]})

    async def _config(self, _: Request) -> Response:
        return JSONResponse(self.config)

    async def _chat(self, request: Request) -> Response:
        asked = json.loads(await request.body())
        self.requests.append(asked)
        if self.refusal is not None:
            status, content, headers = self.refusal
            return JSONResponse({"error": content}, status, headers)
        if len(asked["messages"]) > self.max_turns:
            message = "This model's maximum context length is 64 tokens. Please reduce the length of the messages."
            return JSONResponse({"error": {"message": message, "type": "BadRequestError", "code": 400}}, 400)
        content = asked["messages"][-1].get("content", "")  # a call of a function has none
        heard = isinstance(content, list)
        state = self.prosody_state or ("on" if heard else "off")
        text = content[-1]["text"] if isinstance(content, list) else content
        call, self.call = (self.call, None) if "tools" in asked else (None, self.call)
        return StreamingResponse(
            self._events(text) if call is None else self._calling(call),
            media_type="text/event-stream",
            headers={"x-textpro-prosody": state},
        )

    async def _events(self, text: str) -> AsyncIterator[str]:
        try:
            yield self._chunk({"role": "assistant", "content": ""})
            yield self._chunk({"content": self.begins})
            self.waiting.release()
            await self.gate.wait()
            if self.breaks_off:
                return
            yield self._chunk({"content": f"{text}."})
            yield self._chunk({}, "stop")
            usage = {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25}
            yield f"data: {json.dumps({'choices': [], 'usage': usage})}\n\ndata: [DONE]\n\n"
        except (asyncio.CancelledError, GeneratorExit):
            self.aborted.set()
            raise

    async def _calling(self, call: dict[str, Any]) -> AsyncIterator[str]:
        first = {"index": 0, "id": "call_1", "type": "function", "function": {"name": call["name"], "arguments": ""}}
        yield self._chunk({"role": "assistant", "tool_calls": [first]})
        for letter in call["arguments"]:
            yield self._chunk({"tool_calls": [{"index": 0, "function": {"arguments": letter}}]})
        yield self._chunk({}, "tool_calls")
        yield "data: [DONE]\n\n"

    def _chunk(self, delta: dict[str, Any], finish_reason: str | None = None) -> str:
        chunk = {"choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}]}
        return f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n"


class LoudIsSpeech:
    """A voice model that takes for speech whatever sounds."""

    def judge(self, samples: np.ndarray, hidden: np.ndarray, cell: np.ndarray) -> tuple[np.ndarray, ...]:
        return np.where(np.abs(samples[:, CONTEXT:]).mean(1) > LOUD, 0.95, 0.02), hidden, cell


@dataclass(frozen=True)
class House:
    """A gateway and what stands behind it."""

    http: httpx.AsyncClient
    encoder: FakeEncoder
    llm: FakeLlm

    @property
    def url(self) -> str:
        """The gateway's."""
        return str(self.http.base_url)

    async def chat(self, audio: bytes, **fields: Any) -> httpx.Response:
        """A turn as a form."""
        return await self.http.post("/v1/chat", files={"audio": ("a.wav", audio)}, data=fields)

    async def events(self, audio: bytes, **fields: Any) -> list[tuple[str, dict[str, Any]]]:
        """A streamed turn: (event, data) in order."""
        response = await self.http.post("/v1/chat", params={"stream": True, **fields}, content=audio)
        assert response.status_code == 200, response.text
        return parse_events(response.text)

    async def until(self, holds: Callable[[], Awaitable[bool]]) -> None:
        """Asks again, over the wire, until it holds."""
        async with asyncio.timeout(PATIENCE_S):
            while not await holds():
                continue  # each look is a request, so others get their time


def parse_events(text: str) -> list[tuple[str, dict[str, Any]]]:
    """Server-sent events of one answer."""
    blocks = [block.split("\n") for block in text.strip().split("\n\n")]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in blocks]


@asynccontextmanager
async def served_house(redis_url: str | None = None, **settings: Any) -> AsyncIterator[House]:
    """A served gateway with its neighbours."""
    encoder, llm = FakeEncoder(), FakeLlm()
    await encoder.start()
    try:
        async with serving(llm.app(), "127.0.0.1", 0, drain_s=1) as llm_port:
            llm.url = f"http://127.0.0.1:{llm_port}"
            chosen = GatewaySettings(
                encoder_url=f"127.0.0.1:{encoder.port}",
                llm_url=settings.pop("llm_url", llm.url),
                redis_url=redis_url,  # pyright: ignore[reportArgumentType]
                **{"probe_s": 0.05, **settings},
            )
            async with (
                serving(
                    create_app(chosen), "127.0.0.1", 0, drain_s=1, max_message_bytes=chosen.max_message_bytes
                ) as port,
                httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_S) as http,
            ):
                try:
                    yield House(http, encoder, llm)
                finally:
                    encoder.gate.set()
                    llm.gate.set()
    finally:
        await encoder.stop()


@pytest.fixture
def house() -> Callable[..., Any]:
    """`house(**settings)`: a served gateway with its neighbours."""
    return served_house


@pytest.fixture
def spoken(house: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """`spoken(**settings)`: a house where whatever sounds is speech."""
    monkeypatch.setattr("services.gateway.app.VoiceModel", LoudIsSpeech)
    return house


@pytest.fixture
def recording() -> Callable[..., bytes]:
    """`recording(k)`: a WAV file that the encoder hears as "number k"."""
    return lambda steps=100: wav_of(hum(steps))


@pytest.fixture
def silence() -> bytes:
    """A WAV file of one second in which nothing sounds."""
    return wav_of(np.zeros(16_000))


@pytest.fixture
def anyio_backend() -> str:
    """The services run on asyncio."""
    return "asyncio"


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real redis-server of these tests' own, empty at first."""
    redis = OwnRedis(free_port(), tmp_path_factory.mktemp("redis"))
    redis.start()
    try:
        yield redis.url
    finally:
        redis.stop()


def start_redis(port: int, directory: Path) -> subprocess.Popen[str]:
    """Returns once it takes connections."""
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(directory)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    for line in server.stdout:
        if "Ready to accept connections" in line:
            return server
    raise RuntimeError(f"redis-server ended with {server.wait()}")


@dataclass
class OwnRedis:
    """A redis-server that a test may stop and start."""

    port: int
    directory: Path
    server: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        self.server = start_redis(self.port, self.directory)

    def freeze(self) -> None:
        """What it is sent from now on it does once it thaws."""
        assert self.server is not None
        self.server.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self.server is not None
        self.server.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        if self.server is not None:
            self.server.kill()
            self.server.wait(PATIENCE_S)
            self.server = None


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[OwnRedis]:
    """A running redis-server for one test alone."""
    redis = OwnRedis(free_port(), tmp_path)
    redis.start()
    try:
        yield redis
    finally:
        redis.stop()


@pytest.fixture
def unused_url() -> str:
    """Where nobody listens."""
    return f"http://127.0.0.1:{free_port()}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
