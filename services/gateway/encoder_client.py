"""The gateway's side of the encoder: one gRPC channel, kept open, that finds a restarted encoder by itself."""

import base64
import json
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.contracts import encoder_pb2, encoder_pb2_grpc
from services.contracts.errors import DeadlineExceeded, Overloaded, ServiceError, Unavailable
from services.contracts.status import error_of
from services.gateway.session import Prosody
from services.runtime.logging import request_id
from textpro.errors import TextProError

SERVICE_NAME = encoder_pb2.DESCRIPTOR.services_by_name["Encoder"].full_name
RETRY_AFTER_S = 1.0
CHECK_TIMEOUT_S = 2.0
MAX_ANSWER_BYTES = 16 * 2**20

# Only UNAVAILABLE is tried again, four times at most within a second: the encoder is stateless, so a lost call did no
# harm. A full queue is the caller's to hear about.
_SERVICE_CONFIG = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "methodConfig": [
        {
            "name": [{"service": SERVICE_NAME}],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.1s",
                "maxBackoff": "0.4s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ],
}
_OPTIONS = [
    ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_receive_message_length", MAX_ANSWER_BYTES),
    # gRPC waits up to two minutes before it looks for a lost server again; a restarted encoder shall be found at once.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 300),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 5_000),
]


class ProsodyKind(StrEnum):
    """What is asked of the encoder: nothing, one row (the mean), or one row a token."""

    NONE = "none"
    POOLED = "pooled"
    TOKENS = "tokens"


_KINDS = {
    ProsodyKind.NONE: encoder_pb2.PROSODY_KIND_NONE,
    ProsodyKind.POOLED: encoder_pb2.PROSODY_KIND_POOLED,
    ProsodyKind.TOKENS: encoder_pb2.PROSODY_KIND_TOKENS,
}


@dataclass(frozen=True)
class Token:
    """A text token of the encoder's vocabulary."""

    id: int
    log_probability: float


@dataclass(frozen=True)
class Speech:
    """What the encoder heard. no_speech: its reason when nothing was said. stages_ms: its own account of the time.
    encoder: its bundle's fingerprint."""

    text: str
    no_speech: str | None
    prosody: Prosody | None
    audio_seconds: float
    stages_ms: dict[str, float] = field(default_factory=dict)
    language: str = ""
    tokens: tuple[Token, ...] = ()
    no_speech_probability: float = 0.0
    encoder: str = ""


class Encoder(Protocol):
    """What a turn needs of an encoder. fingerprint: of its bundle, empty until it has answered."""

    fingerprint: str

    async def encode(
        self,
        pcm16: bytes,
        *,
        prosody: ProsodyKind,
        timeout_s: float,
        language: str = "",
        partial: bool = False,
    ) -> Speech: ...

    async def check(self) -> None: ...

    async def close(self) -> None: ...


class GrpcEncoder:
    """The encoder service behind a gRPC target."""

    def __init__(self, target: str) -> None:
        self.fingerprint = ""
        self._target = target
        self._channel = grpc.aio.insecure_channel(target, options=_OPTIONS)
        self._stub = encoder_pb2_grpc.EncoderStub(self._channel)
        # The stub class of grpc_health declares its calls only in its constructor, out of a type checker's sight.
        self._health: Any = health_pb2_grpc.HealthStub(self._channel)

    async def encode(
        self,
        pcm16: bytes,
        *,
        prosody: ProsodyKind,
        timeout_s: float,
        language: str = "",
        partial: bool = False,
    ) -> Speech:
        """pcm16: mono, 16 kHz, little endian -> Speech. language: ISO 639-1; when empty the encoder finds out. partial:
        gives way to others when the encoder is full.

        Raises Overloaded (full queue), Unavailable (down, or still loading), DeadlineExceeded, AudioError.
        """
        request = encoder_pb2.EncodeRequest(
            pcm16=pcm16,
            prosody=_KINDS[prosody],
            request_id=request_id.get(),
            language=language,
            partial=partial,
        )
        try:
            answer = await self._stub.Encode(request, timeout=timeout_s)
        except grpc.aio.AioRpcError as error:
            raise self._translated(error) from error
        self.fingerprint = answer.fingerprint
        return _speech(answer)

    async def check(self) -> None:
        """Raises Unavailable when the encoder is not ready to encode."""
        request = health_pb2.HealthCheckRequest(service=SERVICE_NAME)
        try:
            answer = await self._health.Check(request, timeout=CHECK_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            raise Unavailable(f"{self._target} does not answer ({error.code().name})") from error
        if answer.status != health_pb2.HealthCheckResponse.SERVING:
            raise Unavailable(f"{self._target} is not serving yet")

    async def close(self) -> None:
        await self._channel.close()

    def _translated(self, error: grpc.aio.AioRpcError) -> TextProError:
        ours = error_of(error)
        if isinstance(ours, (Overloaded, Unavailable)):
            state = "not available" if isinstance(ours, Unavailable) else "full"
            retry_after_s = ours.retry_after_s or RETRY_AFTER_S
            return type(ours)(f"the encoder is {state}: {ours}", code=ours.code, retry_after_s=retry_after_s)
        if isinstance(ours, DeadlineExceeded):
            return DeadlineExceeded(f"the encoder did not answer in time: {ours}")
        if isinstance(ours, ServiceError) or type(ours) is not TextProError:
            return ours
        return TextProError("the encoder failed; its log has the details")


def _speech(answer: encoder_pb2.EncodeResponse) -> Speech:
    rows = answer.prosody
    prosody = None
    if answer.HasField("prosody") and len(rows.shape) == 2:
        shape = rows.shape[0], rows.shape[1]
        prosody = Prosody(base64.b64encode(rows.data).decode(), shape, answer.fingerprint)
    text = answer.text.strip()
    return Speech(
        text=text,
        no_speech=answer.no_speech_reason or (None if text else "no_speech"),
        prosody=prosody,
        audio_seconds=answer.audio_seconds,
        stages_ms={stage.name: stage.ms for stage in answer.stages},
        language=answer.language,
        tokens=tuple(Token(token.id, token.log_probability) for token in answer.tokens),
        no_speech_probability=answer.no_speech_probability,
        encoder=answer.fingerprint,
    )
