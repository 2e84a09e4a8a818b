"""The gRPC door: Encoder/Encode with the standard health and reflection services."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from services.contracts import encoder_pb2, encoder_pb2_grpc
from services.contracts.errors import BadRequest, outcome
from services.contracts.status import status_of
from services.encoder.service import Encoded, EncoderService, ProsodyKind
from services.encoder.settings import BYTES_PER_SAMPLE
from services.runtime.logging import begin_request
from textpro.errors import AudioError

log = logging.getLogger(__name__)
SERVICE_NAME = encoder_pb2.DESCRIPTOR.services_by_name["Encoder"].full_name
CLOSING_GRACE_S = 1.0
# Audio somewhat over the limit still gets through the transport, so that it is answered with our own message.
MESSAGE_SLACK = 2
MESSAGE_OVERHEAD = 64 * 1024

_KINDS: dict[int, ProsodyKind] = {
    encoder_pb2.PROSODY_KIND_NONE: ProsodyKind.NONE,
    encoder_pb2.PROSODY_KIND_POOLED: ProsodyKind.POOLED,
    encoder_pb2.PROSODY_KIND_TOKENS: ProsodyKind.TOKENS,
}


@dataclass(frozen=True)
class GrpcDoor:
    """An open door: its port, and the health servicer that says whether to come in."""

    port: int
    states: Any

    async def serving(self) -> None:
        """Health answers SERVING, for the whole server and for the service by name."""
        for name in ("", SERVICE_NAME):
            await self.states.set(name, health_pb2.HealthCheckResponse.SERVING)

    async def draining(self) -> None:
        """Health answers NOT_SERVING from now on."""
        await self.states.enter_graceful_shutdown()


@asynccontextmanager
async def grpc_door(service: EncoderService) -> AsyncIterator[GrpcDoor]:
    """Serves for the time of the block; health starts as NOT_SERVING. Raises OSError when the port is taken."""
    settings = service.settings
    max_message = MESSAGE_SLACK * settings.max_pcm_bytes + MESSAGE_OVERHEAD
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", max_message), ("grpc.so_reuseport", 0)])
    encoder_pb2_grpc.add_EncoderServicer_to_server(_Encoder(service), server)
    states = health.aio.HealthServicer()  # pyright: ignore[reportAttributeAccessIssue]  (the package assigns it)
    health_pb2_grpc.add_HealthServicer_to_server(states, server)
    for name in ("", SERVICE_NAME):
        await states.set(name, health_pb2.HealthCheckResponse.NOT_SERVING)
    reflection.enable_server_reflection((SERVICE_NAME, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    try:
        port = server.add_insecure_port(f"{host}:{settings.grpc_port}")
    except RuntimeError as error:
        raise OSError(
            f"gRPC can't listen on {host}:{settings.grpc_port} (TEXTPRO_ENCODER_GRPC_PORT): {error}"
        ) from error
    await server.start()
    try:
        yield GrpcDoor(port, states)
    finally:
        await server.stop(CLOSING_GRACE_S)


class _Encoder(encoder_pb2_grpc.EncoderServicer):
    def __init__(self, service: EncoderService) -> None:
        self._service = service

    async def Encode(
        self, request: encoder_pb2.EncodeRequest, context: grpc.aio.ServicerContext
    ) -> encoder_pb2.EncodeResponse:
        begin_request(request.request_id)
        try:
            with self._service.admitted("grpc"):
                encoded = await self._service.encode(
                    _samples(request.pcm16),
                    prosody=_kind(request.prosody),
                    language=request.language,
                    partial=request.partial,
                    timeout_s=context.time_remaining(),
                )
            return _response(encoded)
        except Exception as error:  # the edge: every error leaves through the one table
            if outcome(error).http >= 500 and outcome(error).grpc == "INTERNAL":
                log.exception("encode failed")
            status = status_of(error)
        await context.abort(status.code, status.details, status.trailing_metadata)


def _samples(pcm16: bytes) -> np.ndarray:
    if len(pcm16) % BYTES_PER_SAMPLE:
        raise AudioError(f"pcm16 has {len(pcm16)} bytes, an odd number; expected 16-bit samples, mono, 16 kHz")
    return np.frombuffer(pcm16, dtype="<i2").astype(np.float32) / 32768


def _kind(number: int) -> ProsodyKind:
    if number not in _KINDS:
        raise BadRequest(f"prosody is {number}; expected one of {sorted(_KINDS)}", param="prosody")
    return _KINDS[number]


def _response(encoded: Encoded) -> encoder_pb2.EncodeResponse:
    rows = encoded.prosody
    return encoder_pb2.EncodeResponse(
        text=encoded.text,
        language=encoded.language,
        tokens=[
            encoder_pb2.Token(id=token.id, text=token.text, log_probability=token.log_probability)
            for token in encoded.tokens
        ],
        no_speech_probability=encoded.no_speech_probability,
        no_speech_reason=encoded.no_speech_reason or "",
        prosody=None if rows is None else encoder_pb2.Array(data=rows.tobytes(), shape=rows.shape),
        stages=[encoder_pb2.Stage(name=name, ms=ms) for name, ms in encoded.timing_ms.items()],
        fingerprint=encoded.fingerprint,
        audio_seconds=encoded.audio_seconds,
    )
